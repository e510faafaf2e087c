namespace KvStore.Storage;

/// <param name="ModRevision">Revision of the command that wrote this version.</param>
/// <param name="CreateRevision">Revision of the command that created the key; overwrites keep it, delete ends it.</param>
/// <param name="ExpiresAt">Group time (ms) from which the record reads as absent; 0 means never.</param>
/// <param name="ValueLength">Bytes.</param>
public readonly record struct RecordMeta(ulong ModRevision, ulong CreateRevision, ulong ExpiresAt, int ValueLength);
