namespace KvStore.Raft;

/// <summary>
/// A message between two replicas of one group, or from a replica's own storage to its core. Those between replicas may be lost,
/// repeated and reordered.
/// </summary>
/// <param name="From">Sender.</param>
/// <param name="To">Receiver; a message for another replica id is ignored.</param>
/// <param name="Term">Sender's term (of a pre-vote and of the yes to it: the term asked for).</param>
public abstract record Message(ReplicaId From, ReplicaId To, ulong Term);

/// <summary>Entries after (PrevIndex, PrevTerm), possibly none, and the leader's commit index.</summary>
public sealed record AppendEntries(
    ReplicaId From, ReplicaId To, ulong Term, ulong PrevIndex, ulong PrevTerm, ulong Commit, IReadOnlyList<Entry> Entries)
    : Message(From, To, Term);

/// <summary>Everything up to Index matches the leader's log and is durable.</summary>
public sealed record AppendAccepted(ReplicaId From, ReplicaId To, ulong Term, ulong Index) : Message(From, To, Term);

/// <summary>
/// Index is the PrevIndex refused, and (HintIndex, HintTerm) the last entry here that could match, so that a leader skips a term a
/// round (paper 5.3). The higher term of a refusal also tells a leader that it is one no more.
/// </summary>
public sealed record AppendRejected(ReplicaId From, ReplicaId To, ulong Term, ulong Index, ulong HintIndex = 0, ulong HintTerm = 0)
    : Message(From, To, Term);

/// <summary>
/// One confirmation round. Commit is min(match of the receiver, leader's commit). Round counts up for ever within a leader's
/// process.
/// </summary>
public sealed record Heartbeat(ReplicaId From, ReplicaId To, ulong Term, ulong Commit, ulong Round) : Message(From, To, Term);

/// <summary>Sent in the leader's term only, so it confirms that the sender still followed that leader when it answered Round.</summary>
public sealed record HeartbeatResponse(ReplicaId From, ReplicaId To, ulong Term, ulong Round) : Message(From, To, Term);

/// <summary>What a candidate asks of a voter; (LastIndex, LastTerm) is where its log ends.</summary>
public abstract record BallotRequest(ReplicaId From, ReplicaId To, ulong Term, ulong LastIndex, ulong LastTerm) : Message(From, To, Term);

/// <summary>Would a vote be given in this term, which has not begun (thesis 9.6)?</summary>
public sealed record PreVoteRequest(ReplicaId From, ReplicaId To, ulong Term, ulong LastIndex, ulong LastTerm)
    : BallotRequest(From, To, Term, LastIndex, LastTerm);

public sealed record VoteRequest(ReplicaId From, ReplicaId To, ulong Term, ulong LastIndex, ulong LastTerm)
    : BallotRequest(From, To, Term, LastIndex, LastTerm);

/// <summary>A vote for whom the leader hands over to: no stickiness to a live leader holds it back (thesis 3.10).</summary>
public sealed record TransferVoteRequest(ReplicaId From, ReplicaId To, ulong Term, ulong LastIndex, ulong LastTerm)
    : BallotRequest(From, To, Term, LastIndex, LastTerm);

/// <summary>A vote would be given in this term, the one asked for.</summary>
public sealed record PreVoteGranted(ReplicaId From, ReplicaId To, ulong Term) : Message(From, To, Term);

public sealed record VoteGranted(ReplicaId From, ReplicaId To, ulong Term) : Message(From, To, Term);

/// <summary>
/// A refusal also says what is known to be committed, (Commit, CommitTerm): a candidate that holds this entry learns that it
/// is. Without it a replica could be stranded in a configuration that has been left: the only voter of the new one, refused by
/// removed members whose logs are longer and who never campaign themselves.
/// </summary>
public abstract record BallotRefused(ReplicaId From, ReplicaId To, ulong Term, ulong Commit, ulong CommitTerm) : Message(From, To, Term);

public sealed record PreVoteRefused(ReplicaId From, ReplicaId To, ulong Term, ulong Commit = 0, ulong CommitTerm = 0)
    : BallotRefused(From, To, Term, Commit, CommitTerm);

public sealed record VoteRefused(ReplicaId From, ReplicaId To, ulong Term, ulong Commit = 0, ulong CommitTerm = 0)
    : BallotRefused(From, To, Term, Commit, CommitTerm);

/// <summary>A follower asks for an index that covers every write acknowledged so far (thesis 6.4). Context is the asker's number.</summary>
public sealed record ReadIndexRequest(ReplicaId From, ReplicaId To, ulong Term, ulong Context) : Message(From, To, Term);

public sealed record ReadIndexResponse(ReplicaId From, ReplicaId To, ulong Term, ulong Context, ulong Index) : Message(From, To, Term);

/// <summary>The receiver is behind the leader's log: it must fetch this snapshot. The data travels on its own connection.</summary>
public sealed record InstallSnapshot(ReplicaId From, ReplicaId To, ulong Term, SnapshotMetadata Snapshot) : Message(From, To, Term);

/// <summary>The leader hands over: campaign now, without asking first (thesis 3.10).</summary>
public sealed record TimeoutNow(ReplicaId From, ReplicaId To, ulong Term) : Message(From, To, Term);

/// <summary>
/// Local: storage reports that the log is durable up to (Index, EntryTerm). Term is the term in which the append was handed
/// out: a completion of an older term must never trim the unstable log (the same index may hold another entry by now).
/// </summary>
public sealed record AppendSynced(ReplicaId From, ReplicaId To, ulong Term, ulong Index, ulong EntryTerm) : Message(From, To, Term);

/// <summary>Local: a fetched snapshot is durable and the state machine holds it. True whatever the term.</summary>
public sealed record SnapshotInstalled(ReplicaId From, ReplicaId To, ulong Term, SnapshotMetadata Snapshot) : Message(From, To, Term);
