using System.Runtime.InteropServices;

namespace KvStore.Node.Hosting;

/// <summary>What this process creates is for its own user: folders 0700, files 0600, whatever the shell's umask was.</summary>
internal static partial class OwnerOnly
{
    private const int NothingForOthers = 0b111_111;

    public static void Apply() => _ = umask(NothingForOthers);

    [LibraryImport("libc")]
    private static partial int umask(int mask);
}
