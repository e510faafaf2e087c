using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// Replicas that come and go. The placement says which replica lives where, and with it who may be talked to; the group's own
/// log says who is a member. A replica that comes is empty, member of nothing, and waits for a leader to tell it more: it
/// can neither campaign nor be counted. One that goes is silent from that moment on; its log and files follow.
/// </summary>
internal sealed partial class Replica
{
    private IReadOnlyList<ReplicaPlacement> _placement;
    private uint[] _voterNodes = [];
    private bool _isLearner;
    private TurnWrite.Part? _leaving;

    /// <summary>Whose log this is, and since which placement.</summary>
    public ReplicaRecord Record => _log.Replica ?? default;

    public HardState DurableHardState => _log.DurableHardState;

    /// <summary>In force here: of the last applied configuration entry.</summary>
    public ConfState Configuration => _raft.Configuration;

    /// <summary>It came and has not had its first snapshot: it is no prefix of the group's history worth showing to anybody.</summary>
    private bool IsEmpty => _machine.AppliedIndex == 0;

    /// <summary>A newer word on where the group's replicas live.</summary>
    public void UsePlacement(IReadOnlyList<ReplicaPlacement> placement)
    {
        _placement = placement;
        LearnConfiguration();
    }

    public ConfChangeReply ProposeConfChange(ConfChange change)
    {
        if (TooOldFor(change) is { } tooOld)
        {
            return new ConfChangeReply(ConfChangeOutcome.LevelTooLow, Detail: tooOld);
        }

        // A member that does not read it would stop at the entry, and a proposer that were not told would count on what nobody keeps.
        if (change.NeededLevel > _machine.Level)
        {
            return new ConfChangeReply(
                ConfChangeOutcome.LevelTooLow,
                Detail: $"the group is written at feature level {_machine.Level}, and its members read epochs and nodes from {change.NeededLevel} on");
        }

        ProposeResult result = _raft.ProposeConfChange(change);
        WantsTurn = true;
        switch (result.Outcome)
        {
            case ProposeOutcome.Accepted:
                return new ConfChangeReply(ConfChangeOutcome.Accepted);
            case ProposeOutcome.Overloaded:
                return new ConfChangeReply(ConfChangeOutcome.Overloaded);
            case ProposeOutcome.ConfChangeRefused when change.IsOlderThan(_raft.Configuration):
                return new ConfChangeReply(
                    ConfChangeOutcome.OlderTable,
                    Detail: $"the change follows table {change.Epoch}, and the group follows {_raft.Configuration.Epoch} already");
            case ProposeOutcome.ConfChangeRefused:
                return change.TryApplyTo(_raft.Configuration, out _, out string? refusal)
                    ? new ConfChangeReply(ConfChangeOutcome.OneAtATime, Detail: "an earlier change is not applied yet")
                    : new ConfChangeReply(ConfChangeOutcome.Invalid, Detail: refusal);
            default:
                return new ConfChangeReply(ConfChangeOutcome.NotLeader, LeaderNode);
        }
    }

    /// <summary>
    /// The replica leaves this node, by a placement of this epoch: that is written down, and when it is durable, the files go. The
    /// answer is every request that was open here, for whoever serves the group from now on.
    /// </summary>
    public IReadOnlyList<RequestItem> Leave(ulong epoch)
    {
        TurnWrite write = Turn.Writes.Current;
        write.Submission.Vacate(_log, epoch);
        _leaving = write.Add(Address, synced: null);
        foreach (RequestItem item in _pending.SelectMany(p => p.Items))
        {
            // Its entry may be committed without this replica ever hearing of it.
            LoseSight(item);
        }

        RequestItem[] open = [.. OpenRequests().Where(item => !item.IsCompleted).Distinct()];
        foreach (RequestItem item in open)
        {
            item.WaitsForSession = false;
        }

        GiveUpOnAll("before its replica left this node");
        ForgetRequests();
        GiveUpFetched();

        _reader.Leave();
        Report(NodeEventKind.ReplicaLeft, _raft.Term, _machine.AppliedIndex, $"replica {Id} left");
        return open;
    }

    /// <summary>The configuration in force has changed, or where its members live.</summary>
    private void LearnConfiguration()
    {
        ConfState configuration = _raft.Configuration;
        _isLearner = configuration.Learners.Contains(Id);
        _voterNodes = NodesOf(configuration.Voters.Concat(configuration.VotersOutgoing));
        _reader.UseMembers(NodesOf(configuration.Members));
    }

    private uint[] NodesOf(IEnumerable<ReplicaId> replicas) =>
        [.. replicas.Distinct().Select(replica => NodeOf(replica).Value).Where(node => node != 0)];
}
