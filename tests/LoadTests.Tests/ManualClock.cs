namespace KvStore.LoadTests.Tests;

/// <summary>A clock that stands still until it is told otherwise. One timestamp is one nanosecond.</summary>
internal sealed class ManualClock : TimeProvider
{
    public long Now { get; set; }

    public override long TimestampFrequency => 1_000_000_000;

    public override long GetTimestamp() => Now;
}
