using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.Simulation;

/// <summary>What came of one seed.</summary>
/// <param name="Seed">The seed.</param>
/// <param name="TraceHash">Hash over every event, equal in every process that runs this seed.</param>
/// <param name="SimulatedSeconds">Virtual time, whole seconds.</param>
/// <param name="Faults">Faults done, by kind.</param>
/// <param name="Violation">Name of the invariant that was broken; null when none was.</param>
/// <param name="Detail">What was seen, for a person.</param>
/// <param name="Acknowledged">Operations that succeeded.</param>
/// <param name="Marks">Rare events reached.</param>
/// <param name="Story">What the nodes reported and which faults came, in order.</param>
public sealed record RunResult(
    ulong Seed, ulong TraceHash, long SimulatedSeconds, IReadOnlyDictionary<string, int> Faults, string? Violation, string? Detail,
    long Acknowledged, CoverageMarks Marks, IReadOnlyList<string> Story)
{
    public int FaultCount => Faults.Values.Sum();

    /// <summary>The last line a runner prints.</summary>
    public string ResultLine =>
        $"seed={Seed} trace={TraceHash:x16} simulated={SimulatedSeconds} faults={FaultCount} result={(Violation is null ? "ok" : $"violation:{Violation}")}";
}

/// <summary>
/// One seed from start to verdict. Safety phase: clients work while the nemesis does its worst, and every invariant is checked
/// as it happens. Liveness phase: everything heals for good; every group must find a leader, every open operation must end,
/// replicas must become equal. Then the history is checked for linearizability.
/// </summary>
public static class SimulationRun
{
    /// <param name="seed">The seed.</param>
    /// <param name="change">Changes the plan that was drawn, to bring rare states nearer.</param>
    public static RunResult Execute(ulong seed, Func<FaultPlan, FaultPlan>? change = null)
    {
        var random = new SimulatedRandom(seed);
        ClusterOptions options = Draw(seed, random);
        var cluster = new SimulatedCluster(options);
        var capped = new CappedNodes(cluster, seed);
        var lasting = new SimulatedRandom(seed ^ LastingSalt);
        var old = new SimulatedRandom(seed ^ OldCopiesSalt);
        FaultPlan drawn = FaultPlan.Draw(random).WithLasting(lasting).WithOldCopies(old);
        FaultPlan plan = change?.Invoke(drawn) ?? drawn;
        var nemesis = new Nemesis(cluster, plan, lasting, old);
        var clients = new HistoryClients(cluster, clients: 4 + random.Below(4), keys: 2 + random.Below(4), timeoutMs: 200 + random.Below(2_000));
        var levels = new LevelClients(cluster);
        var appends = new AppendWriters(cluster, seed);
        var transfers = new TransferWriters(cluster, seed);
        var routing = new RoutingReaders(cluster, seed);
        string? violation = null;
        string? detail = null;
        try
        {
            Run(cluster, nemesis, clients, levels, appends, transfers, routing, capped, random);
            if (plan.MovedReplicas == 0 && random.Chance(0.5))
            {
                new OneLeftBehind(cluster, random).Run();
            }

            CountMarks(cluster, clients, levels);
        }
        catch (SafetyViolationException broken)
        {
            (violation, detail) = (broken.Invariant, broken.Message);
        }
        catch (Raft.InvariantViolationException broken)
        {
            (violation, detail) = ("product-invariant", broken.ToString());
        }

        return new RunResult(
            seed, cluster.Scheduler.TraceHash, cluster.Scheduler.NowMicros / 1_000_000, nemesis.Counts, violation, detail, clients.Acknowledged,
            cluster.Marks, cluster.Story);
    }

    private static ClusterOptions Draw(ulong seed, SimulatedRandom random)
    {
        int groups = 1 << random.Below(4);
        return new ClusterOptions
        {
            Seed = random.Next(),
            Nodes = random.Chance(0.3) ? 5 : 3,
            Groups = groups,
            VirtualNodes = groups * (1 << random.Below(3)),
            ChangesFollowEpochs = seed % 4 is 1 or 2,
            Network = new NetworkOptions
            {
                MaxDelayMicros = random.Chance(0.3) ? 50_000 : 2_000,
                Loss = random.Chance(0.4) ? random.Below(20) / 100.0 : 0,
                Duplication = random.Chance(0.4) ? random.Below(30) / 100.0 : 0,
                Straggling = random.Chance(0.3) ? 0.01 : 0,
            },
            Wal = new WalOptions
            {
                SegmentBytes = SmallestSegment << random.Below(3),
                PurgeTriggerBytes = seed % 2 == 0 ? 4 * (SmallestSegment << 2) : 1 << 30,
                MaxBatchBytes = 16 * 1024,
                EntryCacheBytes = random.Chance(0.3) ? 4 * 1024 : 1 << 20,
            },
            Adjust = node => node with
            {
                SnapshotMinEntries = seed % 3 == 0 ? 20UL : 200UL,
                MaxTrailingEntries = seed % 5 == 0 ? 0UL : 50UL,
                Workers = seed % 4 == 0 ? 2 : 1,
                HoldsVoteAfterStart = seed % 7 == 0,
            },
        };
    }

