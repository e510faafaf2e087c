using System.Runtime.InteropServices;

namespace KvStore.Node.Config;

/// <summary>
/// How many files and sockets this process may have open (RLIMIT_NOFILE of Linux). The soft limit is raised to the hard one: what a
/// shell gives is meant for programs that wait with select, and says nothing about what the machine can bear.
/// </summary>
public static partial class DescriptorLimit
{
    private const int OpenFiles = 7; // RLIMIT_NOFILE of Linux

    /// <summary>Where the system does not say.</summary>
    private const long Unknown = 1 << 16;

    /// <summary>Descriptors; the soft limit after it was raised.</summary>
    public static long Value { get; } = Raise();

    private static long Raise()
    {
        if (!OperatingSystem.IsLinux() || getrlimit(OpenFiles, out Limits limits) != 0)
        {
            return Unknown;
        }

        Limits raised = limits with { Soft = limits.Hard };
        ulong value = limits.Soft == limits.Hard || setrlimit(OpenFiles, in raised) == 0 ? limits.Hard : limits.Soft;
        return (long)Math.Min(value, int.MaxValue); // no limit is the largest number
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int getrlimit(int resource, out Limits limits);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int setrlimit(int resource, in Limits limits);

    [StructLayout(LayoutKind.Sequential)]
    private record struct Limits(ulong Soft, ulong Hard);
}
