namespace KvStore.Raft;

/// <summary>
/// The log as the protocol sees it: the durable part behind <see cref="ILogReader"/>, then the unstable end.
/// <code>
///        snapshot | durable entries .................. | unstable entries ...... |
///   FirstIndex-1 -^                    Unstable.Offset -^             LastIndex -^
/// </code>
/// </summary>
internal sealed class RaftLog
{
    // May hold a tail beyond Unstable.Offset that has been replaced and not overwritten yet: never read from there on.
    private readonly ILogReader _durable;

    // One batch at most, handed out and taken back: what is committed stays as it is. Empty when its last entry is applied.
    private Entry[] _takenBack = [];

    public RaftLog(ILogReader durable, ulong commit, ulong applied)
    {
        _durable = durable;
        Unstable = new UnstableLog(durable.LastIndex + 1);
        Commit = commit;
        HandedOut = applied;
        Applied = applied;
    }

    public UnstableLog Unstable { get; }

    // Invariant: Applied <= HandedOut <= Commit <= LastIndex, and HandedOut < Unstable.Offset. None of them ever goes back, but for
    // HandedOut, which returns to Applied when the owner stops in the middle of a batch.
    public ulong Commit { get; private set; }

    /// <summary>Last entry given to the state machine; it may still be working on it.</summary>
    public ulong HandedOut { get; private set; }

    public ulong Applied { get; private set; }

    public ulong FirstIndex => _durable.FirstIndex;

    public ulong LastIndex => Unstable.LastIndex;

    public ulong LastTerm => Term(LastIndex);

    /// <summary>Last revision used in the log, committed or not (or by the snapshot).</summary>
    public ulong LastClock => Unstable.Last?.LastClock ?? _durable.LastClock(LastIndex);

    public SnapshotMetadata Snapshot => _durable.Snapshot;

    /// <summary>
    /// Something to apply is committed and durable here. One batch at a time: the next is handed out when the previous one has
    /// been applied, which bounds what waits for the state machine.
    /// </summary>
    public bool HasEntriesToApply => HandedOut == Applied && ApplyLimit > HandedOut;

    // A quorum of others can commit an entry before it is durable here; it is applied only when it is.
    private ulong ApplyLimit => Math.Min(Commit, Unstable.Offset - 1);

    /// <summary>False: the index is beyond the end, or compacted and its term forgotten.</summary>
    public bool TryTerm(ulong index, out ulong term)
    {
        if (index > LastIndex || index + 1 < FirstIndex)
        {
            term = 0;
            return false;
        }

        term = index >= Unstable.Offset ? Unstable[index].Term : _durable.Term(index);
        return true;
    }

    public ulong Term(ulong index)
    {
        Invariant.Check(TryTerm(index, out ulong term), "the term of every index in the log is known");
        return term;
    }

    public bool Matches(ulong index, ulong term) => TryTerm(index, out ulong here) && here == term;

    /// <summary>Paper 5.4.1: the later last term wins, then the longer log.</summary>
    public bool IsUpToDate(ulong lastIndex, ulong lastTerm) =>
        lastTerm > LastTerm || (lastTerm == LastTerm && lastIndex >= LastIndex);

    /// <summary>
    /// Paper 5.3, rules 3 and 4 of AppendEntries; (prevIndex, prevTerm) matches. Entries that are here already stay, so a late
    /// duplicate of a short append never cuts the log back.
    /// </summary>
    public void AppendAfterMatch(IReadOnlyList<Entry> entries)
    {
        int known = 0;
        while (known < entries.Count && Matches(entries[known].Index, entries[known].Term))
        {
            known++;
        }

        if (known == entries.Count)
        {
            return;
        }

        Append(known == 0 ? entries : [.. entries.Skip(known)]);
    }

    public void Append(IReadOnlyList<Entry> entries)
    {
        Invariant.Check(entries[0].Index > Commit, "a committed entry is never replaced");
        Unstable.TruncateAndAppend(entries);
    }

