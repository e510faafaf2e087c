using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// Whose log a group's log is on this node. Kept for a group whose replica is gone, too (<see cref="IsVacant"/>): an older
/// placement must not bring back what a newer one has taken away.
/// </summary>
/// <param name="Replica">None: there was a replica, and it is gone.</param>
/// <param name="Epoch">Epoch of the placement that brought or took the replica.</param>
public readonly record struct ReplicaRecord(ReplicaId Replica, ulong Epoch)
{
    public bool IsVacant => Replica.IsNone;
}
