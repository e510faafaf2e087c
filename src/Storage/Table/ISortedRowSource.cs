namespace KvStore.Storage;

/// <summary>
/// Rows in strictly ascending order of (virtual node, key), for building leaves directly. Spans are valid until the next MoveNext.
/// </summary>
public interface ISortedRowSource
{
    bool MoveNext();
    int VirtualNode { get; }
    ReadOnlySpan<byte> Key { get; }
    ReadOnlySpan<byte> Value { get; }
    RecordMeta Meta { get; }
}
