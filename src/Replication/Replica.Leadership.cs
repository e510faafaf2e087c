using KvStore.Raft;

namespace KvStore.Replication;

/// <summary>
/// Where leadership goes when nothing forces it: to the replica that the placement prefers, away from a node that stops, and away from
/// one that should not lead. Every one of these moves needs a target that is fit, and a majority of the group's other voters whose
/// disks are well: the new leader commits nothing without them, and two nodes with sick disks would hand a group to each other for ever.
/// </summary>
internal sealed partial class Replica
{
    private int _preferredReadyTicks;
    private long _preferredHeardTick;
    private long _nextGivingAwayMs;

    /// <summary>
    /// The node is about to stop: the voter that is closest behind leads on, so that nobody waits for a timer. Done once; who is
    /// handed leadership while stopping keeps it to the end.
    /// </summary>
    public void HandOver() => _reader.IsHandingOver = TryFindSuccessor(out ReplicaId successor) && _raft.TransferLeadership(successor);

    /// <summary>
    /// Leaders drift to whoever was up first; the placement says where they should be. Once the preferred replica has been with
    /// us, caught up, for a few seconds, it leads. Level-triggered, a few at a time, and nothing to do when all is well.
    /// </summary>
    private void GiveLeadershipToPreferred()
    {
        if (!IsLeader || PreferredLeader == Id || Node.Fitness.IsDraining)
        {
            _preferredReadyTicks = 0;
            return;
        }

        ProgressStatus preferred = _raft.Progress.FirstOrDefault(p => p.Id == PreferredLeader);
        if (preferred.RecentActive)
        {
            _preferredHeardTick = Turn.TickNumber;
        }

        // The core forgets at every quorum check whom it has heard: silence is more than one tick without a sign of life.
        bool ready = preferred is { IsLearner: false, State: ProgressState.Replicate } && preferred.Match + MaxLagToLead >= _raft.LastIndex
            && Turn.TickNumber - _preferredHeardTick <= MaxSilentTicks && MayLead(preferred.Id);
        _preferredReadyTicks = ready ? _preferredReadyTicks + 1 : 0;
        if (_preferredReadyTicks * Node.Options.TickMs >= PreferredReadyMs && Turn.Peers.MayTransferLeadership(Turn.NowMs))
        {
            _preferredReadyTicks = 0;
            _raft.TransferLeadership(preferred.Id);
        }
    }

    /// <summary>
    /// This node should not lead. One attempt in a while: while it lasts nothing is proposed, and when it fails there is nobody else yet.
    /// </summary>
    private void GiveLeadershipAway()
    {
        if (IsLeader && Node.Fitness.LeadsOnlyWhenNobodyElseCan && !Node.Fitness.IsDraining && Turn.NowMs >= _nextGivingAwayMs
            && TryFindSuccessor(out ReplicaId successor) && _raft.TransferLeadership(successor))
        {
            _nextGivingAwayMs = Turn.NowMs + GivingAwayIntervalMs;
        }
    }

    /// <summary>The fit voter that is closest behind.</summary>
    private bool TryFindSuccessor(out ReplicaId successor)
    {
        successor = _raft.Progress
            .Where(p => p.Id != Id && p.RecentActive && !p.IsLearner && MayLead(p.Id))
            .OrderByDescending(p => p.Match)
            .ThenBy(p => p.Id)
            .FirstOrDefault().Id;
        return !successor.IsNone;
    }

    private bool MayLead(ReplicaId target)
    {
        if (!Node.Fitness.IsFitToLead(NodeOf(target)))
        {
            return false;
        }

        int others = 0;
        int well = 0;
        foreach (ProgressStatus voter in _raft.Progress.Where(p => p.Id != Id && !p.IsLearner))
        {
            others++;
            well += Node.Fitness.HasWellDisk(NodeOf(voter.Id)) ? 1 : 0;
        }

        return 2 * well > others;
    }

    /// <summary>How long the preferred leader must have been caught up before it is given leadership.</summary>
    private const int PreferredReadyMs = 3000;

    /// <summary>Ticks without an answer after which the preferred replica counts as gone: some heartbeats.</summary>
    private const int MaxSilentTicks = 10;

    /// <summary>Entries by which it may be behind.</summary>
    private const ulong MaxLagToLead = 128;

    /// <summary>Between two attempts to give a group away.</summary>
    private const long GivingAwayIntervalMs = 10_000;
}
