using KvStore.Protocol;

namespace KvStore.Simulation;

/// <summary>Wall clocks that are wrong from the start of the cluster on.</summary>
public static class WrongClock
{
    private const int Groups = 16;
    private const long Second = 1_000_000;
    private const long YearMs = 365L * 24 * 3_600_000;
    private const long ElevenMinutesMs = 660_000;

    /// <summary>One clock is a year ahead: its node is preferred by a third of the groups, and leads none.</summary>
    public static void LeadsNothing(ulong seed)
    {
        SimulatedCluster cluster = Start(seed, YearMs, 0, 0);
        SimulatedNode off = cluster.Nodes[0];
        Until(cluster, () => cluster.LeaderCount() == Groups && Led(off) == 0, "the others lead everything");
        for (int i = 0; i < 300; i++)
        {
            cluster.Scheduler.RunFor(Second / 10);
            Require(Led(off) == 0, "wrong-clock-leads", $"n1 leads {Led(off)} groups though others can");
        }

        // A node that goes and comes back changes nothing: there is always another that can.
        for (int n = 1; n <= 2; n++)
        {
            cluster.Kill(cluster.Nodes[n]);
            Until(cluster, () => Led(cluster.Nodes[3 - n]) == Groups && Led(off) == 0, $"n{4 - n} leads everything");
            cluster.Start(cluster.Nodes[n]);
            Until(cluster, () => cluster.Nodes[n].Store!.IsReady, "it is back");
            cluster.Scheduler.RunFor(5 * Second);
            Require(Led(off) == 0, "wrong-clock-leads", $"n1 leads {Led(off)} groups though others can");
        }

        // When the clock is set right, the placement has what it wants.
        off.Clock.WallOffsetMs = 0;
        Until(cluster, () => cluster.Routing.GroupCount > 0 && Led(off) > 0, "n1 leads what it is preferred for");
    }

    /// <summary>Two of three clocks are eleven minutes ahead, and are set right later: group time cannot go back with them.</summary>
    public static void MajorityAhead(ulong seed)
    {
        SimulatedCluster cluster = Start(seed, ElevenMinutesMs, ElevenMinutesMs, 0);
        KvReply reply = Increment(cluster);
        Require(reply.Code == ErrorCode.IdempotencyExpired, "liveness", $"the increment is answered {reply.Code}");
        Require(reply.Detail!.Contains("ahead of the slowest wall clock", StringComparison.Ordinal), "said-once", $"the client alone is blamed: {reply.Detail}");
        for (int n = 1; n <= 3; n++)
        {
            Until(cluster, () => cluster.Nodes[n - 1].Store!.Groups.Any(g => g.ClockLeadSeconds is > 600 and < 700), $"n{n} shows the lead");
            Require(
                cluster.Story.Count(line => line.Contains($" n{n} ", StringComparison.Ordinal) && line.Contains("groups count time up to", StringComparison.Ordinal)) == 1,
                "said-once", $"n{n} does not say it once");
        }

        cluster.Nodes[0].Clock.WallOffsetMs = 0;
        cluster.Nodes[1].Clock.WallOffsetMs = 0;
        cluster.Scheduler.RunFor(700 * Second);
        Require(cluster.Nodes.All(n => n.Store!.Groups.All(g => g.ClockLeadSeconds < 60)), "liveness", "real time has caught up, and groups are still ahead");
        reply = Increment(cluster);
        Require(reply.Code == ErrorCode.None, "liveness", $"real time has caught up, and the increment is answered {reply.Code}: {reply.Detail}");
    }

    /// <summary>
    /// A first start with most clocks eleven minutes ahead: whoever meets a clock that is apart ends, before anything is stamped, until the
    /// clocks are set.
    /// </summary>
    public static void FirstStart(ulong seed)
    {
        var cluster = new SimulatedCluster(new ClusterOptions { Seed = seed, Groups = Groups, VirtualNodes = Groups });
        cluster.GroupTime.IsWatched = false;
        var ended = new HashSet<NodeId>();
        foreach (SimulatedNode node in cluster.Nodes)
        {
            node.OnClocksApart = (n, _) => ended.Add(n.Id);
        }

        // Two of three, in whatever order they start.
        for (int n = 0; n < 2; n++)
        {
            cluster.Nodes[(int)(seed % 3 + (ulong)n) % 3].Clock.WallOffsetMs = ElevenMinutesMs;
        }

        cluster.StartAll();
        cluster.Scheduler.RunFor(10 * Second);
        Require(cluster.LeaderCount() == 0, "clocks-apart-accepted", $"a new cluster with clocks apart leads {cluster.LeaderCount()} groups");
        Require(ended.Count >= 2, "clocks-apart-accepted", $"{ended.Count} nodes have said that the clocks are apart");
        foreach (SimulatedNode node in cluster.Nodes)
        {
            node.Clock.WallOffsetMs = 0;
            node.OnClocksApart = null;
            if (node.Store is null)
            {
                cluster.Start(node);
            }
        }

        Require(cluster.RunUntilReady(60 * Second), "liveness", "the clocks are set, and the cluster does not begin");
    }

    private static SimulatedCluster Start(ulong seed, params long[] offsetsMs)
    {
        var cluster = new SimulatedCluster(new ClusterOptions
        {
            Seed = seed,
            Groups = Groups,
            VirtualNodes = Groups,
            Adjust = node => node with { AcceptClockSkew = true },
        });
        for (int n = 0; n < offsetsMs.Length; n++)
        {
            cluster.Nodes[n].Clock.WallOffsetMs = offsetsMs[n];
        }

        // With most clocks ahead it is, and that is what is looked at.
        cluster.GroupTime.IsWatched = offsetsMs.Count(o => o != 0) * 2 < offsetsMs.Length;
        cluster.StartAll();
        Require(cluster.RunUntilReady(), "liveness", "the cluster did not elect its first leaders");
        return cluster;
    }

    private static int Led(SimulatedNode node) => node.Store?.Groups.Count(g => g.Role == "leader") ?? 0;

    private static KvReply Increment(SimulatedCluster cluster)
    {
        KvReply? reply = null;
        var id = new RequestId(
            cluster.Random.Next(), Sequence: 0, (ulong)SimulatedClock.TrueTime(cluster.Scheduler).ToUnixTimeMilliseconds(), AckedBelow: 0,
            new RequestDigest(DigestAlgorithm.Body, 7));
        var increment = new KvRequest { Operation = new Increment("counter"u8, 1, 0), Id = id, TimeoutMs = 10_000 };
        cluster.Nodes[2].Store!.Submit(increment, new ReplySink(r => reply = r));
        cluster.Scheduler.RunUntil(() => reply is not null, 20 * Second);
        return reply!;
    }

    private static void Until(SimulatedCluster cluster, Func<bool> condition, string what) =>
        Require(cluster.Scheduler.RunUntil(condition, 30 * Second), "liveness", $"not reached: {what}");

    private static void Require(bool holds, string invariant, string what)
    {
        if (!holds)
        {
            throw new SafetyViolationException(invariant, what);
        }
    }
}
