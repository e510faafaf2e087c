using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication;

/// <summary>
/// One Raft message, the group it is for, and the routing epoch its sender had. LowestVoterMatch comes with heartbeats: how far every
/// voter's log reaches.
/// </summary>
internal readonly record struct PeerMessage(GroupId Group, ulong Epoch, Message Message, ulong LowestVoterMatch = 0);

/// <summary>
/// What a payload says of its sender's clocks: the wall clock in unix milliseconds and, with answers, a stamp. Epoch is the newest of
/// its items, SkippedItems counts those that were passed over. Disk comes with answers of nodes that can say it.
/// </summary>
internal readonly record struct PeerPayloadHead(ulong WallMs, Stamp Stamp, ulong Epoch = 0, int SkippedItems = 0, DiskReport? Disk = null);

/// <summary>A decoded peer payload, or the part of it that belongs to one loop.</summary>
internal sealed class PeerMessages(NodeId from, PeerPayloadHead head, long bytes, List<PeerMessage> messages) : InboxItem
{
    public NodeId From => from;

    public PeerPayloadHead Head => head;

    /// <summary>What this item is charged with in the inbox limit.</summary>
    public long Bytes => bytes;

    public List<PeerMessage> Messages => messages;
}
