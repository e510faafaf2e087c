using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// How a loop gets a request for one group answered: by its own replica, or through another node. A request waits here while
/// nobody is known to lead, and comes back here whenever an attempt ended without an answer. It has one attempt at a time; what an
/// attempt's end means is <see cref="AttemptRule"/>'s to say. Nothing tells a node that another one has gone silent, paused or cut off:
/// it has patience with one attempt for as long as an election takes.
/// </summary>
internal abstract class GroupRoute(Turn turn, SharedState node, GroupId group)
{
    private readonly List<RequestItem> _waiting = [];
    private readonly List<RequestItem> _underWay = [];
    private readonly List<Shunned> _shunned = [];
    private readonly List<RequestItem> _givenUp = [];
    private readonly List<Denial> _denials = [];
    private uint _nextOther;

    /// <summary>A node that said nothing, or could not be reached, and is not asked first for a while.</summary>
    private readonly record struct Shunned(NodeId Node, long UntilMs, bool IsSilent);

    /// <summary>
    /// A node has said itself that it does not lead. Until it can have been elected meanwhile, another one's word that it does is old: two that
    /// contradict each other would else be asked in turn without a pause, by every request that waits.
    /// </summary>
    private readonly record struct Denial(NodeId Node, long UntilMs);

    public GroupId Group => group;

    protected Turn Turn => turn;

    protected SharedState Node => node;

    /// <summary>A request has come to it that its loop has not given a turn yet.</summary>
    public bool WantsTurn { get; set; }

    /// <summary>The node believed to lead the group; None when unknown.</summary>
    public abstract NodeId LeaderNode { get; }

    /// <summary>Nodes that may be asked in a row without a pause.</summary>
    protected abstract int NodesToAsk { get; }

    /// <summary>Gets the request answered, or lets it wait.</summary>
    public abstract void Accept(RequestItem item);

    protected void Wait(RequestItem item) => _waiting.Add(item);

    /// <summary>What waits here or is with another node, for the route that takes this one's place.</summary>
    public IReadOnlyList<RequestItem> TakeWaiting()
    {
        foreach (RequestItem item in _underWay)
        {
            item.GiveUpAttempt();
            item.UnderWayAt = -1;
        }

        RequestItem[] items = [.. _waiting.Concat(_underWay).Where(item => !item.IsCompleted)];
        _waiting.Clear();
        _underWay.Clear();
        return items;
    }

    /// <summary>Tries again what waits: the leader may have changed, or a pause is over.</summary>
    /// <param name="nowMs">Whose pause ends later waits on; null: there is news, and nobody waits.</param>
    protected void RetryWaiting(long? nowMs = null)
    {
        if (_waiting.Count == 0)
        {
            return;
        }

        RequestItem[] items = [.. _waiting];
        _waiting.Clear();
        foreach (RequestItem item in items)
        {
            if (item.IsCompleted)
            {
                continue;
            }

            if (nowMs < item.PauseUntilMs)
            {
                Wait(item);
                continue;
            }

            item.Fruitless = nowMs is null ? 0 : item.Fruitless;
            Accept(item);
        }
    }

    /// <summary>Ends what has waited past its deadline, and what another node has not answered by then.</summary>
    public virtual void Expire(long nowMs)
    {
        for (int i = _waiting.Count - 1; i >= 0; i--)
        {
            // An answer that comes after the deadline comes to nobody: at the next tick it would be too late.
            if (nowMs + Node.Options.TickMs > _waiting[i].DeadlineMs)
            {
                Turn.Requests.Complete(_waiting[i], DeadlineReply(_waiting[i]));
                _waiting.RemoveAt(i);
            }
        }

        for (int i = _underWay.Count - 1; i >= 0; i--)
        {
            if (nowMs >= _underWay[i].DeadlineMs)
            {
                Turn.Requests.Complete(_underWay[i], DeadlineReply(_underWay[i]));
            }
        }
    }

    /// <summary>The node stops: everything that waits is answered honestly.</summary>
    public virtual void Abandon()
    {
        foreach (RequestItem item in _waiting.Concat(_underWay))
        {
            Turn.Requests.Abandon(item);
        }

        _waiting.Clear();
        _underWay.Clear();
    }

    public virtual void OnTick(long nowMs)
    {
        Expire(nowMs);
        GiveUpOnSilence(nowMs);
        RetryWaiting(nowMs);
    }

