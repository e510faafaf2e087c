using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication;

/// <summary>
/// One Raft message, the group it is for, and the routing epoch its sender had. LowestVoterMatch comes with heartbeats: how far every
/// voter's log reaches.
/// </summary>
internal readonly record struct PeerMessage(GroupId Group, ulong Epoch, Message Message, ulong LowestVoterMatch = 0);

/// <summary>
/// What a payload says of its sender's clocks: the wall clock in unix milliseconds and, with answers, a stamp.
/// SkippedItems counts those that were passed over. Disk comes with answers, Room with answers and control messages, of nodes that can say it.
/// </summary>
internal readonly record struct PeerPayloadHead(ulong WallMs, Stamp Stamp, int SkippedItems = 0, DiskReport? Disk = null, RoomReport? Room = null);

/// <summary>
/// A decoded peer payload, or the part of it that belongs to one loop. It is used again: <see cref="PeerMessagesPool"/> gives it out, whoever
/// took it fills it and posts it, and the loop that got it gives it back when it has looked at it all. Nobody else keeps it.
/// </summary>
internal sealed class PeerMessages : LoopItem
{
    public NodeId From { get; set; }

    public PeerPayloadHead Head { get; set; }

    /// <summary>What this item is charged with in the inbox limit.</summary>
    public long Bytes { get; set; }

    public List<PeerMessage> Messages { get; } = [];
}

/// <summary>
/// Peer payloads that nobody holds, for the next ones. Any thread takes and gives back; a place is emptied and filled by one exchange. When all
/// places are empty a new one is made, when all are full the one that comes back is garbage.
/// </summary>
internal sealed class PeerMessagesPool
{
    private const int Places = 16;

    /// <summary>One that a large payload made bigger than this is not kept.</summary>
    private const int MaxKeptMessages = 256;

    private readonly PeerMessages?[] _places = new PeerMessages?[Places];

    public PeerMessages Take()
    {
        for (int i = 0; i < Places; i++)
        {
            if (Volatile.Read(ref _places[i]) is not null && Interlocked.Exchange(ref _places[i], null) is { } free)
            {
                return free;
            }
        }

        return new PeerMessages();
    }

    public void GiveBack(PeerMessages messages)
    {
        messages.Messages.Clear();
        if (messages.Messages.Capacity > MaxKeptMessages)
        {
            return;
        }

        for (int i = 0; i < Places; i++)
        {
            if (Volatile.Read(ref _places[i]) is null && Interlocked.CompareExchange(ref _places[i], messages, null) is null)
            {
                return;
            }
        }
    }
}
