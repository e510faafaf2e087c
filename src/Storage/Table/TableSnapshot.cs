using System.Buffers;

namespace KvStore.Storage;

/// <summary>
/// One moment of a group's table: registered, so what it sees is kept until it is disposed. For reads of several keys, scans
/// and snapshot files; any thread. Whoever holds one for long makes the worker keep every version that is overwritten
/// meanwhile: give scans a time limit.
/// </summary>
public sealed class TableSnapshot : IDisposable
{
    private readonly GroupTable _table;
    private readonly ReadPoint _at;
    private int _isDisposed;

    internal TableSnapshot(GroupTable table, ReadPoint at)
    {
        _table = table;
        _at = at;
    }

    public ulong Index => _at.Index;

    /// <summary>Milliseconds; what had expired by then reads as absent.</summary>
    public ulong GroupTime => _at.GroupTime;

    public ReadOutcome Get(int virtualNode, ReadOnlySpan<byte> key, IBufferWriter<byte> destination, out RecordMeta meta)
    {
        ObjectDisposedException.ThrowIf(_isDisposed != 0, this);
        VirtualNodeTree tree = _table.TreeOf(virtualNode);
        VirtualNodeTree.Lookup found;
        do
        {
            found = tree.Read<SoundReads>(key, _at, destination, out meta, out _);
        }
        while (found == VirtualNodeTree.Lookup.Stale);

        if (found == VirtualNodeTree.Lookup.Absent)
        {
            return ReadOutcome.Absent;
        }

        destination.Advance(meta.ValueLength);
        return ReadOutcome.Found;
    }

    /// <summary>
    /// Copies rows in key order until the range ends, maxRows are there or the next row would exceed maxBytes of keys and
    /// values (one row always fits). Go on from <see cref="RowPage.ResumeFrom"/> while the page is not the last. An empty
    /// upper bound means the end of the virtual node.
    /// </summary>
    public void ReadPage(
        int virtualNode,
        ReadOnlySpan<byte> fromInclusive,
        ReadOnlySpan<byte> toExclusive,
        bool keysOnly,
        int maxRows,
        int maxBytes,
        RowPage page) =>
        ReadPage<SoundReads>(_at, virtualNode, fromInclusive, toExclusive, keysOnly, maxRows, maxBytes, page);

    /// <summary>
    /// Like <see cref="ReadPage(int, ReadOnlySpan{byte}, ReadOnlySpan{byte}, bool, int, int, RowPage)"/>, with the records that
    /// have expired and wait to be deleted: a table restored from a file must be the table that was written, because deleting
    /// them is part of applying later entries.
    /// </summary>
    internal void ReadPageWithExpired(int virtualNode, ReadOnlySpan<byte> fromInclusive, int maxRows, int maxBytes, RowPage page) =>
        ReadPage<SoundReads>(_at with { GroupTime = 0 }, virtualNode, fromInclusive, default, keysOnly: false, maxRows, maxBytes, page);

    /// <summary>Whether the virtual node holds anything that a snapshot file would have, expired records included.</summary>
    public bool HasRows(int virtualNode)
    {
        var page = new RowPage();
        ReadPageWithExpired(virtualNode, default, maxRows: 1, maxBytes: 1, page);
        return page.Count > 0;
    }

    internal void ReadPage<TRules>(
        int virtualNode,
        ReadOnlySpan<byte> fromInclusive,
        ReadOnlySpan<byte> toExclusive,
        bool keysOnly,
        int maxRows,
        int maxBytes,
        RowPage page)
        where TRules : struct, IReadRules =>
        ReadPage<TRules>(_at, virtualNode, fromInclusive, toExclusive, keysOnly, maxRows, maxBytes, page);

    private void ReadPage<TRules>(
        ReadPoint at,
        int virtualNode,
        ReadOnlySpan<byte> fromInclusive,
        ReadOnlySpan<byte> toExclusive,
        bool keysOnly,
        int maxRows,
        int maxBytes,
        RowPage page)
        where TRules : struct, IReadRules
    {
        ObjectDisposedException.ThrowIf(_isDisposed != 0, this);
        ArgumentNullException.ThrowIfNull(page);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxRows);
        VirtualNodeTree tree = _table.TreeOf(virtualNode);
        page.Begin(keysOnly, maxRows, maxBytes);
        ReadOnlySpan<byte> from = fromInclusive;
        var cursor = new LeafCursor(tree.Root, from);
        while (true)
        {
            RowPage.Mark before = page.Position;
            PageProgress progress = tree.ReadLeaf<TRules>(cursor.Leaf, from, toExclusive, at, page);
            if (progress == PageProgress.Stale)
            {
                // The block itself may be what is out of date: reading it again could go on for ever.
                page.RollBack(before);
                cursor = new LeafCursor(tree.Root, from);
            }
            else if (progress == PageProgress.Full)
            {
                return;
            }
            else if (progress == PageProgress.End || cursor.UpperBound is not { } next)
            {
                page.IsLast = true;
                return;
            }
            else
            {
                from = next;
                cursor.MoveNext();
            }
        }
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) == 0)
        {
            _table.Release(_at);
        }
    }
}
