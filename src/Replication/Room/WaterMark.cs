namespace KvStore.Replication;

/// <summary>A mark with hysteresis: passed at <paramref name="high"/>, and from then on until a value is at <paramref name="low"/> or below. Any thread.</summary>
internal sealed class WaterMark(long high, long low)
{
    private int _passed;

    public bool IsPassed => Volatile.Read(ref _passed) != 0;

    /// <summary>True: this value has changed it. Of several threads that see the same change one is told.</summary>
    public bool Observe(long value)
    {
        int passed = Volatile.Read(ref _passed);
        int now = value >= high || (passed != 0 && value > low) ? 1 : 0;
        return now != passed && Interlocked.CompareExchange(ref _passed, now, passed) == passed;
    }
}
