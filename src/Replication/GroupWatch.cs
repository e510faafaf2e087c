namespace KvStore.Replication;

/// <summary>
/// How a node's groups are, all of them together, and what is said of that. A majority that never comes breaks nothing and answers nothing:
/// somebody has to say so. The first loop looks once a tick; any thread asks.
/// </summary>
internal sealed class GroupWatch(SharedState node, ReplicaDirectory replicas)
{
    private readonly SpokenState _groupsAhead = new();
    private bool _saidServing;
    private long _nextLeaderlessReportMs;

    /// <summary>
    /// Every local group has once, since this process started, applied what was committed by then; not more than half of them have been
    /// without a leader for ten seconds; and the node is not stopping.
    /// </summary>
    public Readiness Readiness
    {
        get
        {
            IReadOnlyDictionary<uint, ReplicaReader> all = replicas.All;
            string self = node.Options.NameOf(node.Options.Self);
            if (node.Fitness.IsDraining)
            {
                return new Readiness(NotReady.Draining, $"Node {self} is stopping");
            }

            long before = node.Clock.ElapsedMs() - LeaderlessLimitMs;
            if (node.Fitness.Disk.IsSick)
            {
                return new Readiness(
                    NotReady.DiskSick, $"The disk of {self} does not finish its writes in time, the oldest waits for {node.Fitness.Disk.AgeMs} ms");
            }

            int behind = all.Values.Count(r => !r.HasCaughtUp);
            int leaderless = all.Values.Count(r => r.LeaderlessSinceMs < (r.HasCaughtUp ? before : long.MaxValue));
            if (leaderless * 2 > all.Count || (behind > 0 && leaderless >= behind))
            {
                return new Readiness(NotReady.NoLeader, $"{leaderless} of {all.Count} groups on {self} know no leader");
            }

            return behind == 0
                ? default
                : new Readiness(
                    NotReady.CatchingUp,
                    $"{behind} of {all.Count} groups on {self} do not have yet what was committed before it started");
        }
    }

    /// <summary>
    /// Once a tick, on one loop: says when the node is ready for the first time, and, while groups have had no leader for long, which these are
    /// and which of their nodes are not heard.
    /// </summary>
    public void CheckLeaders(long nowMs)
    {
        if (!_saidServing && Readiness.IsReady)
        {
            _saidServing = true;
            Say(NodeEventKind.Serving, $"serving: ready for requests in all {replicas.Count} groups");
        }

        if (nowMs < _nextLeaderlessReportMs)
        {
            return;
        }

        ReplicaReader[] leaderless = [.. replicas.InOrder.Where(r => r.LeaderlessSinceMs <= nowMs - LeaderlessLimitMs)];
        if (leaderless.Length == 0)
        {
            return;
        }

        _nextLeaderlessReportMs = nowMs + LeaderlessLimitMs;
        string groups = string.Join(", ", leaderless.Take(MaxGroupsNamed).Select(r => r.Address.Group)) + (leaderless.Length > MaxGroupsNamed ? ", …" : "");
        string[] away =
        [
            .. leaderless.SelectMany(r => node.Routing.Table.ReplicasOf(r.Address.Group)).Select(p => p.Node).Distinct().Order()
                .Where(node.Peers.IsAway).Select(node.Options.NameOf),
        ];
        Say(
            NodeEventKind.NoLeader,
            $"{leaderless.Length} of {replicas.Count} groups have had no leader for {(nowMs - leaderless.Min(r => r.LeaderlessSinceMs)) / 1000} s ({groups}); "
                + (away.Length == 0
                    ? "all their nodes are heard"
                    : $"not heard from {string.Join(", ", away)}: a majority of a group's nodes must be up and reach each other"));
    }

    /// <summary>
    /// Most seconds by which a group here is ahead of the slowest clock of its nodes. Who asks by such a clock is told that his request is old.
    /// </summary>
    public void WarnOfGroupsAhead()
    {
        long most = 0;
        foreach (ReplicaReader replica in replicas.All.Values)
        {
            most = Math.Max(most, replica.Status?.ClockLeadSeconds ?? 0);
        }

        if (_groupsAhead.IsToBeSaid(most >= WallClocks.MaxLeadSeconds, node.Clock.ElapsedMs()))
        {
            Say(
                NodeEventKind.GroupsAhead,
                $"groups count time up to {most} s ahead of the slowest wall clock of their nodes: requests with keys that name a time seem so much older; "
                + "set the clocks, and wait as long");
        }
    }

    private void Say(NodeEventKind kind, string text) => node.Events.Report(new NodeEvent(kind, default, 0, 0, text));

    /// <summary>Without a leader for so long a group is spoken of, and again each time as much has passed.</summary>
    private const long LeaderlessLimitMs = 10_000;

    /// <summary>Groups named in one line.</summary>
    private const int MaxGroupsNamed = 16;
}
