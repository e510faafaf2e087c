namespace KvStore.Simulation;

/// <summary>One machine's clocks: an elapsed clock in microseconds with its own origin, and a wall clock that may be wrong.</summary>
public sealed class SimulatedClock(Scheduler scheduler) : TimeProvider
{
    private static readonly DateTimeOffset Epoch = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <summary>Added to the elapsed clock: clocks of two machines are never comparable.</summary>
    public long OriginMicros { get; set; }

    /// <summary>How much too fast both clocks run, in parts per million (within ±1,000).</summary>
    public int DriftPpm { get; init; }

    /// <summary>How far the wall clock is off, milliseconds.</summary>
    public long WallOffsetMs { get; set; }

    /// <summary>What a perfect wall clock would show.</summary>
    public static DateTimeOffset TrueTime(Scheduler scheduler) => Epoch.AddMicroseconds(scheduler.NowMicros);

    public override long TimestampFrequency => 1_000_000;

    public override long GetTimestamp() => OriginMicros + Drifted(scheduler.NowMicros);

    public override DateTimeOffset GetUtcNow() => Epoch.AddMicroseconds(Drifted(scheduler.NowMicros)).AddMilliseconds(WallOffsetMs);

    private long Drifted(long micros) => micros + micros / 1_000_000 * DriftPpm;
}
