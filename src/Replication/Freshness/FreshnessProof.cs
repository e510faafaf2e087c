using KvStore.Raft;

namespace KvStore.Replication;

/// <summary>
/// From a leader to each other member, after a round was confirmed: the commit index when the round was started, and the stamp
/// of the receiver's node latched just before that. The core never sees it, and it needs no term: it stays true.
/// </summary>
internal sealed record FreshnessProof(ReplicaId From, ReplicaId To, ulong Term, ulong Commit, Stamp Echo) : Message(From, To, Term);
