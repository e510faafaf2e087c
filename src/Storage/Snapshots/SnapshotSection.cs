namespace KvStore.Storage;

/// <summary>State beside the rows (idempotency records, floors): opaque bytes per virtual node and kind, of any length.</summary>
public readonly record struct SnapshotSection(int VirtualNode, byte Kind, ReadOnlyMemory<byte> Data);
