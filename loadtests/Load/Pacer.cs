using System.Runtime.InteropServices;
using System.Threading.Channels;

namespace KvStore.LoadTests.Load;

/// <summary>
/// Hands out the due times of an open loop: the k-th is start + k / rate, whether or not anybody is free to send it. The list
/// of due times not taken yet is unbounded on purpose (rate times duration at most): it is the queue whose length is measured.
/// </summary>
internal sealed class Pacer(ChannelWriter<long> dueTimes, TimeProvider clock, double ratePerSecond, long start, long end)
{
    // The runtime's own sleep has a resolution of a millisecond, which would be most of the latency of a fast read.
    private static readonly TimeSpec Pause = new(Seconds: 0, Nanoseconds: 100_000);

    private long _released;

    public long Released => _released;

    /// <summary>The thread of the generator: releases until the end of the run.</summary>
    public void Run(CancellationToken cancellation)
    {
        while (!cancellation.IsCancellationRequested && ReleaseDue())
        {
            _ = Sleep(in Pause, IntPtr.Zero);
        }

        dueTimes.TryComplete();
    }

    /// <summary>Releases everything due by now. False: the run is over.</summary>
    public bool ReleaseDue()
    {
        long now = clock.GetTimestamp();
        while (DueTimeOf(_released) is var due && due < end)
        {
            if (due > now)
            {
                return true;
            }

            dueTimes.TryWrite(due);
            _released++;
        }

        return false;
    }

    private long DueTimeOf(long number) => start + (long)(number * (clock.TimestampFrequency / ratePerSecond));

    /// <summary>struct timespec of libc.</summary>
    private readonly record struct TimeSpec(nint Seconds, nint Nanoseconds);

    [DllImport("libc", EntryPoint = "nanosleep")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Sleep(in TimeSpec duration, IntPtr remaining);
}
