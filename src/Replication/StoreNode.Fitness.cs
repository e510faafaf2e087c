using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// Who should lead. A node whose disk stands still answers nobody, and one whose wall clock is far off the others' stamps what it must not:
/// both keep their votes and their place, and lead only while nobody else can.
/// </summary>
public sealed partial class StoreNode
{
    private readonly PeerDisks _peerDisks;
    private readonly SpokenState _groupsAhead = new();
    private readonly SpokenState _clockOff = new();

    internal DiskWatch Disk { get; }

    /// <summary>How old the oldest write is that is not durable yet, milliseconds, and whether this makes the disk a sick one.</summary>
    public DiskStatus DiskStatus => new(Disk.AgeMs, Disk.IsSick);

    /// <summary>This node gives leadership away, and does not ask for it before the others have had their chance.</summary>
    internal bool LeadsOnlyWhenNobodyElseCan => ClockIsOff || Disk.IsSick;

    /// <summary>
    /// What this node has been told of another one speaks against nothing. A build that cannot say how its disk is gets the benefit of the
    /// doubt: else no leadership would move in a cluster that is being upgraded, not even away from a node that stops. So does every node with one that
    /// is held at such a level itself, and is not told.
    /// </summary>
    internal bool IsFitToLead(NodeId peer) =>
        !Walls.IsOff(peer.Value, (long)WallMs(), ElapsedMs()) && HasWellDisk(peer);

    internal bool HasWellDisk(NodeId peer) =>
        Speaks(peer, DiskReport.Since) ? _peerDisks.IsWell(peer, ElapsedMs()) : !peer.IsNone;

    /// <summary>
    /// Most seconds by which a group here is ahead of the slowest clock of its nodes. Who asks by such a clock is told that his request is old.
    /// </summary>
    private void WarnOfGroupsAhead()
    {
        long most = 0;
        foreach (Replica replica in Replicas.Values)
        {
            most = Math.Max(most, replica.Status?.ClockLeadSeconds ?? 0);
        }

        if (_groupsAhead.IsToBeSaid(most >= WallClocks.MaxLeadSeconds, ElapsedMs()))
        {
            Report(new NodeEvent(
                NodeEventKind.GroupsAhead, default, 0, 0,
                $"groups count time up to {most} s ahead of the slowest wall clock of their nodes: requests with keys that name a time seem so much older; "
                + "set the clocks, and wait as long"));
        }
    }

    private void OnDiskChanged(bool isSick, long ageMs) => Report(isSick
        ? new NodeEvent(
            NodeEventKind.DiskSick, default, 0, 0,
            $"the disk has not finished a write for {ageMs} ms: this node gives its groups away and is not ready until no write takes "
            + $"{DiskWatch.WellAgeMs} ms for {DiskWatch.WellAfterMs / 1000} s")
        : new NodeEvent(NodeEventKind.DiskWell, default, 0, 0, "the disk finishes its writes in time again: this node may lead"));
}

/// <summary>How a node's disk is.</summary>
/// <param name="AgeMs">Of the oldest write that is not durable; 0 when there is none.</param>
/// <param name="IsSick">See <see cref="DiskWatch"/>.</param>
public readonly record struct DiskStatus(long AgeMs, bool IsSick);
