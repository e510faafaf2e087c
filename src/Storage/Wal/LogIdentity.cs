namespace KvStore.Storage;

/// <summary>Whose log this is: written into every segment header and checked on recovery.</summary>
public readonly record struct LogIdentity(string ClusterId, uint NodeId, Guid NodeUuid);
