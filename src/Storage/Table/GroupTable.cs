using System.Buffers;
using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// All virtual nodes of one group. One worker writes, in batches; any thread reads, without locks and without being counted.
/// A batch becomes visible as a whole, by one store of the group's published moment.
/// </summary>
/// <remarks>
/// <para>
/// The writer knows no time. A record whose deadline has passed reads as absent at the published group time, but to
/// <see cref="TryPeek"/>, <see cref="Put"/> and <see cref="Delete"/> it is there until it is deleted: what a command does must
/// not depend on how many entries a replica put into one batch. The state machine deletes what is due at an entry's own time
/// before it applies the entry.
/// </para>
/// <para>
/// Bad arguments throw; an index, revision or group time that does not grow is a broken invariant.
/// </para>
/// </remarks>
public sealed partial class GroupTable
{
    public const int MaxKeyBytes = Record.MaxKeyBytes;
    public const int MaxValueBytes = Record.MaxValueBytes;

    private const int IndexBytesPerKey = 20;

    /// <summary>Of a row in a snapshot, beside key and value.</summary>
    private const int RowBytes = 32;

    private readonly Slabs _slabs;
    // The ordinals of all nodes but the last, by their distance from the first. The last stands apart: it may be far from the others, and
    // an array up to it would be mostly holes.
    private readonly int _firstNode;
    private readonly int _lastNode;
    private readonly int[] _ordinals;
    private readonly VirtualNodeTree[] _trees;
    private readonly Publication _publication = new();
    private readonly ActiveSnapshots _snapshots = new();
    // The open batch: the new version of every key that had one before, in order.
    private readonly List<Successor> _successors = [];
    private ReadPoint _published;
    private ulong _batchIndex;
    private ulong _batchRevision;
    private long _batchKeyCount;
    private long _keyCount;
    private long _dataBytes;
    private bool _isRetired;

    public GroupTable(SlabArena arena, ReadOnlySpan<int> virtualNodes)
        : this(arena, virtualNodes, TreeShape.Default, isAttached: true)
    {
    }

    /// <summary>Not attached: the arena's owner does not know of it yet.</summary>
    internal GroupTable(SlabArena arena, ReadOnlySpan<int> virtualNodes, TreeShape shape, bool isAttached = true)
    {
        ArgumentNullException.ThrowIfNull(arena);
        ArgumentOutOfRangeException.ThrowIfZero(virtualNodes.Length);
        _slabs = arena.Slabs;
        int[] nodes = virtualNodes.ToArray();
        Array.Sort(nodes);
        ArgumentOutOfRangeException.ThrowIfNegative(nodes[0]);
        (_firstNode, _lastNode) = (nodes[0], nodes[^1]);
        _ordinals = new int[nodes.Length == 1 ? 0 : nodes[^2] - _firstNode + 1];
        Array.Fill(_ordinals, -1);
        _trees = new VirtualNodeTree[nodes.Length];
        for (int i = 0; i < nodes.Length; i++)
        {
            if (i > 0 && nodes[i] == nodes[i - 1])
            {
                throw new ArgumentException($"Virtual node {nodes[i]} is listed twice.", nameof(virtualNodes));
            }

            if (i < nodes.Length - 1)
            {
                _ordinals[nodes[i] - _firstNode] = i;
            }

            _trees[i] = new VirtualNodeTree(_slabs, shape);
        }

        if (isAttached)
        {
            arena.Attach(this);
        }
    }

    /// <summary>Index of the last published batch; any thread.</summary>
    public ulong AppliedIndex => _publication.Read().Index;

    /// <summary>Group time (ms) published with <see cref="AppliedIndex"/>.</summary>
    public ulong GroupTime => _publication.Read().GroupTime;

    /// <summary>Keys as of the last published batch, those counted that have expired but are not deleted yet; any thread.</summary>
    public long KeyCount => Volatile.Read(ref _keyCount);

    /// <summary>What a snapshot of the newest versions takes, about; any thread.</summary>
    public long DataBytes => Volatile.Read(ref _dataBytes);

    /// <summary>
    /// Bytes of the leaves and of what points to them, about: they are not in the arena. A pair has 16 bytes, and a leaf that is half full
    /// shares its array's header, its place in the directory and its separator among 32 pairs.
    /// </summary>
    public long IndexBytes => KeyCount * IndexBytesPerKey;

    internal bool IsBatchOpen { get; private set; }

    internal bool IsRetired => Volatile.Read(ref _isRetired);

    internal int TreeCount => _trees.Length;

    public bool Owns(int virtualNode) => TryGetOrdinal(virtualNode, out _);

    // ---- The owning worker ----

