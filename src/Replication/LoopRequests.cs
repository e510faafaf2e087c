using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>The requests of a loop's groups: how one ends, and the places that all of them share.</summary>
internal sealed class LoopRequests(StoreNodeOptions options, LoopFront loop, ITransport transport, ForwardPlaces places, UInt128 writer)
{
    private readonly WriteIds _ids = new(writer);
    private int _unmetReads;

    public void Complete(RequestItem item, KvReply reply)
    {
        if (item.OwnSequence != 0)
        {
            _ids.Answered(item.OwnSequence);
            item.OwnSequence = 0;
        }

        if (item.HoldsUnmetPlace)
        {
            item.HoldsUnmetPlace = false;
            _unmetReads--;
        }

        if (reply.Code == ErrorCode.Overloaded)
        {
            loop.Counters.Overloaded++;
        }

        item.Complete(reply);
    }

    /// <summary>Answers a request that this stopping node will not finish.</summary>
    public void Abandon(RequestItem item) => Complete(
        item, item.MayHaveApplied ? Replies.Indeterminate("The node stopped after the write was handed over") : Replies.Draining());

    /// <summary>The same with one whose attempt at another node has just ended.</summary>
    public void Abandon(ForwardReturn forwarded)
    {
        bool isUnderWay = forwarded.Item.EndAttempt(forwarded);
        forwarded.Item.UnknownAttempts += isUnderWay
            && AttemptRule.Proves(forwarded.Item.Request.IsWrite, forwarded.NotSent ? AttemptEnd.NotSent : AttemptEnd.Lost, null) == Outcome.Unknown
            ? 1 : 0;
        if (forwarded.Reply is { Evidence: not null } reply)
        {
            Complete(forwarded.Item, reply);
        }
        else
        {
            Abandon(forwarded.Item);
        }
    }

    /// <summary>A place for a read whose level could not be proved at once; Complete gives it back. False: there is none.</summary>
    public bool TryTakeUnmetPlace(RequestItem item)
    {
        if (item.HoldsUnmetPlace)
        {
            return true;
        }

        if (_unmetReads >= options.MaxUnmetReads)
        {
            return false;
        }

        _unmetReads++;
        loop.Counters.UnmetReads++;
        item.HoldsUnmetPlace = true;
        return true;
    }

    /// <summary>For a write that came without one.</summary>
    public RequestId NextId() => _ids.Next();

    /// <summary>A place among the requests that are with that node; <see cref="Forward"/> takes it over. False: there is none.</summary>
    public bool TryTakeForwardPlace(RequestItem item, NodeId to) => places.TryTake(to, item.Source);

    public void Forward(RequestItem item, NodeId to, KvRequest request, long nowMs)
    {
        loop.Counters.Forwards++;
        var attempt = new ForwardReturn(loop.Inbox, places, item, to, nowMs);
        item.BeginAttempt(attempt);
        transport.Forward(to, request, attempt);
    }
}
