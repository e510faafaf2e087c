namespace KvStore.Raft.Tests.Harness;

/// <summary>What is on a replica's disk: log, hard state, newest snapshot. It survives a crash; nothing else does.</summary>
internal sealed class MemoryLog : ILogReader
{
    private readonly List<Entry> _entries = [];
    private ulong _termBeforeFirst;
    private ulong _clockBeforeFirst;

    public MemoryLog(SnapshotMetadata start) => Reset(start);

    public HardState HardState { get; set; }

    public SnapshotMetadata Snapshot { get; private set; } = null!;

    public ulong FirstIndex { get; private set; }

    /// <summary>Entries handed out by <see cref="Entries"/> so far.</summary>
    public long EntriesRead { get; private set; }

    public ulong LastIndex => FirstIndex + (ulong)_entries.Count - 1;

    public ulong Term(ulong index) => index == FirstIndex - 1 ? _termBeforeFirst : this[index].Term;

    public ulong LastClock(ulong index) => index == FirstIndex - 1 ? _clockBeforeFirst : this[index].LastClock;

    public Entry this[ulong index] => _entries[checked((int)(index - FirstIndex))];

    public IReadOnlyList<Entry> Entries(ulong low, ulong highExclusive, long maxBytes)
    {
        Assert.True(
            low >= FirstIndex && low < highExclusive && highExclusive <= LastIndex + 1,
            $"[{low}, {highExclusive}) of [{FirstIndex}, {LastIndex}]");
        List<Entry> result = [];
        long bytes = 0;
        for (ulong index = low; index < highExclusive; index++)
        {
            bytes += this[index].ChargedBytes;
            if (result.Count > 0 && bytes > maxBytes)
            {
                break;
            }

            result.Add(this[index]);
        }

        EntriesRead += result.Count;
        return result;
    }

    public void Write(IReadOnlyList<Entry> entries)
    {
        if (entries.Count == 0)
        {
            return;
        }

        ulong first = entries[0].Index;
        Assert.True(first >= FirstIndex && first <= LastIndex + 1, $"write at {first} into [{FirstIndex}, {LastIndex}]");
        _entries.RemoveRange((int)(first - FirstIndex), (int)(LastIndex + 1 - first));
        _entries.AddRange(entries);
    }

    public void TakeSnapshot(ulong index, ConfState configuration) =>
        Snapshot = new SnapshotMetadata(index, Term(index), LastClock(index), configuration);

    public void CompactTo(ulong index)
    {
        Assert.True(index <= Snapshot.Index, "only what a snapshot covers is cut");
        if (index < FirstIndex)
        {
            return;
        }

        (_termBeforeFirst, _clockBeforeFirst) = (Term(index), LastClock(index));
        _entries.RemoveRange(0, (int)(index - FirstIndex + 1));
        FirstIndex = index + 1;
    }

    public void Reset(SnapshotMetadata snapshot)
    {
        Snapshot = snapshot;
        _entries.Clear();
        FirstIndex = snapshot.Index + 1;
        _termBeforeFirst = snapshot.Term;
        _clockBeforeFirst = snapshot.LastClock;
    }
}
