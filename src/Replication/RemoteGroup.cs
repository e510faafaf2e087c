using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// A group this node holds no replica of: every request is passed on. While none of its replicas knows a leader, one request after the
/// other goes out to ask, and the rest wait for what it learns: what a group without its majority costs does not grow with its requests.
/// </summary>
internal sealed class RemoteGroup(Turn turn, SharedState node, GroupId group) : GroupRoute(turn, node, group)
{
    private NodeId _leader;

    // Answers in a row from which no leader was learned.
    private int _fruitless;
    private long _fruitlessAtMs;
    private long _nextScoutMs;

    public override NodeId LeaderNode => _leader;

    /// <summary>Epoch of the placement that took this node's last replica of the group; an older one brings none back.</summary>
    public ulong VacantSince { get; init; }

    /// <summary>That replica's log or files are still there.</summary>
    public bool IsLeaving { get; set; }

    protected override int NodesToAsk => Node.Routing.Table.ReplicasOf(Group).Count;

    public override void Accept(RequestItem item)
    {
        // A strong read or a write is best at the leader; for anything else every replica is as good.
        bool wantsLeader = item.Request.IsWrite || item.Request.Read.Level == ReadLevel.Strong;
        NodeId to = wantsLeader && !IsShunned(_leader) ? _leader : NodeId.None;
        bool toLeader = !to.IsNone;
        if (!toLeader && wantsLeader && item.Request.HopsLeft > 0 && !MayScout())
        {
            Wait(item);
            return;
        }

        to = toLeader ? to : NextOther();
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

        Forward(item, to, Turn.NowMs, mayPassOn: !toLeader && item.Request.HopsLeft > 1 && SomeoneIsSilent);
    }

    protected override void OnHint(NodeId leader)
    {
        _leader = leader;
        if (!leader.IsNone && !IsShunned(leader))
        {
            _fruitless = 0;
            RetryWaiting();
        }
        else if (Turn.NowMs > _fruitlessAtMs)
        {
            // Those that come back together say one thing.
            _fruitlessAtMs = Turn.NowMs;
            _fruitless++;
        }
    }

    protected override void OnServed(NodeId leader)
    {
        if (leader != _leader || _fruitless > 0)
        {
            (_leader, _fruitless) = (leader, 0);
            RetryWaiting();
        }
    }

    /// <summary>Every replica may be asked once in a row; then one request is sent, and a pause made, in turn.</summary>
    private bool MayScout()
    {
        int pauseMs = AttemptRule.PauseMs(_fruitless + 1 - NodesToAsk);
        if (pauseMs == 0)
        {
            return true;
        }

        if (Turn.NowMs < _nextScoutMs)
        {
            return false;
        }

        _nextScoutMs = Turn.NowMs + pauseMs;
        return true;
    }
}
