using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication;

/// <summary>What a loop takes from its inbox.</summary>
internal abstract class LoopItem : InboxItem<LoopItem>;

/// <summary>One replica of one group, as items name it: it may have left its node when they arrive, and another one of its group may have come.</summary>
internal readonly record struct ReplicaAddress(GroupId Group, ReplicaId Id);

/// <summary>The node is about to stop.</summary>
internal sealed class HandOver : LoopItem;

internal sealed class PeerLost(NodeId peer) : LoopItem
{
    public NodeId Peer => peer;
}
