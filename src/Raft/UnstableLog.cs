namespace KvStore.Raft;

/// <summary>
/// The end of the log that is not known to be durable. Entries are handed out for writing once and stay here until a
/// completion says they are durable, because a later leader may still replace them while the write is in flight.
/// </summary>
internal sealed class UnstableLog(ulong offset)
{
    // Entry i has index Offset + i.
    private readonly List<Entry> _entries = [];

    // Invariant: Offset <= _nextToHandOut <= LastIndex + 1. Entries in [Offset, _nextToHandOut) are being written.
    private ulong _nextToHandOut = offset;

    // The last run that was asked for, while nothing of it was replaced: the log and every follower take the same one.
    private Entry[] _run = [];

    /// <summary>First index that is not known to be durable.</summary>
    public ulong Offset { get; private set; } = offset;

    public ulong LastIndex => Offset + (ulong)_entries.Count - 1;

    public Entry? Last => _entries.Count > 0 ? _entries[^1] : null;

    public bool HasEntriesToHandOut => _nextToHandOut <= LastIndex;

    public Entry this[ulong index] => _entries[(int)(index - Offset)];

    /// <summary>Puts entries at their indices; whatever was at or after the first of them is gone.</summary>
    public void TruncateAndAppend(IReadOnlyList<Entry> entries)
    {
        ulong first = entries[0].Index;
        Invariant.Check(first <= LastIndex + 1, "the log has no hole");
        if (first <= Offset)
        {
            // The cut reaches into what was durable: the next write replaces that part of the stored log too.
            Offset = first;
            _entries.Clear();
        }
        else
        {
            _entries.RemoveRange((int)(first - Offset), (int)(LastIndex + 1 - first));
        }

        _nextToHandOut = Math.Min(_nextToHandOut, first);
        if (_run.Length > 0 && _run[^1].Index >= first)
        {
            _run = [];
        }

        _entries.AddRange(entries);
    }

    public IReadOnlyList<Entry> HandOut()
    {
        if (!HasEntriesToHandOut)
        {
            return [];
        }

        IReadOnlyList<Entry> entries = From(_nextToHandOut, LastIndex + 1);
        _nextToHandOut = LastIndex + 1;
        return entries;
    }

    /// <summary>Whoever gets it may keep it: it never changes.</summary>
    public IReadOnlyList<Entry> From(ulong low, ulong highExclusive)
    {
        int count = (int)(highExclusive - low);
        if (_run.Length == 0 || _run.Length != count || _run[0].Index != low)
        {
            _run = new Entry[count];
            _entries.CopyTo((int)(low - Offset), _run, 0, count);
        }

        return _run;
    }

    /// <summary>
    /// The log is durable up to (index, term). Nothing happens unless exactly that entry is still here. The caller has refused
    /// completions of writes handed out in an older term: index and entry term alone cannot tell A from A in A-B-A, where the
    /// first A was written, B is being written over it, and the second A is not written yet.
    /// </summary>
    public void TrimTo(ulong index, ulong term)
    {
        if (index < Offset || index > LastIndex || this[index].Term != term)
        {
            return;
        }

        _entries.RemoveRange(0, (int)(index - Offset + 1));
        _run = [];
        Offset = index + 1;
        _nextToHandOut = Math.Max(_nextToHandOut, Offset);
    }

    /// <summary>Everything up to index is in a snapshot and nothing follows it.</summary>
    public void Restart(ulong index)
    {
        _entries.Clear();
        _run = [];
        Offset = index + 1;
        _nextToHandOut = Offset;
    }
}