    /// <summary>Passes a request on.</summary>
    /// <param name="item">With no attempt under way.</param>
    /// <param name="to">Another node.</param>
    /// <param name="nowMs">This turn's time.</param>
    /// <param name="mayPassOn">The node that is asked is not the leader, and may ask it.</param>
    /// <param name="mostMs">What the node that is asked may take at most.</param>
    protected void Forward(RequestItem item, NodeId to, long nowMs, bool mayPassOn = false, int mostMs = Limits.MaxTimeoutMs)
    {
        if (item.Request.HopsLeft == 0)
        {
            Turn.Requests.Complete(item, item.MayHaveApplied
                ? Replies.Indeterminate($"Group {Group} changed its leader")
                : Replies.WrongNode(Group, to));
            return;
        }

        int left = (int)Math.Min(item.DeadlineMs - nowMs, Limits.MaxTimeoutMs);
        if (left <= 0)
        {
            Turn.Requests.Complete(item, DeadlineReply(item));
            return;
        }

        // The other node gives up first: what it knows of the outcome is worth more than that no answer came.
        left = Math.Min(left - Math.Min(left / 10, ForwardMarginMs), mostMs);
        if (item.UnderWayAt >= 0)
        {
            // A read that was handed on and is back in the queue, because who was to prove it is leader no more.
            TakeFromUnderWay(item.UnderWayAt).GiveUpAttempt();
        }

        if (!Turn.Requests.TryTakeForwardPlace(item, to))
        {
            OnNoPlace(item, to, nowMs);
            return;
        }

        item.UnderWayAt = _underWay.Count;
        _underWay.Add(item);
        Turn.Requests.Forward(item, to, item.Request with
        {
            Id = item.Id,
            HopsLeft = (byte)(mayPassOn ? 1 : 0),
            TimeoutMs = left,
            Epoch = Node.Routing.Table.Epoch,
        }, nowMs);
    }

    /// <summary>Too much is with that node already. What may have been applied waits: of anything else it is known that it was not.</summary>
    private void OnNoPlace(RequestItem item, NodeId to, long nowMs)
    {
        if (item.MayHaveApplied)
        {
            item.PauseUntilMs = nowMs + AttemptRule.FirstPauseMs;
            Wait(item);
            return;
        }

        Turn.Requests.Complete(item, Replies.Overloaded(
            $"As many requests as may be are with {Node.Options.NameOf(to)} already, of all connections or of this one for its share"));
    }

    /// <summary>A write that came without an id gets one before it leaves this node: what is sent twice is then executed once.</summary>
    protected void AssignId(RequestItem item)
    {
        if (item.Id is null)
        {
            item.AssignId(Turn.Requests.NextId());
        }
    }

    /// <summary>Another node answered, or its connection broke.</summary>
    public void OnForwarded(ForwardReturn attempt, long nowMs)
    {
        RequestItem item = attempt.Item;
        bool isUnderWay = item.EndAttempt(attempt);
        if (isUnderWay && item.UnderWayAt >= 0)
        {
            TakeFromUnderWay(item.UnderWayAt);
        }

        AttemptEnd end = attempt switch
        {
            { Reply: not null } => AttemptEnd.Answered,
            { NotSent: true } => AttemptEnd.NotSent,
            _ => AttemptEnd.Lost,
        };
        if (end == AttemptEnd.Answered)
        {
            Trust(attempt.To);
            if (attempt.Reply?.Evidence is { Role: ServedRole.Leader } by)
            {
                ForgetDenialOf(by.Node);
                OnServed(Credible(by.Node));
            }
        }
        else
        {
            Shun(attempt.To, nowMs + ShunUnreachableMs, isSilent: false);
        }

        if (item.IsCompleted)
        {
            return;
        }

        if (isUnderWay)
        {
            Follow(item, attempt.To, end, attempt.Reply, nowMs);
        }
        else if (attempt.Reply is { } late && AttemptRule.IsResult(late))
        {
            Turn.Requests.Complete(item, WithPath(FinalReply(item, late)));
        }
        else if (AttemptRule.Proves(item.Request.IsWrite, end, attempt.Reply) == Outcome.NotApplied)
        {
            // It was given up, and counted among those of which nobody knows. Now somebody does.
            item.UnknownAttempts--;
        }
    }