    private static void Run(
        SimulatedCluster cluster, Nemesis nemesis, HistoryClients clients, LevelClients levels, AppendWriters appends, TransferWriters transfers,
        RoutingReaders routing, CappedNodes capped, SimulatedRandom random)
    {
        cluster.StartAll();
        Require(cluster.RunUntilReady(), "liveness", "the cluster did not elect its first leaders");
        clients.Start();
        levels.Start();
        appends.Start();
        transfers.Start();
        routing.Start();
        nemesis.Start();
        capped.Start(nemesis);
        cluster.Placement.Start();
        int groups = cluster.Routing.GroupCount;
        for (long slice = 0, slices = MinSlices + random.Below(MinSlices); slice < slices; slice++)
        {
            cluster.Scheduler.RunFor(200_000);
            cluster.CompareReplicas(new GroupId((uint)(1 + random.Below(groups))));
        }

        nemesis.Stop();
        clients.Stop();
        levels.Stop();
        appends.Stop();
        transfers.Stop();
        routing.Stop();
        Require(
            cluster.Scheduler.RunUntil(() => clients.AllIdle && levels.AllIdle && appends.AllIdle && transfers.AllIdle, LivenessMicros), "liveness",
            "operations were still open a minute after all faults healed");
        Require(
            cluster.Scheduler.RunUntil(() => cluster.Placement.IsSettled, LivenessMicros), "liveness", $"replicas were still moving a minute after all faults healed: {cluster.Placement.Pending}");
        Require(cluster.RunUntilReady(LivenessMicros), "liveness", "groups had no leader a minute after all faults healed");
        Require(cluster.Scheduler.RunUntil(() => Converged(cluster), LivenessMicros), "liveness", "replicas did not converge within a minute");
        Require(cluster.Scheduler.RunUntil(routing.AllAgree, LivenessMicros), "liveness", "nodes did not say the same of the cluster within a minute");
        for (uint group = 1; group <= groups; group++)
        {
            cluster.CompareReplicas(new GroupId(group));
        }

        appends.Check();
        transfers.Check();
        (Verdict verdict, string? key) = new LinearizabilityChecker().Check(clients.History);
        Require(verdict != Verdict.Violation, "linearizability", $"no order of the operations on {key} explains what clients saw");
        Require(verdict != Verdict.Undecided, "history-undecided", "the search for an order was cut short: no verdict is no pass");
        cluster.Marks.Hit(CoverageMarks.HistoryChecked);
    }

    private static void CountMarks(SimulatedCluster cluster, HistoryClients clients, LevelClients levels)
    {
        cluster.Marks.Hit(CoverageMarks.WriteSentAgain, clients.Retried);
        cluster.Marks.Hit(CoverageMarks.WriteCopiedLate, clients.LateCopies);
        cluster.Marks.Hit(CoverageMarks.BoundedRead, levels.BoundedReads);
        cluster.Marks.Hit(CoverageMarks.ReadWithAge, levels.ReadsWithAge);
        foreach (SimulatedNode node in cluster.Nodes)
        {
            cluster.Marks.AddFrom(node.Disk.Counters);
            cluster.Marks.AddFrom(node.Store!);
        }
    }

    private static bool Converged(SimulatedCluster cluster) =>
        Enumerable.Range(1, cluster.Routing.GroupCount).All(g => cluster.Nodes
            .SelectMany(n => n.Store!.Groups)
            .Where(s => s.Group.Value == (uint)g)
            .Select(s => s.Applied)
            .Distinct()
            .Count() == 1);

    private static void Require(bool holds, string invariant, string what)
    {
        if (!holds)
        {
            throw new SafetyViolationException(invariant, what);
        }
    }

    /// <summary>Slices of 200 simulated milliseconds in the safety phase: one to two minutes.</summary>
    private const int MinSlices = 300;

    private const long LivenessMicros = 60_000_000;

    private const long SmallestSegment = 64 * 1024;

    private const ulong LastingSalt = 0x1A57_1265;

    private const ulong OldCopiesSalt = 0x01DC_0917;
}
