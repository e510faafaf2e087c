using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// How a loop gets a request for one group answered: by its own replica, or through another node. A request waits here while
/// nobody is known to lead, and comes back here whenever an attempt ended without an answer.
/// </summary>
internal abstract class GroupRoute(ShardLoop loop, GroupId group)
{
    private readonly List<RequestItem> _waiting = [];
    private uint _nextOther;

    public GroupId Group => group;

    protected ShardLoop Loop => loop;

    /// <summary>The node believed to lead the group; None when unknown.</summary>
    public abstract NodeId LeaderNode { get; }

    /// <summary>Gets the request answered, or lets it wait.</summary>
    public abstract void Accept(RequestItem item);

    protected void Wait(RequestItem item) => _waiting.Add(item);

    /// <summary>What waits here, for the route that takes this one's place.</summary>
    public IReadOnlyList<RequestItem> TakeWaiting()
    {
        RequestItem[] items = [.. _waiting.Where(item => !item.IsCompleted)];
        _waiting.Clear();
        return items;
    }

    /// <summary>Tries again everything that waits: the leader may have changed, or a tick has passed.</summary>
    protected void RetryWaiting()
    {
        if (_waiting.Count == 0)
        {
            return;
        }

        RequestItem[] items = [.. _waiting];
        _waiting.Clear();
        foreach (RequestItem item in items)
        {
            if (!item.IsCompleted)
            {
                Accept(item);
            }
        }
    }

    /// <summary>Ends what has waited past its deadline.</summary>
    public virtual void Expire(long nowMs)
    {
        for (int i = _waiting.Count - 1; i >= 0; i--)
        {
            if (nowMs >= _waiting[i].DeadlineMs)
            {
                Loop.Complete(_waiting[i], DeadlineReply(_waiting[i]));
                _waiting.RemoveAt(i);
            }
        }
    }

    /// <summary>The node stops: everything that waits is answered honestly.</summary>
    public virtual void Abandon()
    {
        foreach (RequestItem item in _waiting)
        {
            Loop.Abandon(item);
        }

        _waiting.Clear();
    }

    public virtual void OnTick(long nowMs)
    {
        Expire(nowMs);
        RetryWaiting();
    }

    protected void Forward(RequestItem item, NodeId to, long nowMs)
    {
        if (item.Request.HopsLeft == 0)
        {
            Loop.Complete(item, item.MayHaveApplied
                ? Replies.Indeterminate($"Group {Group} changed its leader")
                : Replies.WrongNode(Group, to));
            return;
        }

        int left = (int)Math.Min(item.DeadlineMs - nowMs, Limits.MaxTimeoutMs);
        if (left <= 0)
        {
            Loop.Complete(item, DeadlineReply(item));
            return;
        }

        OnForwarding(item, to);

        // The other node gives up first: what it knows of the outcome is worth more than that no answer came.
        left -= Math.Min(left / 10, ForwardMarginMs);
        Loop.Forward(item, to, item.Request with { Id = item.Id, HopsLeft = 0, TimeoutMs = left, Epoch = Loop.Node.Routing.Epoch });
    }

    /// <summary>A write that came without an id gets one before it leaves this node: what is sent twice is then executed once.</summary>
    protected void AssignId(RequestItem item)
    {
        if (item.Id is null)
        {
            item.AssignId(Loop.Ids.Next());
        }
    }

    /// <summary>Another node answered, or its connection broke.</summary>
    public void OnForwarded(RequestItem item, NodeId to, KvReply? reply, bool notSent, long nowMs)
    {
        if (reply is null)
        {
            item.AttemptVanished |= item.Request.IsWrite && !notSent;
            item.MayHaveApplied |= item.AttemptVanished;
            OnHint(NodeId.None);
            RetryLater(item, nowMs);
            return;
        }

        OnAnswer(to);
        switch (reply.Code)
        {
            case ErrorCode.WrongNode or ErrorCode.NoLeader or ErrorCode.Starting or ErrorCode.Draining or ErrorCode.Timeout:
                NodeId hint = Credible(reply.LeaderHint);
                OnHint(hint);
                if (!hint.IsNone && hint != to && !IsSilent(hint))
                {
                    Forward(item, hint, nowMs);
                    return;
                }

                RetryLater(item, nowMs);
                return;

            case ErrorCode.Indeterminate:
                // Safe to send again: the id makes the second copy find the first one's record.
                item.MayHaveApplied = true;
                item.AttemptVanished = true;
                RetryLater(item, nowMs);
                return;

            default:
                Loop.Complete(item, WithPath(FinalReply(item, reply)));
                return;
        }
    }

    /// <summary>Another node that has a replica, each in turn; None when there is no other.</summary>
    protected NodeId NextOther()
    {
        IReadOnlyList<ReplicaPlacement> replicas = Loop.Node.Routing.ReplicasOf(group);
        for (int tries = replicas.Count; tries > 0; tries--)
        {
            NodeId node = replicas[(int)(_nextOther++ % (uint)replicas.Count)].Node;
            if (node != Loop.Node.Self)
            {
                return node;
            }
        }

        return NodeId.None;
    }

    /// <summary>Another node's word: taken only when it names somebody else who has a replica of the group.</summary>
    private NodeId Credible(NodeId hint) =>
        hint != Loop.Node.Self && Loop.Node.Routing.ReplicasOf(group).Any(p => p.Node == hint) ? hint : NodeId.None;