    public void BeginBatch(ulong index)
    {
        Invariant.Check(!IsBatchOpen, "one batch at a time");
        Invariant.Check(!_isRetired, "a retired table is not written");
        Invariant.Check(index > _published.Index, "the applied index grows");
        IsBatchOpen = true;
        _batchIndex = index;
        _batchRevision = _published.Revision;
        _batchKeyCount = _keyCount;
    }

    public void Put(int virtualNode, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong revision, ulong expiresAt = 0)
    {
        CheckSizes(key, value);
        int ordinal = OrdinalOf(virtualNode);
        VirtualNodeTree tree = _trees[ordinal];
        AdvanceRevision(revision);
        VirtualNodeTree.Place place = tree.Find(key);
        ulong created = revision;
        SlabReference old = SlabReference.None;
        if (place.Exists)
        {
            old = tree.HeadAt(place);
            Record head = _slabs.Open(old, out RecordHeader header);
            if (header.IsTombstone)
            {
                _batchKeyCount++;
            }
            else
            {
                created = head.Meta(header).CreateRevision;
                AddData(-RowSize(header));
            }
        }
        else
        {
            _batchKeyCount++;
        }

        AddData(RowBytes + key.Length + value.Length);
        SlabReference version = Store(key, value, new RecordMeta(revision, created, expiresAt, value.Length), old, tombstone: false);
        if (place.Exists)
        {
            tree.Swing(place, version);
            _successors.Add(new Successor(ordinal, version));
        }
        else
        {
            tree.Insert(place, key, version);
        }
    }

    /// <summary>False: there was no such key, and nothing was written.</summary>
    public bool Delete(int virtualNode, ReadOnlySpan<byte> key, ulong revision)
    {
        CheckSizes(key, default);
        int ordinal = OrdinalOf(virtualNode);
        VirtualNodeTree tree = _trees[ordinal];
        AdvanceRevision(revision);
        VirtualNodeTree.Place place = tree.Find(key);
        if (!place.Exists)
        {
            return false;
        }

        SlabReference old = tree.HeadAt(place);
        _slabs.Open(old, out RecordHeader header);
        if (header.IsTombstone)
        {
            return false;
        }

        AddData(-RowSize(header));
        SlabReference tombstone = Store(key, default, new RecordMeta(revision, revision, 0, 0), old, tombstone: true);
        tree.Swing(place, tombstone);
        _successors.Add(new Successor(ordinal, tombstone));
        _batchKeyCount--;
        return true;
    }

    /// <summary>
    /// The newest version, that of the open batch included. The value lies in the table's memory: use it before the next call.
    /// </summary>
    public bool TryPeek(int virtualNode, ReadOnlySpan<byte> key, out RecordMeta meta, out ReadOnlySpan<byte> value)
    {
        VirtualNodeTree tree = _trees[OrdinalOf(virtualNode)];
        VirtualNodeTree.Place place = tree.Find(key);
        if (place.Exists)
        {
            Record head = _slabs.Open(tree.HeadAt(place), out RecordHeader header);
            if (!header.IsTombstone)
            {
                meta = head.Meta(header);
                value = head.Value(header);
                return true;
            }
        }

        meta = default;
        value = default;
        return false;
    }

    /// <summary>Makes the batch visible, then frees the versions it superseded, except those some snapshot sees.</summary>
    public void PublishBatch(ulong groupTime)
    {
        Invariant.Check(IsBatchOpen, "a batch is opened before it is published");
        Invariant.Check(groupTime >= _published.GroupTime, "group time never goes back");
        Publish(_batchIndex, _batchRevision, groupTime, _batchKeyCount);
        IsBatchOpen = false;

        // After the publication and its fence, never before: a version is spared for a snapshot that is registered by now, and
        // a snapshot that is registered later starts at the new index.
        ulong[] snapshots = _snapshots.Current;
        foreach (Successor successor in _successors)
        {
            FreePredecessor(successor, snapshots);
        }

        _successors.Clear();
        int budget = ReleasesPerBatch * ReleaseCostBytes;
        ReleaseStep(ref budget);
    }

    /// <summary>
    /// Another table takes this one's place (a snapshot was installed, or the replica is gone). Reads that come later throw
    /// <see cref="ObjectDisposedException"/>: the caller takes the group's table again. Open snapshots stay readable; when
    /// there are none, <see cref="SlabArena.EvacuateStep"/> gives the records back piece by piece.
    /// </summary>
    public void Retire()
    {
        Invariant.Check(!IsBatchOpen, "a table is not retired within a batch");
        Volatile.Write(ref _isRetired, true);

        // As in a publication: either a new snapshot sees the flag, or it is seen before the first record goes.
        Interlocked.MemoryBarrier();
    }

