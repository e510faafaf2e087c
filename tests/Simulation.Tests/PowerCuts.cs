namespace KvStore.Simulation.Tests;

/// <summary>Three nodes, sixteen groups; again and again all of them lose power at a random step and forget what was not synced.</summary>
internal static class PowerCuts
{
    /// <summary>Throws with the seed at the first acknowledged write that is lost.</summary>
    public static (long Acknowledged, ulong TraceHash) Run(ulong seed, int cuts, CrashMode mode, bool lyingSync = false)
    {
        var cluster = new SimulatedCluster(new ClusterOptions { Seed = seed });
        var writers = new RegisterWriters(cluster, writers: 8, keysPerWriter: 4);
        foreach (SimulatedNode node in cluster.Nodes)
        {
            node.Disk.SyncsLie = lyingSync;
        }

        cluster.StartAll();
        for (int cut = 0; cut < cuts; cut++)
        {
            Require(cluster.RunUntilReady(), seed, cut, "the cluster did not become ready", cluster);
            writers.Start();
            int steps = cluster.Random.Below(4_000);
            for (int i = 0; i < steps; i++)
            {
                cluster.Scheduler.Step();
            }

            writers.Stop();
            foreach (SimulatedNode node in cluster.Nodes)
            {
                node.PowerCut(mode);
            }

            cluster.StartAll();
            Require(cluster.RunUntilReady(), seed, cut, "the cluster did not come back", cluster);
            if (writers.Check() is { } lie)
            {
                Require(false, seed, cut, lie, cluster);
            }
        }

        return (writers.Acknowledged, cluster.Scheduler.TraceHash);
    }

    private static void Require(bool holds, ulong seed, int cut, string what, SimulatedCluster cluster) =>
        Assert.True(holds, $"seed {seed}, cut {cut}: {what}\n{string.Join('\n', cluster.Story.TakeLast(40))}");
}
