using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication;

/// <summary>What became of a proposed change of configuration. Accepted means in the leader's log, not committed.</summary>
public enum ConfChangeOutcome
{
    Accepted,

    /// <summary>This node does not lead the group, or is handing leadership over.</summary>
    NotLeader,

    /// <summary>Another change is not applied yet, or the leader has committed nothing in its term so far. Try again later.</summary>
    OneAtATime,

    /// <summary>
    /// The change follows an older table than one that is in force: the proposer is behind. It must fetch the newer table and look
    /// again, for what it wants may be what the newer table has undone.
    /// </summary>
    OlderTable,

    /// <summary>
    /// A feature level is in the way, and the detail says which: the change says an epoch or a node and the group is not raised to the level
    /// whose members read them, or it brings in a node that has not said the group's level. Try again after the raise, or after
    /// that node is upgraded; a proposer that needs it now leaves epoch and nodes out (<see cref="ConfChange.WithoutEpoch"/>), and nothing then
    /// holds an older table back.
    /// </summary>
    LevelTooLow,

    /// <summary>The change makes no sense for the configuration in force; the detail says why.</summary>
    Invalid,

    /// <summary>The leader's log has too many uncommitted bytes.</summary>
    Overloaded,
}

/// <param name="Outcome">What became of it.</param>
/// <param name="Leader">The node believed to lead the group, when this one does not.</param>
/// <param name="Detail">For a person, when there is something to say.</param>
public readonly record struct ConfChangeReply(ConfChangeOutcome Outcome, NodeId Leader = default, string? Detail = null);

/// <summary>Somebody wants a group's replicas changed; posted to its loop.</summary>
internal sealed class ConfChangeRequest(GroupId group, ConfChange change, Action<ConfChangeReply> completed) : LoopItem
{
    public GroupId Group => group;
    public ConfChange Change => change;
    public Action<ConfChangeReply> Completed => completed;
}

/// <summary>The node has a newer placement.</summary>
internal sealed class PlacementChanged : LoopItem;

/// <summary>A replica that has left this node is gone from the log: now its snapshot files may go.</summary>
internal sealed class ReplicaVacated(ReplicaAddress address, Inbox<LoopItem> loop, string directory) : SnapshotItem
{
    public ReplicaAddress Address => address;
    public Inbox<LoopItem> Loop => loop;
    public string Directory => directory;
}

/// <summary>Nothing of a replica is left on this node: another one of its group may come.</summary>
internal sealed class ReplicaFreed(GroupId group) : LoopItem
{
    public GroupId Group => group;
}
