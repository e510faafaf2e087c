namespace KvStore.Replication;

/// <summary>
/// Whoever asks over one connection, and what it has under way here. The node's places for requests belong to everybody: while they are
/// tight a source may hold as many as are still free, and not one more (<see cref="FairShare"/>). Any thread.
/// </summary>
public sealed class RequestSource
{
    private int _inFlight;
    private long _bytes;
    private int _forwarded;

    /// <summary>Requests submitted and not answered.</summary>
    public int InFlight => Volatile.Read(ref _inFlight);

    internal (int Requests, long Bytes) Begin(long bytes) => (Interlocked.Increment(ref _inFlight), Interlocked.Add(ref _bytes, bytes));

    internal void End(long bytes)
    {
        Interlocked.Decrement(ref _inFlight);
        Interlocked.Add(ref _bytes, -bytes);
    }

    /// <summary>Of its requests one more, or one less, is with another node. How many there are then.</summary>
    internal int CountForwarded(int more) => Interlocked.Add(ref _forwarded, more);
}

/// <summary>
/// How places that many want are shared without knowing who will come: a source may hold as many as are left when it holds them. One alone
/// gets half, of two a third each, of seventeen an eighteenth; and as much is always free for whoever comes next. While less than half is
/// taken nobody notices.
/// </summary>
internal static class FairShare
{
    /// <param name="limit">Places.</param>
    /// <param name="taken">Of them taken, this one included.</param>
    /// <param name="own">Of these the source's, this one included.</param>
    public static bool Allows(long limit, long taken, long own) => own <= limit - taken;
}
