using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>Builds the leaves of one tree after the other from rows in key order.</summary>
internal sealed class TreeBuilder(SlabArena arena)
{
    // Not full: the first inserts after a restart should not split every leaf they meet.
    private const int PairsPerLeaf = Leaf.MaxPairs * 7 / 8;

    private readonly List<ulong[]> _leaves = [];
    private readonly List<byte[]> _separators = [];
    private readonly SlabReference[] _references = new SlabReference[PairsPerLeaf];
    private int _count;
    private SlabReference _last;

    public void Add(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, RecordMeta meta)
    {
        bool isFirst = _last.IsNone;
        Invariant.Check(isFirst || KeyOf(_last).SequenceCompareTo(key) < 0, "rows are sorted by key, without duplicates");
        if (_count == PairsPerLeaf)
        {
            FinishLeaf();
        }

        if (_count == 0 && !isFirst)
        {
            _separators.Add(LeafDirectory.Separator(KeyOf(_last), key));
        }

        RecordHeader header = Record.HeaderFor(key.Length, value.Length, meta, tombstone: false);
        _last = arena.Allocate(ref header, out Record record);
        record.Write(header, SlabReference.None, meta, key, value);
        _references[_count++] = _last;
    }

    /// <summary>The directory of what was added since the last call.</summary>
    public LeafDirectory Finish()
    {
        if (_count > 0)
        {
            FinishLeaf();
        }

        if (_leaves.Count == 0)
        {
            _leaves.Add(Leaf.Empty().Block);
        }

        var directory = new LeafDirectory([.. _leaves], [.. _separators]);
        _leaves.Clear();
        _separators.Clear();
        _last = SlabReference.None;
        return directory;
    }

    private void FinishLeaf()
    {
        _leaves.Add(Leaf.Of(arena, _references.AsSpan(0, _count)).Block);
        _count = 0;
    }

    private ReadOnlySpan<byte> KeyOf(SlabReference reference) => arena.Open(reference, out RecordHeader header).Key(header);
}