    protected abstract void OnHint(NodeId leader);

    /// <summary>A request is about to be passed on.</summary>
    protected virtual void OnForwarding(RequestItem item, NodeId to)
    {
    }

    /// <summary>A node that was asked has said something.</summary>
    protected virtual void OnAnswer(NodeId from)
    {
    }

    /// <summary>The node was asked a moment ago and said nothing.</summary>
    protected virtual bool IsSilent(NodeId node) => false;

    /// <summary>The honest answer to a request whose time is over.</summary>
    protected virtual KvReply DeadlineReply(RequestItem item)
    {
        if (item.Request.IsWrite)
        {
            return item.MayHaveApplied
                ? Replies.Indeterminate("The deadline passed after the write was handed over")
                : Replies.NoLeader(Group, LeaderNode);
        }

        return LeaderNode.IsNone ? Replies.NoLeader(Group, LeaderNode) : Replies.ReadTimeout(Group);
    }

    /// <summary>
    /// A refusal of the last attempt proves nothing about an earlier one that vanished. A condition that failed does, and whatever
    /// else was executed: its outcome is stored under the request's id, and no other copy can have another.
    /// </summary>
    protected static KvReply FinalReply(RequestItem item, KvReply reply) =>
        item.AttemptVanished && reply.Outcome == Outcome.NotApplied && !reply.IsExecuted
            ? Replies.Indeterminate($"An earlier attempt vanished and the last one was refused as {reply.Code}")
            : reply;

    private void RetryLater(RequestItem item, long nowMs)
    {
        if (nowMs >= item.DeadlineMs)
        {
            Loop.Complete(item, DeadlineReply(item));
            return;
        }

        Wait(item);
    }

    private static KvReply WithPath(KvReply reply) =>
        reply.Evidence is { } evidence ? reply with { Evidence = evidence with { Path = ServedPath.Forwarded } } : reply;

    /// <summary>At most so much of a deadline is kept back for the way home.</summary>
    private const int ForwardMarginMs = 50;
}

/// <summary>
/// A group this node holds no replica of: every request is passed on. Nothing tells this node that another one has gone silent
/// (paused, cut off), so it has patience with one attempt only for as long as an election takes, and then asks another replica.
/// </summary>
internal sealed class RemoteGroup(ShardLoop loop, GroupId group) : GroupRoute(loop, group)
{
    private readonly List<Attempt> _attempts = [];
    private NodeId _leader;
    private NodeId _silent;
    private long _silentUntilMs;

    /// <summary>A request that was passed on; it may have been answered meanwhile.</summary>
    private readonly record struct Attempt(RequestItem Item, NodeId To, long SinceMs);

    public override NodeId LeaderNode => _leader;

    /// <summary>Epoch of the placement that took this node's last replica of the group; an older one brings none back.</summary>
    public ulong VacantSince { get; init; }

    /// <summary>That replica's log or files are still there.</summary>
    public bool IsLeaving { get; set; }

    public override void Accept(RequestItem item)
    {
        // A strong read or a write is best at the leader; for anything else every replica is as good.
        bool wantsLeader = item.Request.IsWrite || item.Request.Read.Level == ReadLevel.Strong;
        NodeId to = wantsLeader ? _leader : NodeId.None;
        for (int tries = 0; tries < 2 && (to.IsNone || IsSilent(to)); tries++)
        {
            to = NextOther();
        }

        if (to.IsNone)
        {
            // The placement names this node alone, and its replica has not come yet.
            Wait(item);
            return;
        }

        if (item.Request.IsWrite)
        {
            AssignId(item);
        }

        Forward(item, to, Loop.NowMs);
    }

    public override void OnTick(long nowMs)
    {
        long before = nowMs - Loop.Node.Options.ElectionTimeoutMs;
        List<Attempt> late = _attempts.FindAll(a => !a.Item.IsCompleted && a.SinceMs < before);
        _attempts.RemoveAll(a => a.Item.IsCompleted || a.SinceMs < before);
        foreach ((RequestItem item, NodeId to, _) in late)
        {
            (_silent, _silentUntilMs) = (to, nowMs + SilenceIntervals * Loop.Node.Options.ElectionTimeoutMs);
            if (_leader == to)
            {
                _leader = NodeId.None;
            }

            // The first answer counts; its id makes a second copy of a write harmless.
            item.AttemptVanished |= item.Request.IsWrite;
            item.MayHaveApplied |= item.AttemptVanished;
            Accept(item);
        }

        base.OnTick(nowMs);
    }

    public override void Abandon()
    {
        _attempts.Clear();
        base.Abandon();
    }

    protected override void OnHint(NodeId leader) => _leader = leader;

    protected override void OnForwarding(RequestItem item, NodeId to) => _attempts.Add(new Attempt(item, to, Loop.NowMs));

    protected override void OnAnswer(NodeId from)
    {
        if (from == _silent)
        {
            _silent = NodeId.None;
        }
    }

    protected override bool IsSilent(NodeId node) => node == _silent && Loop.NowMs < _silentUntilMs;

    /// <summary>Election timeouts for which a node that said nothing is not asked first again.</summary>
    private const int SilenceIntervals = 2;
}
