using System.Text;
using KvStore.Protocol;

namespace KvStore.Simulation;

/// <summary>
/// One node stays broken for good: dead, cut off, deaf (it sends and hears nothing) or mute (it hears and nothing of it arrives).
/// The others are a majority of every group. They must serve every group, and leaders must stay: a node that cannot hear
/// must not force elections for ever.
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
    }

    public void Run()
    {
        SimulatedNode broken = cluster.Nodes[random.Below(cluster.Nodes.Count)];
        var failure = (Failure)random.Below(4);
        cluster.Tell($"for good: n{broken.Id} {failure}");
        Break(broken, failure);

        SimulatedNode[] others = [.. cluster.Nodes.Where(n => n != broken)];
        cluster.Scheduler.RunFor(SettleMicros);
        long elections = Elections(others);
        for (uint group = 1; group <= cluster.Routing.GroupCount; group++)
        {
            Write(new GroupId(group), others[random.Below(others.Length)], failure);
        }

        cluster.Scheduler.RunFor(WatchMicros);
        Require(Elections(others) == elections, $"leaders still change {SettleMicros / 1_000_000} s after n{broken.Id} was {failure}");
        cluster.Marks.Hit(CoverageMarks.OneLeftBehind);
        cluster.Network.HealCuts();
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
            new KvRequest { Operation = new Put(KeyIn(group), new byte[8]), TimeoutMs = WriteTimeoutMs },
            new ReplySink(r => reply = r));
        cluster.Scheduler.RunUntil(() => reply is not null, (WriteTimeoutMs + 1000) * 1000L);
        Require(reply?.Code == ErrorCode.None, $"a write to group {group} at n{at.Id} ended as {reply?.Code} ({failure}): {reply?.Detail}");
    }

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

    private static long Elections(SimulatedNode[] nodes) => nodes.Sum(n => n.Store!.Counters.Elections);

    private static void Require(bool holds, string what)
    {
        if (!holds)
        {
            throw new SafetyViolationException(Violation, what);
        }
    }

    private const long SettleMicros = 10_000_000;
    private const long WatchMicros = 5_000_000;
    private const int WriteTimeoutMs = 3_000;
}
