using System.Runtime.InteropServices;
using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>Builds the leaves of one tree after the other from rows in key order.</summary>
internal sealed class TreeBuilder(Slabs slabs, TreeShape shape)
{
    private readonly List<ulong[]> _leaves = [];
    private readonly List<byte[]> _separators = [];
    private readonly SlabReference[] _references = new SlabReference[shape.AsBuilt.PairsPerLeaf];
    private int _count;
    private SlabReference _last;

    public void Add(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, RecordMeta meta)
    {
        bool isFirst = _last.IsNone;
        Invariant.Check(isFirst || KeyOf(_last).SequenceCompareTo(key) < 0, "rows are sorted by key, without duplicates");
        if (_count == _references.Length)
        {
            FinishLeaf();
        }

        if (_count == 0 && !isFirst)
        {
            _separators.Add(Separators.Between(KeyOf(_last), key));
        }

        RecordHeader header = Record.HeaderFor(key.Length, value.Length, meta, tombstone: false);
        _last = slabs.Allocate(ref header, out Record record);
        record.Write(header, SlabReference.None, meta, key, value);
        _references[_count++] = _last;
    }

    /// <summary>The root of what was added since the last call.</summary>
    public RootDirectory Finish()
    {
        if (_count > 0)
        {
            FinishLeaf();
        }

        if (_leaves.Count == 0)
        {
            _leaves.Add(Leaf.Empty().Block);
        }

        var root = RootDirectory.Over(
            CollectionsMarshal.AsSpan(_leaves), CollectionsMarshal.AsSpan(_separators), shape.AsBuilt.LeavesPerDirectory);
        _leaves.Clear();
        _separators.Clear();
        _last = SlabReference.None;
        return root;
    }

    private void FinishLeaf()
    {
        _leaves.Add(Leaf.Of(slabs, _references.AsSpan(0, _count)).Block);
        _count = 0;
    }

    private ReadOnlySpan<byte> KeyOf(SlabReference reference) => slabs.Open(reference, out RecordHeader header).Key(header);
}
