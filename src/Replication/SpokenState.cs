namespace KvStore.Replication;

/// <summary>
/// A state of the node that is said when it begins and not again until it is over, and at most once in an interval however it comes and goes:
/// what a peer claims of itself can make it come and go with every frame. Any thread.
/// </summary>
internal sealed class SpokenState
{
    private const long IntervalMs = 60_000;

    private long _nextMs = long.MinValue;
    private int _isSaid;

    /// <summary>Whether this is the moment to say it. A state that began when it could not be said is said later, if it still holds.</summary>
    /// <param name="holds">Now.</param>
    /// <param name="elapsedMs">Of the node's elapsed clock.</param>
    public bool IsToBeSaid(bool holds, long elapsedMs)
    {
        if (!holds)
        {
            Volatile.Write(ref _isSaid, 0);
            return false;
        }

        long next = Interlocked.Read(ref _nextMs);
        return Volatile.Read(ref _isSaid) == 0 && elapsedMs >= next
            && Interlocked.CompareExchange(ref _nextMs, elapsedMs + IntervalMs, next) == next
            && Interlocked.Exchange(ref _isSaid, 1) == 0;
    }
}
