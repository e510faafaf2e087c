using System.Buffers;

namespace KvStore.Storage;

/// <summary>STUB</summary>
public sealed class SlabArena
{
    public SlabArena(int chunkBytes = 1 << 20) => throw new NotSupportedException();
    public long ReservedBytes => throw new NotSupportedException();
    public long LiveBytes => throw new NotSupportedException();
    public long PinnedBytes => throw new NotSupportedException();
    public int EvacuateStep(int maxBytes) => throw new NotSupportedException();
}

public readonly record struct RecordMeta(ulong ModRevision, ulong CreateRevision, ulong ExpiresAt, int ValueLength);

public enum ReadOutcome : byte
{
    Found,
    Absent,
}

/// <summary>STUB. All virtual nodes of one group.</summary>
public sealed class GroupTable
{
    public GroupTable(SlabArena arena, ReadOnlySpan<int> virtualNodes) => throw new NotSupportedException();

    /// <summary>Index of the last published batch; acquire read, any thread.</summary>
    public ulong AppliedIndex => throw new NotSupportedException();

    /// <summary>Group time (ms) published with <see cref="AppliedIndex"/>.</summary>
    public ulong GroupTime => throw new NotSupportedException();

    public long KeyCount => throw new NotSupportedException();
    public bool Owns(int virtualNode) => throw new NotSupportedException();

    // The owning worker only.
    public void BeginBatch(ulong index) => throw new NotSupportedException();
    public void Put(int virtualNode, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ulong revision, ulong expiresAt = 0) => throw new NotSupportedException();
    public bool Delete(int virtualNode, ReadOnlySpan<byte> key, ulong revision) => throw new NotSupportedException();
    public bool TryPeek(int virtualNode, ReadOnlySpan<byte> key, out RecordMeta meta, out ReadOnlySpan<byte> value) => throw new NotSupportedException();
    public void PublishBatch(ulong groupTime) => throw new NotSupportedException();

    // Any thread, lock-free; copies.
    public ReadOutcome Get(int virtualNode, ReadOnlySpan<byte> key, IBufferWriter<byte> destination, out RecordMeta meta, out ulong atIndex) => throw new NotSupportedException();
    public TableSnapshot Capture() => throw new NotSupportedException();

    public static GroupTable Build(SlabArena arena, ReadOnlySpan<int> virtualNodes, ulong index, ulong groupTime, ISortedRowSource rows) => throw new NotSupportedException();
}

/// <summary>Rows sorted by (virtual node, key), for building leaves directly.</summary>
public interface ISortedRowSource
{
    bool MoveNext();
    int VirtualNode { get; }
    ReadOnlySpan<byte> Key { get; }
    ReadOnlySpan<byte> Value { get; }
    RecordMeta Meta { get; }
}

/// <summary>STUB. One moment of a group's table: registered, so what it sees is kept until it is disposed.</summary>
public sealed class TableSnapshot : IDisposable
{
    public ulong Index => throw new NotSupportedException();
    public ulong GroupTime => throw new NotSupportedException();
    public ReadOutcome Get(int virtualNode, ReadOnlySpan<byte> key, IBufferWriter<byte> destination, out RecordMeta meta) => throw new NotSupportedException();
    public void ReadPage(int virtualNode, ReadOnlySpan<byte> fromInclusive, ReadOnlySpan<byte> toExclusive, bool keysOnly, int maxRows, int maxBytes, RowPage page) => throw new NotSupportedException();
    public void Dispose() => throw new NotSupportedException();
}

/// <summary>STUB. Rows copied out of a snapshot; reusable.</summary>
public sealed class RowPage
{
    public int Count => throw new NotSupportedException();
    public bool IsLast => throw new NotSupportedException();
    public ReadOnlySpan<byte> Key(int row) => throw new NotSupportedException();
    public ReadOnlySpan<byte> Value(int row) => throw new NotSupportedException();
    public RecordMeta Meta(int row) => throw new NotSupportedException();
}
