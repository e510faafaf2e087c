using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// What the log's thread knows about a group: its state after everything gathered so far. A checkpoint is written from it,
/// and it answers the two questions that depend on the order of the log: the term before new entries, and whether a
/// snapshot agrees with the log. Log thread only.
/// </summary>
internal sealed class GroupTail
{
    // Runs of equal term over the entries (Start.Index, LastIndex], ascending. Terms change with leaders, so there are few.
    private readonly List<(ulong First, ulong Term)> _terms = [];

    public GroupTail(uint group, SnapshotMetadata snapshot, string? snapshotFile, LogStart start)
    {
        Group = group;
        Snapshot = snapshot;
        SnapshotFile = snapshotFile;
        Start = start;
        LastIndex = start.Index;
    }

    public uint Group { get; }

    /// <summary>False until the group's first record is gathered: before that there is nothing to checkpoint.</summary>
    public bool IsWritten { get; set; }

    public HardState HardState { get; set; }

    /// <summary>Null when the log does not say whose it is.</summary>
    public ReplicaRecord? Replica { get; set; }

    public SnapshotMetadata Snapshot { get; private set; }

    public string? SnapshotFile { get; private set; }

    public LogStart Start { get; private set; }

    public ulong LastIndex { get; private set; }

    /// <summary>Term at an index in [Start.Index, LastIndex].</summary>
    public ulong Term(ulong index)
    {
        Invariant.Check(index >= Start.Index && index <= LastIndex, "a term is asked for within the log");
        if (index == Start.Index)
        {
            return Start.Term;
        }

        int run = _terms.FindLastIndex(r => r.First <= index);
        return _terms[run].Term;
    }

    /// <summary>The log has this very entry: index and term name one.</summary>
    public bool Holds(ulong index, ulong term) => index > Start.Index && index <= LastIndex && Term(index) == term;

    public void Append(ulong index, ulong term)
    {
        if (index <= LastIndex)
        {
            Invariant.Check(index > Start.Index, "compacted entries are never replaced");
            _terms.RemoveAll(r => r.First >= index);
            LastIndex = index - 1;
        }

        Invariant.Check(index == LastIndex + 1, "the log has no gap");
        if (_terms.Count == 0 || _terms[^1].Term != term)
        {
            _terms.Add((index, term));
        }

        LastIndex = index;
    }

    /// <summary>A snapshot takes the place of the log before <paramref name="start"/>; the answer is where the log ends then.</summary>
    public ulong Compact(SnapshotMetadata snapshot, string? snapshotFile, LogStart start)
    {
        Invariant.Check(snapshot.Index >= Snapshot.Index, "a group's snapshot never goes back");
        bool agrees = snapshot.Index >= Start.Index && snapshot.Index <= LastIndex && Term(snapshot.Index) == snapshot.Term;
        Invariant.Check(agrees || start.Index == snapshot.Index, "only a snapshot that agrees with the log leaves entries before it");
        Snapshot = snapshot;
        SnapshotFile = snapshotFile;
        if (!agrees)
        {
            _terms.Clear();
            Start = start;
            LastIndex = start.Index;
            return LastIndex;
        }

        if (start.Index > Start.Index)
        {
            Start = start;
            while (_terms.Count > 0 && (_terms.Count > 1 ? _terms[1].First - 1 : LastIndex) <= start.Index)
            {
                _terms.RemoveAt(0);
            }
        }

        return LastIndex;
    }
}
