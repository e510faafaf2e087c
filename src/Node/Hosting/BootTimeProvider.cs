using System.ComponentModel;
using System.Runtime.InteropServices;

namespace KvStore.Node.Hosting;

/// <summary>
/// The node's one clock. Its timestamps come from CLOCK_BOOTTIME, which goes on while the machine sleeps: the usual monotonic
/// clock stands still then, and the age of a read would be too low by the whole sleep. Wall clock time is the system's.
/// </summary>
public sealed partial class BootTimeProvider : TimeProvider
{
    private const int ClockBootTime = 7;
    private const long NanosecondsPerSecond = 1_000_000_000;

    public override long TimestampFrequency => NanosecondsPerSecond;

    public override long GetTimestamp() => ClockGetTime(ClockBootTime, out var time) == 0
        ? (time.Seconds * NanosecondsPerSecond) + time.Nanoseconds
        : throw new Win32Exception(Marshal.GetLastPInvokeError(), "clock_gettime(CLOCK_BOOTTIME) failed");

    [LibraryImport("libc", EntryPoint = "clock_gettime", SetLastError = true)]
    private static partial int ClockGetTime(int clock, out TimeSpec time);

    // struct timespec of 64-bit Linux.
    [StructLayout(LayoutKind.Sequential)]
    private struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;
    }
}
