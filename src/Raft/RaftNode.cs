namespace KvStore.Raft;

public enum Role : byte
{
    Follower,
    PreCandidate,
    Candidate,
    Leader,
}

public enum ProposeOutcome : byte
{
    Accepted,
    NotLeader,

    /// <summary>Uncommitted bytes are at their limit.</summary>
    Overloaded,

    /// <summary>Leadership is being handed over.</summary>
    Transferring,

    /// <summary>A configuration change is still unapplied, or the change is not valid now.</summary>
    ConfChangeRefused,
}

/// <summary>Outcome of a proposal; Index and Clock are set when it was accepted.</summary>
public readonly record struct ProposeResult(ProposeOutcome Outcome, ulong Index = 0, ulong Clock = 0);

/// <summary>STUB: public face of the core, to be implemented.</summary>
public sealed partial class RaftNode
{
    /// <param name="config">Limits and timers.</param>
    /// <param name="log">Durable log; its Snapshot gives the configuration to start from.</param>
    /// <param name="hardState">As last written; default for a new replica.</param>
    /// <param name="applied">Index the state machine has (the snapshot's, after a restart).</param>
    /// <param name="groupClock">Group time now, as a revision; asked when a leader appends. The core stamps max(this, last revision in the log + 1).</param>
    public RaftNode(RaftConfig config, ILogReader log, HardState hardState, ulong applied, Func<ulong> groupClock) => throw new NotSupportedException();

    public ReplicaId Id => throw new NotSupportedException();
    public Role Role => throw new NotSupportedException();
    public ReplicaId Leader => throw new NotSupportedException();
    public ulong Term => throw new NotSupportedException();
    public ulong CommitIndex => throw new NotSupportedException();
    public ulong AppliedIndex => throw new NotSupportedException();
    public ulong LastIndex => throw new NotSupportedException();
    public ConfState Configuration => throw new NotSupportedException();

    /// <summary>Leader only: an entry of this term is committed, so commit index and reads can be trusted.</summary>
    public bool HasCommittedInTerm => throw new NotSupportedException();

    /// <summary>Leader only: reads wait for a round that has not been started; the owner starts one at the end of its turn.</summary>
    public bool WantsRound => throw new NotSupportedException();

    /// <summary>Leader only: last round confirmed by a quorum in this term, started after an own-term commit; 0 when none.</summary>
    public ulong ConfirmedRound => throw new NotSupportedException();

    /// <summary>Commit index read when <see cref="ConfirmedRound"/> was started.</summary>
    public ulong ConfirmedCommit => throw new NotSupportedException();

    /// <summary>Leader only: smallest match over all voters, running or not; a follower's match elsewhere is unknown (0).</summary>
    public ulong LowestVoterMatch => throw new NotSupportedException();

    /// <summary>Replication progress per peer, in id order (empty unless leader). For status pages and tests.</summary>
    public IReadOnlyList<ProgressStatus> Progress => throw new NotSupportedException();

    public bool HasReady => throw new NotSupportedException();

    public Ready TakeReady() => throw new NotSupportedException();
    public void Tick() => throw new NotSupportedException();
    public void Step(Message message) => throw new NotSupportedException();
    public ProposeResult Propose(ReadOnlyMemory<byte> payload, uint count, ushort featureLevel) => throw new NotSupportedException();

    /// <summary>Starts heartbeat round <paramref name="round"/> (leader; ignored otherwise). Rounds strictly increase. Owner-driven, so that all groups of a node share one frame.</summary>
    public void StartRound(ulong round) => throw new NotSupportedException();

    /// <summary>Asks for a read proof; the answer arrives in Ready.Reads. At a follower the question travels to its leader. False: no leader known, or too many wait.</summary>
    public bool ReadIndex(ulong context) => throw new NotSupportedException();

    /// <summary>The state machine has applied up to index.</summary>
    public void Applied(ulong index) => throw new NotSupportedException();

    /// <summary>The runtime knows the leader is gone: become leaderless without raising the term and campaign (pre-vote first) after so many ticks.</summary>
    public void ForgetLeader(int campaignAfterTicks) => throw new NotSupportedException();

    /// <summary>Campaign now (pre-vote first).</summary>
    public void Campaign() => throw new NotSupportedException();

    /// <summary>A frame to this peer was dropped or its connection broke: probe it again.</summary>
    public void ReportUnreachable(ReplicaId peer) => throw new NotSupportedException();
}

public enum ProgressState : byte
{
    Probe,
    Replicate,
    Snapshot,
}

/// <summary>A leader's view of one peer.</summary>
public readonly record struct ProgressStatus(ReplicaId Id, ulong Match, ulong Next, ProgressState State, bool RecentActive, bool IsLearner);