    // ---- Any thread ----

    /// <summary>
    /// Reads the newest published version; the value is appended to the destination, and atIndex is the applied index the
    /// answer belongs to.
    /// </summary>
    public ReadOutcome Get(
        int virtualNode, ReadOnlySpan<byte> key, IBufferWriter<byte> destination, out RecordMeta meta, out ulong atIndex) =>
        Get<SoundReads>(virtualNode, key, destination, out meta, out atIndex);

    internal ReadOutcome Get<TRules>(
        int virtualNode, ReadOnlySpan<byte> key, IBufferWriter<byte> destination, out RecordMeta meta, out ulong atIndex)
        where TRules : struct, IReadRules
    {
        VirtualNodeTree tree = _trees[OrdinalOf(virtualNode)];
        while (true)
        {
            ObjectDisposedException.ThrowIf(IsRetired, this);
            ReadPoint at = _publication.Read();
            VirtualNodeTree.Lookup found = tree.Read<TRules>(key, at, destination, out meta, out bool walked);
            if (found == VirtualNodeTree.Lookup.Stale || (walked && !_publication.IsCurrent(at)))
            {
                continue;
            }

            atIndex = at.Index;
            if (found == VirtualNodeTree.Lookup.Absent)
            {
                return ReadOutcome.Absent;
            }

            destination.Advance(meta.ValueLength);
            return ReadOutcome.Found;
        }
    }

    /// <summary>Registers the current moment: what it sees is kept until the snapshot is disposed. Costs no copy.</summary>
    public TableSnapshot Capture()
    {
        while (true)
        {
            ReadPoint at = _publication.Read();
            _snapshots.Add(at.Revision);

            // Only a moment that is still published after the registration could be seen is safe from the writer.
            if (_publication.IsCurrent(at) && !IsRetired)
            {
                return new TableSnapshot(this, at);
            }

            _snapshots.Remove(at.Revision);
            ObjectDisposedException.ThrowIf(IsRetired, this);
        }
    }

    // ---- A build fills the table through these ----

    internal void SetTree(int tree, RootDirectory root) => _trees[tree].SetRoot(root);

    internal void AddRow(int bytes) => AddData(RowBytes + bytes);

    internal void Complete(ulong index, ulong revision, ulong groupTime, long keyCount) => Publish(index, revision, groupTime, keyCount);

    // ---- Snapshots read through these ----

    internal VirtualNodeTree TreeOf(int virtualNode) => _trees[OrdinalOf(virtualNode)];

    internal void Release(ReadPoint at) => _snapshots.Remove(at.Revision);

    private static int RowSize(RecordHeader header) => RowBytes + header.KeyLength + header.ValueLength;

    private void AddData(int bytes) => Volatile.Write(ref _dataBytes, _dataBytes + bytes);

    internal static void CheckSizes(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(key.Length, MaxKeyBytes, nameof(key));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value.Length, MaxValueBytes, nameof(value));
    }

    private bool TryGetOrdinal(int virtualNode, out int ordinal)
    {
        int at = virtualNode - _firstNode;
        ordinal = (uint)at < (uint)_ordinals.Length ? _ordinals[at] : virtualNode == _lastNode ? _trees.Length - 1 : -1;
        return ordinal >= 0;
    }

    internal int OrdinalOf(int virtualNode)
    {
        if (!TryGetOrdinal(virtualNode, out int ordinal))
        {
            throw new ArgumentOutOfRangeException(nameof(virtualNode), virtualNode, "The group does not own this virtual node.");
        }

        return ordinal;
    }

    private void AdvanceRevision(ulong revision)
    {
        Invariant.Check(IsBatchOpen, "writes belong to a batch");

        // Visibility is decided by revision: a version at or below the published revision would be seen before its batch is.
        Invariant.Check(revision > _published.Revision && revision >= _batchRevision, "revisions grow from batch to batch");
        _batchRevision = revision;
    }

    private SlabReference Store(
        ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, RecordMeta meta, SlabReference previous, bool tombstone)
    {
        RecordHeader header = Record.HeaderFor(key.Length, value.Length, meta, tombstone);
        SlabReference version = _slabs.Allocate(ref header, out Record record);
        record.Write(header, previous, meta, key, value);
        return version;
    }

    private void Publish(ulong index, ulong revision, ulong groupTime, long keyCount)
    {
        _publication.Publish(index, revision, groupTime);
        _published = _publication.Read();
        Volatile.Write(ref _keyCount, keyCount);
    }

    /// <summary>A version that has taken the place of another one.</summary>
    private readonly record struct Successor(int Tree, SlabReference Version);
}
