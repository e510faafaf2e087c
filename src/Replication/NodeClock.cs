using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>A node's clocks: one that only runs on, from the node's start, and the one on the wall. Any thread.</summary>
internal sealed class NodeClock(TimeProvider time)
{
    private readonly long _startTimestamp = time.GetTimestamp();

    public long ElapsedMs() => (long)time.GetElapsedTime(_startTimestamp).TotalMilliseconds;

    /// <summary>The elapsed clock as it is told to other nodes, in its own unit.</summary>
    public ulong StampTicks() => (ulong)time.GetTimestamp();

    /// <summary>
    /// An upper bound of the time since a moment on this clock, in whole milliseconds rounded up, and a thousandth more: so far
    /// the rates of two machines' clocks may differ. AgeUnknown for an unknown moment.
    /// </summary>
    public uint AgeMs(long sinceTicks)
    {
        if (sinceTicks == Freshness.Unknown)
        {
            return Evidence.AgeUnknown;
        }

        // One tick more: both readings were rounded down.
        double ms = (time.GetTimestamp() - sinceTicks + 1) * (1000.0 + RateMargin) / time.TimestampFrequency;
        return (uint)Math.Clamp(Math.Ceiling(ms), 0, Evidence.AgeUnknown - 1);
    }

    public ulong WallMs() => (ulong)time.GetUtcNow().ToUnixTimeMilliseconds();

    /// <summary>Added to the 1,000 milliseconds of a second: a tenth of a percent.</summary>
    private const double RateMargin = 1.0;
}