    /// <summary>Another node that has a replica, each in turn; None when there is no other.</summary>
    protected NodeId NextOther(NodeId except = default)
    {
        IReadOnlyList<ReplicaPlacement> replicas = Node.Routing.Table.ReplicasOf(group);
        NodeId second = NodeId.None;
        for (int tries = replicas.Count; tries > 0; tries--)
        {
            NodeId node = replicas[(int)(_nextOther++ % (uint)replicas.Count)].Node;
            if (node == Node.Options.Self || node == except)
            {
                continue;
            }

            if (!IsShunned(node))
            {
                return node;
            }

            second = second.IsNone ? node : second;
        }

        return second;
    }

    /// <summary>The same, of those that were heard a moment ago and answer.</summary>
    protected NodeId NextOtherHeard()
    {
        NodeId other = NextOther();
        for (int tries = Node.Routing.Table.ReplicasOf(group).Count; tries > 1 && !other.IsNone && (Node.Peers.IsAway(other) || IsShunned(other)); tries--)
        {
            other = NextOther();
        }

        return other.IsNone || Node.Peers.IsAway(other) || IsShunned(other) ? NodeId.None : other;
    }

    /// <summary>The group has another leader than before: what is with anybody else would wait for nothing.</summary>
    protected void LeaderIsNow(NodeId leader)
    {
        for (int i = _underWay.Count - 1; i >= 0; i--)
        {
            if (_underWay[i].Attempt?.To != leader)
            {
                _givenUp.Add(TakeFromUnderWay(i));
            }
        }

        foreach (RequestItem item in _givenUp)
        {
            item.GiveUpAttempt();
            item.Fruitless = 0;
            if (!item.IsCompleted)
            {
                Accept(item);
            }
        }

        _givenUp.Clear();
    }

    /// <summary>The node said nothing, or could not be reached, a moment ago.</summary>
    protected bool IsShunned(NodeId node) => _shunned.Exists(s => s.Node == node && Turn.NowMs < s.UntilMs);

    /// <summary>Some node with a replica says nothing: whoever is asked instead may have to ask it for us.</summary>
    protected bool SomeoneIsSilent => _shunned.Exists(s => s.IsSilent && Turn.NowMs < s.UntilMs);

    /// <summary>Who leads, as another node says, or that the one that was asked does not.</summary>
    protected abstract void OnHint(NodeId leader);

    /// <summary>A leader has answered, through whatever node; None when it is this one.</summary>
    protected virtual void OnServed(NodeId leader)
    {
    }

    /// <summary>The honest answer to a request whose time is over.</summary>
    protected virtual KvReply DeadlineReply(RequestItem item) =>
        AttemptRule.CodeAtDeadline(
            StateOf(item, NodeId.None) with { UnknownAttempts = item.MayHaveApplied ? 1 : 0 }, leaderIsKnown: !LeaderNode.IsNone) switch
        {
            ErrorCode.Indeterminate => Replies.Indeterminate("The deadline passed after the write was handed over"),
            ErrorCode.Timeout => Replies.ReadTimeout(Group),
            _ => Replies.NoLeader(Group, LeaderNode),
        };

    /// <summary>An answer of the group itself, or of a node that refuses: said to who asked if it says what is known, and no more.</summary>
    protected KvReply FinalReply(RequestItem item, KvReply reply) =>
        AttemptRule.CodeOf(StateOf(item, NodeId.None), reply) == reply.Code ? reply : Replies.Indeterminate($"The last attempt ended as {reply.Code}");

    private AttemptState StateOf(RequestItem item, NodeId asked) => new()
    {
        IsWrite = item.Request.IsWrite,
        HasId = item.Id is not null,
        IdIsCallers = !item.HasOwnId,
        UnknownAttempts = item.UnknownAttempts,
        Asked = asked,
        Fruitless = item.Fruitless,
        Nodes = NodesToAsk,
        LeftMs = item.DeadlineMs - Turn.NowMs,
        IsRelay = true,
    };

