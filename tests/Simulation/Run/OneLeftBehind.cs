using System.Text;
using KvStore.Protocol;

namespace KvStore.Simulation;

/// <summary>
/// One node stays broken for good: dead, cut off, deaf (it sends and hears nothing), mute (it hears and nothing of it arrives), or its disk
/// finishes nothing. The others are a majority of every group. They must serve every group, and leaders must stay: a node that cannot hear
/// must not force elections for ever. Or one link works in one direction only: then every node must serve every group, for each of
/// them can be reached through another.
/// </summary>
internal sealed class OneLeftBehind(SimulatedCluster cluster, SimulatedRandom random)
{
    public const string Violation = "liveness-degraded";

    private enum Failure
    {
        Dead,
        CutOff,
        Deaf,
        Mute,
        DiskHangs,
        OneWayLink,
    }

    public void Run()
    {
        // What was broken before has leaders move once more: to where the placement wants them, when a disk is well again or a clock right.
        foreach (SimulatedNode node in cluster.Nodes)
        {
            node.Clock.WallOffsetMs = 0;
        }

        cluster.Scheduler.RunUntil(() => cluster.Nodes.All(n => n.Store is { DiskStatus.IsSick: false }), WellMicros);
        cluster.Scheduler.RunFor(SettleMicros);
        SimulatedNode broken = cluster.Nodes[random.Below(cluster.Nodes.Count)];
        var failure = (Failure)random.Below(6);
        cluster.Tell($"for good: n{broken.Id} {failure}");
        Break(broken, failure);

        // Whoever hears nothing of a leader goes on asking for votes that nobody gives it: there, terms tell whether a leader changes.
        bool isLink = failure == Failure.OneWayLink;
        if (failure == Failure.DiskHangs)
        {
            // A disk of which nobody wants anything is not known to stand still.
            WriteEverywhere();
        }

        SimulatedNode[] others = [.. cluster.Nodes.Where(n => isLink || n != broken)];
        cluster.Scheduler.RunFor(SettleMicros);
        long before = isLink ? Terms(others) : Elections(others);
        for (uint group = 1; group <= cluster.Routing.GroupCount; group++)
        {
            SimulatedNode at = others[random.Below(others.Length)];
            if (isLink && HearsNobody(at, new GroupId(group)))
            {
                WriteInVain(new GroupId(group), at);
            }
            else
            {
                Write(new GroupId(group), at, failure);
            }
        }

        cluster.Scheduler.RunFor(WatchMicros);
        long after = isLink ? Terms(others) : Elections(others);
        Require(after == before, $"leaders still change {SettleMicros / 1_000_000} s after n{broken.Id} was {failure}");
        cluster.Marks.Hit(CoverageMarks.OneLeftBehind);
        cluster.Marks.Hit(CoverageMarks.OneWayForGood, isLink ? 1 : 0);
        cluster.Marks.Hit(CoverageMarks.HungForGood, failure == Failure.DiskHangs ? 1 : 0);
        cluster.Network.HealCuts();
        broken.DiskStandsStill = false;
        if (failure == Failure.Dead)
        {
            cluster.Start(broken);
        }
    }

    private void Break(SimulatedNode broken, Failure failure)
    {
        if (failure == Failure.Dead)
        {
            cluster.Kill(broken);
            return;
        }

        if (failure == Failure.DiskHangs)
        {
            broken.DiskStandsStill = true;
            return;
        }

        if (failure == Failure.OneWayLink)
        {
            NodeId to = cluster.Nodes[(int)((broken.Id.Value + (uint)random.Below(cluster.Nodes.Count - 1)) % (uint)cluster.Nodes.Count)].Id;
            cluster.Tell($"for good: nothing of n{broken.Id} arrives at n{to}");
            cluster.Network.Cut(broken.Id, to);
            return;
        }

        foreach (SimulatedNode other in cluster.Nodes.Where(n => n != broken))
        {
            if (failure != Failure.Mute)
            {
                cluster.Network.Cut(other.Id, broken.Id);
            }

            if (failure != Failure.Deaf)
            {
                cluster.Network.Cut(broken.Id, other.Id);
            }
        }
    }

    private void Write(GroupId group, SimulatedNode at, Failure failure)
    {
        KvReply? reply = null;
        at.Store!.Submit(
            new KvRequest { Operation = new Put(KeyIn(group), new byte[8]), TimeoutMs = WriteTimeoutMs, HopsLeft = KvRequest.MostHops },
            new ReplySink(r => reply = r));
        cluster.Scheduler.RunUntil(() => reply is not null, (WriteTimeoutMs + 1000) * 1000L);
        Require(reply?.Code == ErrorCode.None, $"a write to group {group} at n{at.Id} ended as {reply?.Code} ({failure}): {reply?.Detail}");
    }

    /// <summary>Whoever hears nobody says in time that nothing was written, so that its client may go elsewhere.</summary>
    private void WriteInVain(GroupId group, SimulatedNode at)
    {
        KvReply? reply = null;
        at.Store!.Submit(new KvRequest { Operation = new Put(KeyIn(group), new byte[8]), TimeoutMs = WriteTimeoutMs }, new ReplySink(r => reply = r));
        cluster.Scheduler.RunUntil(() => reply is not null, (WriteTimeoutMs + 1000) * 1000L);
        Require(
            reply is { Code: ErrorCode.None } or { Code: ErrorCode.NoLeader, Outcome: Outcome.NotApplied },
            $"a write to group {group} at n{at.Id}, which hears nobody, ended as {reply?.Code} {reply?.Outcome}: {reply?.Detail}");
        cluster.Marks.Hit(CoverageMarks.HeardNobody);
    }

    private void WriteEverywhere()
    {
        for (uint group = 1; group <= cluster.Routing.GroupCount; group++)
        {
            foreach (SimulatedNode node in cluster.Nodes)
            {
                node.Store!.Submit(
                    new KvRequest { Operation = new Put(KeyIn(new GroupId(group)), new byte[8]), TimeoutMs = WriteTimeoutMs },
                    new ReplySink(_ => { }));
            }
        }
    }

    /// <summary>A follower that its leader cannot reach, and to which nobody else has anything to say: it asks none of whom it knows nothing.</summary>
    private bool HearsNobody(SimulatedNode at, GroupId group) =>
        at.Store!.LocalReplica(group) is { LeaderNode.IsNone: true }
        && cluster.Routing.ReplicasOf(group).All(place => place.Node == at.Id || at.Store!.Shared.Peers.IsAway(place.Node));

    private byte[] KeyIn(GroupId group)
    {
        for (int i = 0; ; i++)
        {
            byte[] key = Encoding.ASCII.GetBytes($"left{i}");
            if (cluster.Routing.GroupOf(key) == group)
            {
                return key;
            }
        }
    }

    private static long Terms(SimulatedNode[] nodes) =>
        nodes.SelectMany(n => n.Store!.Groups).GroupBy(g => g.Group).Sum(g => (long)g.Max(replica => replica.Term));

    private static long Elections(SimulatedNode[] nodes) => nodes.Sum(n => n.Store!.Counters.Elections);

    private static void Require(bool holds, string what)
    {
        if (!holds)
        {
            throw new SafetyViolationException(Violation, what);
        }
    }

    private const long WellMicros = 60_000_000;
    private const long SettleMicros = 10_000_000;
    private const long WatchMicros = 5_000_000;
    private const int WriteTimeoutMs = 3_000;
}
