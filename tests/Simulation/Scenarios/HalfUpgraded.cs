using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Replication;

namespace KvStore.Simulation;

/// <summary>How far the raise of a group's level has come when a member comes back as an older build.</summary>
public enum RaiseMoment
{
    BeforeProposed,
    Appended,
    Committed,
    Used,
    InSnapshot,
}

/// <summary>
/// All members have said that they know a level, and one of them is replaced by an older build while the group is raised to it. Its
/// folder lets it in as long as there is nothing in it that it could not read. The other two go on serving, it is sent nothing that it
/// could not read, and as the newer build again it catches up.
/// </summary>
public static class HalfUpgraded
{
    private const ulong SnapshotEntries = 20;

    /// <returns>Whether its folder kept the older build out.</returns>
    /// <exception cref="SafetyViolationException">above-level-sent, liveness, replicas-equal, or an invariant of the product.</exception>
    public static bool Run(ulong seed, RaiseMoment moment)
    {
        try
        {
            return new Course(seed).Run(moment, ofLeader: seed % 2 == 0);
        }
        catch (InvariantViolationException broken)
        {
            throw new SafetyViolationException("product-invariant", broken.Message);
        }
    }

    private sealed class Course
    {
        private static readonly GroupId Group = new(1);
        private readonly SimulatedCluster _cluster;

        public Course(ulong seed)
        {
            _cluster = new SimulatedCluster(new ClusterOptions
            {
                Seed = seed,
                Groups = 1,
                VirtualNodes = 4,
                Adjust = node => node with { SnapshotMinEntries = SnapshotEntries, MaxTrailingEntries = 0 },
            });
        }

        public bool Run(RaiseMoment moment, bool ofLeader)
        {
            _cluster.StartAll();
            Reach(moment);
            SimulatedNode victim = _cluster.Nodes.First(n => n.Store!.LocalReplica(Group)!.IsLeader == ofLeader);
            Restart(victim, FeatureLevel.Max - 1);
            bool refused = victim.Store is null;
            SimulatedNode[] others = [.. _cluster.Nodes.Where(n => n != victim)];
            for (int i = 0; i < 3 * (int)SnapshotEntries; i++)
            {
                Write(others[i % 2], $"while n{victim.Id} is of an older build");
            }

            _cluster.Scheduler.RunFor(3_000_000);
            Restart(victim, FeatureLevel.Max);
            Require(
                _cluster.Scheduler.RunUntil(() => _cluster.Nodes.All(n => LevelOf(n) == FeatureLevel.Max) && HaveConverged(), LimitMicros),
                "liveness", $"n{victim.Id} was upgraded and the group is not raised on every node");
            Write(victim, "after the upgrade");
            _cluster.CompareReplicas(Group);
            return refused;
        }

        private void Reach(RaiseMoment moment)
        {
            Until(() => Leader() is { } leader && _cluster.Nodes.All(n => leader.Shared.Peers.LevelOf(n.Id) > 0), "the members said their levels");
            if (moment >= RaiseMoment.Appended)
            {
                Until(() => Leader()?.LocalReplica(Group)!.RaisedTo == FeatureLevel.Max, "the level was raised");
            }

            if (moment >= RaiseMoment.Committed)
            {
                Until(() => _cluster.Nodes.All(n => LevelOf(n) == FeatureLevel.Max), "the raise was applied");
            }

            for (int i = 0; moment >= RaiseMoment.Used && i < 3; i++)
            {
                Write(_cluster.Nodes[i], "with the new level");
            }

            while (moment == RaiseMoment.InSnapshot && _cluster.Nodes.Any(n => n.Store!.LocalReplica(Group)!.SnapshotIndex < SnapshotEntries))
            {
                Write(_cluster.Nodes[0], "until there is a snapshot");
                _cluster.Scheduler.RunFor(50_000);
            }
        }

        private void Restart(SimulatedNode node, ushort level)
        {
            if (node.Store is not null)
            {
                _cluster.Kill(node);
            }

            node.MaxLevel = level;
            _cluster.Start(node);
        }

        private StoreNode? Leader() => _cluster.Nodes.Select(n => n.Store).FirstOrDefault(s => s?.LocalReplica(Group) is { IsLeader: true });

        private static ushort LevelOf(SimulatedNode node) => node.Store?.Groups[0].Level ?? 0;

        private bool HaveConverged() => _cluster.Nodes.Select(n => n.Store!.Groups[0].Applied).Distinct().Count() == 1;

        private void Write(SimulatedNode at, string when)
        {
            KvReply? reply = null;
            var put = new KvRequest { Operation = new Put("k"u8, new byte[8]), TimeoutMs = 10_000 };
            at.Store!.Submit(put, new ReplySink(r => reply = r));
            _cluster.Scheduler.RunUntil(() => reply is not null, LimitMicros);
            Require(reply?.Code == ErrorCode.None, "liveness", $"a write at n{at.Id} {when}: {reply?.Code} {reply?.Detail}");
        }

        private void Until(Func<bool> condition, string what) =>
            Require(_cluster.Scheduler.RunUntil(condition, LimitMicros), "liveness", $"not reached: {what}");

        private static void Require(bool holds, string invariant, string what)
        {
            if (!holds)
            {
                throw new SafetyViolationException(invariant, what);
            }
        }

        private const long LimitMicros = 30_000_000;
    }
}
