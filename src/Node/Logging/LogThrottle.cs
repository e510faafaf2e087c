namespace KvStore.Node.Logging;

/// <summary>
/// For a line that strangers can cause as often as they like: one per interval, which says how many were left out. Any thread.
/// </summary>
internal sealed class LogThrottle(TimeProvider time, TimeSpan interval)
{
    private long _next = long.MinValue;
    private long _leftOut;

    /// <summary>True: write the line. Otherwise it is counted.</summary>
    /// <param name="leftOut">Lines not written since the last one that was.</param>
    public bool TryEnter(out long leftOut)
    {
        long now = time.GetTimestamp();
        long next = Volatile.Read(ref _next);
        bool first = now >= next
            && Interlocked.CompareExchange(ref _next, now + (long)(interval.TotalSeconds * time.TimestampFrequency), next) == next;
        leftOut = first ? Interlocked.Exchange(ref _leftOut, 0) : 0;
        if (!first)
        {
            Interlocked.Increment(ref _leftOut);
        }

        return first;
    }
}
