using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// One write as an entry carries it; the memory points into the entry's payload. StoredValue has the layout of
/// <see cref="Replication.StoredValue"/>. A batch has no key of its own: ItemCount commands follow and belong to it.
/// </summary>
internal readonly record struct Command(
    KvOperation Operation, int VirtualNode, RequestId? Id, ReadOnlyMemory<byte> Key, KvCondition Condition,
    ReadOnlyMemory<byte> StoredValue, long Delta, long Initial, int ItemCount)
{
    /// <summary>Revisions it uses up, executed or not.</summary>
    public uint Revisions => Operation == KvOperation.Batch ? (uint)ItemCount : 1;
}
