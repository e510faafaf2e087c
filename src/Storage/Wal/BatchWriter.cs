using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>Builds one batch in a buffer that is used again and again; it grows as needed and gives oversized memory back.</summary>
internal sealed class BatchWriter(int keepBytes)
{
    private byte[] _buffer = new byte[BatchFormat.BlockBytes];
    private int _length = BatchFormat.HeaderBytes;
    private int _items;

    public int Length => _length;

    public void Reset()
    {
        if (_buffer.Length > 2L * keepBytes)
        {
            _buffer = new byte[keepBytes];
        }

        _length = BatchFormat.HeaderBytes;
        _items = 0;
    }

    public void HardState(uint group, HardState state) => ItemFormat.WriteHardState(Next(ItemFormat.HardStateBytes), group, state);

    public void Replica(uint group, ReplicaRecord record, HardState state) =>
        ItemFormat.WriteReplica(Next(ItemFormat.ReplicaBytes), group, record, state);

    public void Mark(uint group, SnapshotMetadata snapshot, string? file) =>
        ItemFormat.WriteMark(Next(ItemFormat.MarkBytes(snapshot, file)), group, snapshot, file);

    public void Compact(uint group, LogStart start, ulong lastIndex) =>
        ItemFormat.WriteCompact(Next(ItemFormat.CompactBytes), group, start, lastIndex);

    /// <summary>Adds entries; the answer is where the first of them starts in the batch.</summary>
    public int Entries(uint group, ulong previousTerm, IReadOnlyList<Entry> entries, ItemKind kind = ItemKind.Entries)
    {
        int length = EntriesBytes(entries);
        int first = _length + ItemFormat.EntriesPrefixBytes;
        Span<byte> item = Next(length);
        ItemFormat.WriteEntriesPrefix(item, kind, group, length, entries.Count, entries[0].Index, previousTerm);
        int at = ItemFormat.EntriesPrefixBytes;
        for (int i = 0; i < entries.Count; i++)
        {
            EntryFormat.Write(item[at..], group, entries[i]);
            at += EntryFormat.Size(entries[i].Payload.Length);
        }

        return first;
    }

    public static int EntriesBytes(IReadOnlyList<Entry> entries)
    {
        long bytes = ItemFormat.EntriesPrefixBytes;
        for (int i = 0; i < entries.Count; i++)
        {
            bytes += EntryFormat.Size(entries[i].Payload.Length);
        }

        return checked((int)bytes);
    }

    /// <summary>
    /// Header and checksums for the place the batch is written to. The result is filled with zeros to whole blocks: a partly
    /// written block would make the system read the rest of it from the disk first.
    /// </summary>
    public ReadOnlySpan<byte> Finish(uint seed, ulong lsn, ulong syncedLsn, BatchFlags flags)
    {
        int padded = (int)BatchFormat.RoundToBlock(_length);
        Reserve(padded);
        _buffer.AsSpan(_length, padded - _length).Clear();
        new BatchFormat(_length, lsn, syncedLsn, checked((ushort)_items), flags).WriteHeader(_buffer, seed);
        return _buffer.AsSpan(0, padded);
    }

    private Span<byte> Next(int length)
    {
        Reserve(checked(_length + length));
        Span<byte> item = _buffer.AsSpan(_length, length);
        _length += length;
        _items++;
        return item;
    }

    private void Reserve(int length)
    {
        if (length > _buffer.Length)
        {
            long doubled = Math.Min(2L * _buffer.Length, Array.MaxLength);
            Array.Resize(ref _buffer, (int)BatchFormat.RoundToBlock(Math.Max(doubled, length)));
        }
    }
}
