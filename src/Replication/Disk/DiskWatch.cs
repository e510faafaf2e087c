namespace KvStore.Replication;

/// <summary>
/// Watches how long the oldest write of this node has been waiting for the disk. The log's thread cannot: it is what waits. So each loop
/// says once a tick how old the oldest of its own is, and what the disk is called follows from the oldest of all.
/// <para>
/// A disk is sick when a write is <see cref="SickAfterMs"/> old, and well again only when for <see cref="WellAfterMs"/> none has become
/// <see cref="WellAgeMs"/> old: one that stands still every few seconds stays sick in between. Without a write nothing is known, and a disk
/// that stands still unasked passes for well until somebody asks. Any thread.
/// </para>
/// </summary>
internal sealed class DiskWatch(int loops, Action<bool, long> changed)
{
    public const long SickAfterMs = 2000;
    public const long WellAgeMs = 250;
    public const long WellAfterMs = 30_000;

    /// <summary>For so long after a write was too old, the node goes on reporting it: a report comes between two writes as well.</summary>
    private const long RemembersMs = 1000;

    private readonly long[] _ages = new long[loops];
    private long _lastUnwellMs = long.MinValue / 2;
    private int _sick;

    /// <summary>This node should lead nothing.</summary>
    public bool IsSick => Volatile.Read(ref _sick) != 0;

    /// <summary>Age of the oldest write that is not durable, milliseconds, as at the last tick; 0: there is none.</summary>
    public long AgeMs => _ages.Max();

    /// <summary>What the others are told: at least <see cref="SickAfterMs"/> while sick, and the worst of late otherwise.</summary>
    public DiskReport Report(long nowMs)
    {
        long age = AgeMs;
        long least = IsSick ? SickAfterMs : nowMs - Volatile.Read(ref _lastUnwellMs) < RemembersMs ? WellAgeMs : 0;
        return new DiskReport((uint)Math.Min(uint.MaxValue, Math.Max(age, least)));
    }

    /// <summary>Once a tick of a loop.</summary>
    /// <param name="loop">Which.</param>
    /// <param name="nowMs">The node's elapsed clock.</param>
    /// <param name="ageMs">Age of its oldest write that is not durable; 0: it has none.</param>
    /// <param name="worstMs">The largest age that one of its writes has reached since the last tick.</param>
    public void Observe(int loop, long nowMs, long ageMs, long worstMs)
    {
        Volatile.Write(ref _ages[loop], ageMs);
        if (worstMs >= WellAgeMs)
        {
            Volatile.Write(ref _lastUnwellMs, nowMs);
        }

        if (worstMs >= SickAfterMs)
        {
            Become(sick: 1, worstMs);
        }
        else if (IsSick && nowMs - Volatile.Read(ref _lastUnwellMs) >= WellAfterMs)
        {
            Become(sick: 0, ageMs);
        }
    }

    // Of several loops that see the same change one says it.
    private void Become(int sick, long ageMs)
    {
        if (Interlocked.Exchange(ref _sick, sick) != sick)
        {
            changed(sick != 0, ageMs);
        }
    }
}
