using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// One attempt to have another node answer a request. It comes back to its loop with a reply, or with the news that none will come, and gives
/// the place back that it had among what is with that node.
/// </summary>
internal sealed class ForwardReturn(Inbox<LoopItem> loop, ForwardPlaces places, RequestItem item, NodeId to, long sinceMs) : LoopItem, IForwardCompletion
{
    public long SinceMs => sinceMs;
    public RequestItem Item => item;
    public NodeId To => to;
    public KvReply? Reply { get; private set; }
    public bool NotSent { get; private set; }

    public void Replied(KvReply reply)
    {
        Reply = reply;
        End();
    }

    public void Lost(bool notSent)
    {
        NotSent = notSent;
        End();
    }

    private void End()
    {
        places.GiveBack(to, item.Source);
        loop.Post(this);
    }
}
