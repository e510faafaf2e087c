using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// What becomes of superseded versions. Most are freed when their batch is published. One that a registered snapshot sees is
/// pinned: it stays in its chain and on a list, and leaves both when no snapshot sees it any more, even if others stay open.
/// </summary>
public sealed partial class GroupTable
{
    // Pinned versions looked at in each published batch while a closed snapshot's leftovers are being freed. An idle group is
    // served by SlabArena.EvacuateStep.
    private const int ReleasesPerBatch = 128;
    private const int ReleaseCostBytes = 64;

    private readonly List<PinnedVersion> _pinned = [];
    private long _pinnedBytes;

    // A sweep goes over the list from its end. Invariant: entries at or above _sweepCursor have been looked at since
    // _sweepGoal snapshots had been closed, or were added after that.
    private int _sweepCursor;
    private long _sweepGoal;
    private long _sweptRemovals;

    private int _dismantledTrees;
    private byte[] _dismantleFrom = [];

    internal bool IsDismantled => _isRetired && _dismantledTrees == _trees.Length;

    internal byte[]? EvacuateLeaf(int tree, byte[] from, ref int budget) => _trees[tree].EvacuateLeaf(from, ref budget);

    /// <summary>Frees a bounded number of versions that closed snapshots, or the retired table, leave behind.</summary>
    internal void ReleaseStep(ref int budget)
    {
        Invariant.Check(!IsBatchOpen, "memory is released between batches only");
        if (_isRetired)
        {
            DismantleStep(ref budget);
        }
        else
        {
            SweepStep(ref budget);
        }
    }

    private void FreePredecessor(Successor successor, ulong[] snapshots)
    {
        Record newer = _slabs.Open(successor.Version, out RecordHeader newerHeader);
        SlabReference old = newer.Previous;
        Record older = _slabs.Open(old, out RecordHeader olderHeader);
        if (ActiveSnapshots.AnySees(snapshots, older.ModRevision, newer.ModRevision))
        {
            _pinned.Add(new PinnedVersion(successor.Tree, old, older.ModRevision, newer.ModRevision));
            AddPinnedBytes(_slabs.SlotBytesOf(olderHeader));
            return;
        }

        newer.SetPrevious(older.Previous);
        _slabs.Free(old);
        RemoveIfSpent(_trees[successor.Tree], successor.Version, newer, newerHeader);
    }

    /// <summary>
    /// A tombstone without anything older says no more than a missing pair does. It goes, unless a newer version has already
    /// been put on top of it.
    /// </summary>
    private void RemoveIfSpent(VirtualNodeTree tree, SlabReference version, Record record, RecordHeader header)
    {
        if (!header.IsTombstone || !record.Previous.IsNone)
        {
            return;
        }

        VirtualNodeTree.Place place = tree.Find(record.Key(header));
        if (place.Exists && tree.HeadAt(place) == version)
        {
            tree.Remove(place);
            _slabs.Free(version);
        }
    }

    private void SweepStep(ref int budget)
    {
        if (_sweepCursor == 0)
        {
            long removals = _snapshots.Removals;
            if (removals == _sweptRemovals)
            {
                return;
            }

            _sweepGoal = removals;
            _sweepCursor = _pinned.Count;
        }

        ulong[] snapshots = _snapshots.Current;
        while (_sweepCursor > 0 && budget > 0)
        {
            budget -= ReleaseCostBytes;
            PinnedVersion version = _pinned[--_sweepCursor];
            if (!ActiveSnapshots.AnySees(snapshots, version.Written, version.Superseded))
            {
                Unlink(version);
                _pinned[_sweepCursor] = _pinned[^1];
                _pinned.RemoveAt(_pinned.Count - 1);
            }
        }

        if (_sweepCursor == 0)
        {
            _sweptRemovals = _sweepGoal;
            if (_pinned.Count == 0)
            {
                _pinned.Capacity = 0;
            }
        }
    }

    /// <summary>Takes a version out of the middle or the end of its key's chain.</summary>
    private void Unlink(PinnedVersion version)
    {
        VirtualNodeTree tree = _trees[version.Tree];
        Record record = _slabs.Open(version.Reference, out RecordHeader header);
        VirtualNodeTree.Place place = tree.Find(record.Key(header));
        Invariant.Check(place.Exists, "the pair of a key stays as long as a version is pinned");
        SlabReference newer = tree.HeadAt(place);
        Record newerRecord = _slabs.Open(newer, out RecordHeader newerHeader);
        while (newerRecord.Previous != version.Reference)
        {
            newer = newerRecord.Previous;
            newerRecord = _slabs.Open(newer, out newerHeader);
        }

        newerRecord.SetPrevious(record.Previous);
        AddPinnedBytes(-_slabs.SlotBytesOf(header));
        _slabs.Free(version.Reference);
        RemoveIfSpent(tree, newer, newerRecord, newerHeader);
    }

    /// <summary>
    /// Frees a retired table leaf by leaf. The tree itself is left as it is: a reader inside it finds its record gone, starts
    /// again and meets the flag.
    /// </summary>
    private void DismantleStep(ref int budget)
    {
        if (_snapshots.Current.Length > 0)
        {
            return;
        }

        // The versions on the list are in the chains, too, and go with them.
        _pinned.Clear();
        AddPinnedBytes(-_pinnedBytes);
        while (_dismantledTrees < _trees.Length && budget > 0)
        {
            var cursor = new LeafCursor(_trees[_dismantledTrees].Root, _dismantleFrom);
            Leaf leaf = cursor.Leaf;
            budget -= leaf.Block.Length * sizeof(ulong);
            for (int pair = 0; pair < leaf.Count; pair++)
            {
                SlabReference version = leaf.Reference(pair);
                while (!version.IsNone)
                {
                    SlabReference older = _slabs.Open(version, out _).Previous;
                    _slabs.Free(version);
                    budget -= ReleaseCostBytes;
                    version = older;
                }
            }

            byte[]? next = cursor.UpperBound;
            _dismantleFrom = next ?? [];
            _dismantledTrees += next is null ? 1 : 0;
        }
    }

    private void AddPinnedBytes(long bytes)
    {
        _pinnedBytes += bytes;
        _slabs.AddPinnedBytes(bytes);
    }

    /// <param name="Tree">Its virtual node.</param>
    /// <param name="Reference">The version.</param>
    /// <param name="Written">Its revision.</param>
    /// <param name="Superseded">Revision of the version after it. Snapshots from Written up to here, exclusive, see it.</param>
    private readonly record struct PinnedVersion(int Tree, SlabReference Reference, ulong Written, ulong Superseded);
}
