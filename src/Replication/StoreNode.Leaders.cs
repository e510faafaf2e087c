using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>A majority that never comes breaks nothing and answers nothing: somebody has to say so.</summary>
public sealed partial class StoreNode
{
    private bool _saidServing;
    private long _nextLeaderlessReportMs;

    /// <summary>The node has sent nothing for an election timeout, or nothing since this process started so long ago.</summary>
    internal bool IsAway(NodeId node) =>
        !node.IsNone && node != Self && node.Value <= Options.NodeNames.Count && ElapsedMs() - _peers.HeardMs(node) >= Options.ElectionTimeoutMs;

    /// <summary>
    /// Once a tick, on one loop: says when the node is ready for the first time, and, while groups have had no leader for long, which these are
    /// and which of their nodes are not heard.
    /// </summary>
    internal void CheckLeaders(long nowMs)
    {
        if (!_saidServing && IsReady)
        {
            _saidServing = true;
            Report(new NodeEvent(NodeEventKind.Serving, default, 0, 0, $"serving: ready for requests in all {Replicas.Count} groups"));
        }

        if (nowMs < _nextLeaderlessReportMs)
        {
            return;
        }

        Replica[] leaderless = [.. LocalReplicas.Where(r => r.LeaderlessSinceMs <= nowMs - LeaderlessLimitMs)];
        if (leaderless.Length == 0)
        {
            return;
        }

        _nextLeaderlessReportMs = nowMs + LeaderlessLimitMs;
        string groups = string.Join(", ", leaderless.Take(MaxGroupsNamed).Select(r => r.Group)) + (leaderless.Length > MaxGroupsNamed ? ", …" : "");
        string[] away = [.. leaderless.SelectMany(r => Routing.ReplicasOf(r.Group)).Select(p => p.Node).Distinct().Order().Where(IsAway).Select(NameOf)];
        Report(new NodeEvent(
            NodeEventKind.NoLeader, default, 0, 0,
            $"{leaderless.Length} of {Replicas.Count} groups have had no leader for {(nowMs - leaderless.Min(r => r.LeaderlessSinceMs)) / 1000} s ({groups}); "
                + (away.Length == 0
                    ? "all their nodes are heard"
                    : $"not heard from {string.Join(", ", away)}: a majority of a group's nodes must be up and reach each other")));
    }

    /// <summary>Groups named in one line.</summary>
    private const int MaxGroupsNamed = 16;
}
