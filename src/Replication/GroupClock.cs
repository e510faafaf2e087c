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

/// <summary>What this node knows of the other nodes' wall clocks: the difference to its own at the last frame from each.</summary>
internal sealed class WallClocks(int nodeCount)
{
    /// <summary>A node further off the median than this raises an alert and leaves campaigning to others while they can.</summary>
    public const long MaxOffsetMs = 5000;

    private readonly long[] _offsetMs = new long[nodeCount + 1];
    private readonly bool[] _known = new bool[nodeCount + 1];

    public void Observe(uint node, ulong theirWallMs, ulong ownWallMs)
    {
        if (node < _offsetMs.Length && theirWallMs != 0)
        {
            _offsetMs[node] = (long)(theirWallMs - ownWallMs);
            _known[node] = true;
        }
    }

    /// <summary>
    /// Median over the given nodes of their offsets to this node's wall clock; nodes never heard of are left out, this node
    /// counts as 0.
    /// </summary>
    public long MedianOffsetMs(ReadOnlySpan<uint> voters, uint self)
    {
        Span<long> offsets = stackalloc long[voters.Length];
        int count = 0;
        foreach (uint node in voters)
        {
            if (node == self)
            {
                offsets[count++] = 0;
            }
            else if (_known[node])
            {
                offsets[count++] = _offsetMs[node];
            }
        }

        if (count == 0)
        {
            return 0;
        }

        Span<long> known = offsets[..count];
        known.Sort();
        return count % 2 == 1 ? known[count / 2] : (known[count / 2 - 1] + known[count / 2]) / 2;
    }
}
