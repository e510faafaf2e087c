namespace KvStore.Replication;

/// <summary>
/// Group time while this replica leads: milliseconds that run on this node's elapsed clock from
/// max(last group time, median of the voters' wall clocks at the start of the term). So one bad wall clock cannot move a
/// group by a year; a later difference from the median is slewed by at most a tenth of the time that passed, never stepped,
/// never back.
/// </summary>
internal sealed class GroupClock
{
    private ulong _anchoredTerm;
    private double _groupMsAtAnchor;
    private long _anchorMs;

    /// <summary>Group time now, in milliseconds.</summary>
    /// <param name="term">Term this replica leads; a new one takes a new anchor.</param>
    /// <param name="nowMs">This node's elapsed clock.</param>
    /// <param name="medianWallMs">Median of the voters' wall clocks, unix milliseconds.</param>
    /// <param name="lastGroupMs">Time of the last entry in the log, committed or not.</param>
    public ulong Now(ulong term, long nowMs, ulong medianWallMs, ulong lastGroupMs)
    {
        if (term != _anchoredTerm)
        {
            _anchoredTerm = term;
            _groupMsAtAnchor = Math.Max(lastGroupMs, medianWallMs);
            _anchorMs = nowMs;
        }

        long elapsed = nowMs - _anchorMs;
        if (elapsed >= SlewIntervalMs)
        {
            double unslewed = _groupMsAtAnchor + elapsed;
            double allowed = elapsed * MaxSlew;
            _groupMsAtAnchor = unslewed + Math.Clamp(medianWallMs - unslewed, -allowed, allowed);
            _anchorMs = nowMs;
            elapsed = 0;
        }

        return (ulong)(_groupMsAtAnchor + elapsed);
    }

    private const int SlewIntervalMs = 100;
    private const double MaxSlew = 0.1;
}

/// <summary>
/// What this node knows of the other nodes' wall clocks: what each showed when its last frame came, carried on by this node's
/// elapsed clock. Not by its wall clock: when that jumps, the clocks of nodes that are silent would seem to jump with it, and
/// outvote those that are heard.
/// </summary>
internal sealed class WallClocks(int nodeCount, uint self)
{
    /// <summary>A node further off the median than this raises an alert and leaves campaigning to others while they can.</summary>
    public const long MaxOffsetMs = 5000;

    /// <summary>A group further ahead of one of its voters' clocks than this is warned of, in seconds.</summary>
    public const long MaxLeadSeconds = 60;

    private readonly long[] _wallAtStartMs = new long[nodeCount + 1];
    private readonly bool[] _known = new bool[nodeCount + 1];

    /// <summary>Whether a node's clock, as far as it was heard, is far off the median of all; for this node see <see cref="Fitness.ClockIsOff"/>.</summary>
    public bool IsOff(uint node, long ownWallMs, long elapsedMs) => node < _known.Length && _known[node]
        && Math.Abs(_wallAtStartMs[node] + elapsedMs - MedianOfAllMs(ownWallMs, elapsedMs)) > MaxOffsetMs;

    /// <summary>The earliest time that one of these nodes' wall clocks shows now; nodes never heard of are left out.</summary>
    public long SlowestMs(ReadOnlySpan<uint> voters, long ownWallMs, long elapsedMs)
    {
        long slowest = ownWallMs;
        foreach (uint node in voters)
        {
            if (node != self && _known[node])
            {
                slowest = Math.Min(slowest, _wallAtStartMs[node] + elapsedMs);
            }
        }

        return slowest;
    }

    /// <summary>Median over all nodes that were heard, and this one.</summary>
    public long MedianOfAllMs(long ownWallMs, long elapsedMs)
    {
        Span<uint> all = stackalloc uint[_known.Length - 1];
        for (int i = 0; i < all.Length; i++)
        {
            all[i] = (uint)i + 1;
        }

        return MedianMs(all, self, ownWallMs, elapsedMs);
    }

    /// <param name="node">Whose frame it was.</param>
    /// <param name="theirWallMs">What its wall clock showed; 0 when it did not say.</param>
    /// <param name="elapsedMs">This node's elapsed clock when the frame came.</param>
    public void Observe(uint node, ulong theirWallMs, long elapsedMs)
    {
        if (node < _wallAtStartMs.Length && theirWallMs != 0)
        {
            _wallAtStartMs[node] = (long)theirWallMs - elapsedMs;
            _known[node] = true;
        }
    }

    /// <summary>
    /// Median over the given nodes of what their wall clocks show now; nodes never heard of are left out. Of two in the middle the
    /// earlier one counts: time that is behind catches up, time that ran ahead cannot be taken back.
    /// </summary>
    public long MedianMs(ReadOnlySpan<uint> voters, uint self, long ownWallMs, long elapsedMs)
    {
        Span<long> walls = stackalloc long[voters.Length];
        int count = 0;
        foreach (uint node in voters)
        {
            if (node == self)
            {
                walls[count++] = ownWallMs;
            }
            else if (_known[node])
            {
                walls[count++] = _wallAtStartMs[node] + elapsedMs;
            }
        }

        if (count == 0)
        {
            return ownWallMs;
        }

        Span<long> known = walls[..count];
        known.Sort();
        return known[(count - 1) / 2];
    }
}