    public void CommitTo(ulong index)
    {
        if (index <= Commit)
        {
            return;
        }

        Invariant.Check(index <= LastIndex, "the commit index stays within the log; if a leader knows more of it, this replica lost data");
        Commit = index;
    }

    /// <summary>
    /// The last index at or below the given one whose term is not above <paramref name="term"/>: nothing between them can match
    /// a log that has <paramref name="term"/> there. The term is 0 when it is no longer known (then the entry is committed).
    /// </summary>
    public (ulong Index, ulong Term) LastNotAbove(ulong index, ulong term)
    {
        while (true)
        {
            if (!TryTerm(index, out ulong here))
            {
                return (index, 0);
            }

            if (here <= term || index == 0)
            {
                return (index, here);
            }

            index--;
        }
    }

    /// <summary>Whether entries from low on may be asked for now.</summary>
    public bool MayRead(ulong low) => low >= Unstable.Offset || _durable.MayRead(low);

    /// <summary>Entries from low on: at least one, then as many as fit; none when low is past the end.</summary>
    public IReadOnlyList<Entry> EntriesFrom(ulong low, long maxBytes)
    {
        if (low > LastIndex)
        {
            return [];
        }

        if (low >= Unstable.Offset)
        {
            return Unstable.From(low, low + CountThatFit(low, maxBytes));
        }

        IReadOnlyList<Entry> durable = _durable.Entries(low, Unstable.Offset, maxBytes);
        long rest = maxBytes - durable.Sum(entry => entry.ChargedBytes);
        ulong next = durable[^1].Index + 1;
        if (next < Unstable.Offset || next > LastIndex || Unstable[next].ChargedBytes > rest)
        {
            return durable;
        }

        return [.. durable, .. Unstable.From(next, next + CountThatFit(next, rest))];
    }

    public IReadOnlyList<Entry> HandOutToApply(long maxBytes)
    {
        IReadOnlyList<Entry> batch = _takenBack.Length == 0 ? _durable.Entries(HandedOut + 1, ApplyLimit + 1, maxBytes) : AgainToApply(maxBytes);
        HandedOut = batch[^1].Index;
        return batch;
    }

    public void AppliedTo(ulong index)
    {
        Invariant.Check(index >= Applied && index <= HandedOut, "what is applied was handed out, and nothing is applied twice");
        Applied = index;
        if (_takenBack.Length > 0 && index >= _takenBack[^1].Index)
        {
            _takenBack = [];
        }
    }

    /// <summary>What was handed out and is not applied will be handed out again, and is not read again for that.</summary>
    public void TakeBack(IReadOnlyList<Entry> batch)
    {
        HandedOut = Applied;
        if (_takenBack.Length == 0)
        {
            _takenBack = [.. batch];
        }
    }

    /// <summary>The state machine and the durable log now start at the snapshot; nothing here matched it.</summary>
    public void Restore(ulong snapshotIndex)
    {
        Unstable.Restart(snapshotIndex);
        _takenBack = [];
        Commit = snapshotIndex;
        HandedOut = snapshotIndex;
        Applied = snapshotIndex;
    }

    private ArraySegment<Entry> AgainToApply(long maxBytes)
    {
        int first = (int)(HandedOut + 1 - _takenBack[0].Index);
        int end = first;
        for (long bytes = 0; end < _takenBack.Length; end++)
        {
            bytes += _takenBack[end].ChargedBytes;
            if (end > first && bytes > maxBytes)
            {
                break;
            }
        }

        return new ArraySegment<Entry>(_takenBack, first, end - first);
    }

    private ulong CountThatFit(ulong low, long maxBytes)
    {
        ulong count = 0;
        long bytes = 0;
        for (ulong index = low; index <= LastIndex; index++)
        {
            bytes += Unstable[index].ChargedBytes;
            if (count > 0 && bytes > maxBytes)
            {
                break;
            }

            count++;
        }

        return count;
    }
}