    private void Follow(RequestItem item, NodeId asked, AttemptEnd end, KvReply? reply, long nowMs)
    {
        AttemptVerdict verdict = AttemptRule.Next(StateOf(item, asked), end, reply);
        if (AttemptRule.Proves(item.Request.IsWrite, end, reply) == Outcome.Unknown)
        {
            item.UnknownAttempts++;
        }

        if (verdict.Next == NextStep.Answer)
        {
            Turn.Requests.Complete(item, reply is not null && verdict.Code == reply.Code ? WithPath(reply) : verdict.Code switch
            {
                ErrorCode.Indeterminate => Replies.Indeterminate(
                    reply is null ? "The deadline passed after the write was handed over" : $"The last attempt ended as {reply.Code}"),
                _ => DeadlineReply(item),
            });
            return;
        }

        item.Fruitless++;
        if (reply is { Code: ErrorCode.WrongNode or ErrorCode.NoLeader })
        {
            ForgetDenialOf(asked);
            _denials.Add(new Denial(asked, nowMs + Node.Options.ElectionTimeoutMs));
        }

        NodeId leader = verdict.Next == NextStep.AskLeader ? Credible(verdict.Leader) : NodeId.None;
        leader = HasDenied(leader, nowMs) ? NodeId.None : leader;
        if (verdict.Next != NextStep.AskSame)
        {
            OnHint(leader);
        }

        if (verdict.AfterMs > 0)
        {
            item.PauseUntilMs = nowMs + verdict.AfterMs;
            Wait(item);
        }
        else if (!leader.IsNone && !IsShunned(leader))
        {
            Forward(item, leader, nowMs);
        }
        else
        {
            Accept(item);
        }
    }

    // At most one of each node with a replica.
    private bool HasDenied(NodeId node, long nowMs)
    {
        foreach (Denial denial in _denials)
        {
            if (denial.Node == node && nowMs < denial.UntilMs)
            {
                return true;
            }
        }

        return false;
    }

    private void ForgetDenialOf(NodeId node)
    {
        for (int i = _denials.Count - 1; i >= 0; i--)
        {
            if (_denials[i].Node == node)
            {
                _denials.RemoveAt(i);
            }
        }
    }

    private void GiveUpOnSilence(long nowMs)
    {
        long before = nowMs - Node.Options.ElectionTimeoutMs;
        for (int i = _underWay.Count - 1; i >= 0; i--)
        {
            RequestItem item = _underWay[i];
            if (item.IsCompleted)
            {
                TakeFromUnderWay(i);
            }
            else if (item.Attempt is { } attempt && attempt.SinceMs < before)
            {
                OnSilence(attempt.To, nowMs);
                _givenUp.Add(TakeFromUnderWay(i));
            }
        }

        foreach (RequestItem item in _givenUp)
        {
            ForwardReturn attempt = item.Attempt!;
            item.EndAttempt(attempt);
            Follow(item, attempt.To, AttemptEnd.Silent, null, nowMs);
        }

        _givenUp.Clear();
    }

    private RequestItem TakeFromUnderWay(int at)
    {
        RequestItem item = _underWay[at];
        RequestItem last = _underWay[^1];
        (_underWay[at], last.UnderWayAt) = (last, at);
        _underWay.RemoveAt(_underWay.Count - 1);
        item.UnderWayAt = -1;
        return item;
    }

    /// <summary>The node has said nothing for as long as an election takes.</summary>
    protected void OnSilence(NodeId node, long nowMs) =>
        Shun(node, nowMs + (ShunSilentIntervals * Node.Options.ElectionTimeoutMs), isSilent: true);

    private void Trust(NodeId node)
    {
        if (_shunned.Count > 0)
        {
            _shunned.RemoveAll(s => s.Node == node);
        }
    }

    private void Shun(NodeId node, long untilMs, bool isSilent)
    {
        int known = _shunned.FindIndex(s => s.Node == node);
        if (known < 0)
        {
            _shunned.Add(new Shunned(node, untilMs, isSilent));
        }
        else if (untilMs > _shunned[known].UntilMs)
        {
            _shunned[known] = new Shunned(node, untilMs, isSilent);
        }
    }

    /// <summary>Another node's word: taken only when it names somebody else who has a replica of the group.</summary>
    private NodeId Credible(NodeId hint) =>
        hint != Node.Options.Self && Node.Routing.Table.ReplicasOf(group).Any(p => p.Node == hint) ? hint : NodeId.None;

    private static KvReply WithPath(KvReply reply) =>
        reply.Evidence is { } evidence ? reply with { Evidence = evidence with { Path = ServedPath.Forwarded } } : reply;

    /// <summary>At most so much of a deadline is kept back for the way home.</summary>
    private const int ForwardMarginMs = 50;

    /// <summary>Election timeouts for which a node that said nothing is not asked first again.</summary>
    private const int ShunSilentIntervals = 2;

    /// <summary>The same for a node that could not be reached, milliseconds: it is known soon that it can be again.</summary>
    private const int ShunUnreachableMs = 200;
}
