using KvStore.Protocol;

namespace KvStore.Simulation;

/// <summary>
/// A follower has to fetch a snapshot, and a bit of the leader's file has flipped: the follower says so and does not fetch it over and over,
/// the leader finds the damage in its own file and takes another, with which the follower catches up.
/// </summary>
public static class DamagedSnapshot
{
    private const int Writes = 200;
    private const long Second = 1_000_000;
    private static readonly GroupId Group = new(1);

    /// <exception cref="SafetyViolationException">liveness, said-once (it was not said), or fetched-again: more than a few times its size.</exception>
    public static void Run(ulong seed)
    {
        var cluster = new SimulatedCluster(new ClusterOptions
        {
            Seed = seed,
            Groups = 1,
            VirtualNodes = 4,
            Adjust = node => node with { SnapshotMinEntries = 50, MaxTrailingEntries = 0 },
        });
        cluster.StartAll();
        Require(cluster.RunUntilReady(), "liveness", "the cluster did not elect its first leader");
        SimulatedNode leader = cluster.Nodes.First(n => n.Store!.LocalReplica(Group)!.IsLeader);
        SimulatedNode away = cluster.Nodes.First(n => n != leader);
        cluster.Kill(away);
        for (int i = 0; i < Writes; i++)
        {
            Write(cluster, leader, i);
        }

        Require(
            cluster.Scheduler.RunUntil(() => leader.Store!.LocalReplica(Group)!.SnapshotIndex > Writes / 2, 30 * Second),
            "liveness", "no snapshot was taken");
        cluster.Scheduler.RunFor(Second);
        string folder = $"/data/n{leader.Id}/snap/{Group}";
        string path = $"{folder}/{leader.Disk.ListFiles(folder).Single(name => name.EndsWith(".snap", StringComparison.Ordinal))}";
        long length = leader.Disk.ReadAll(path).Length;
        leader.Disk.FlipBit(path, length / 2, bit: (int)(seed % 8));

        cluster.Start(away);
        bool caughtUp = cluster.Scheduler.RunUntil(
            () => away.Store!.Groups[0].Applied == leader.Store!.Groups[0].Applied, 60 * Second);
        long received = away.Store!.Snapshots.BytesReceived;
        Require(received <= 4 * length, "fetched-again", $"{received} bytes were fetched for a file of {length}");
        Require(caughtUp, "liveness", "the follower did not catch up within a minute");
        Require(cluster.Story.Exists(line => line.Contains($" n{away.Id} ", StringComparison.Ordinal) && line.Contains("is damaged and not used", StringComparison.Ordinal)), "said-once", "the follower did not say it");
        Require(cluster.Story.Exists(line => line.Contains($" n{leader.Id} ", StringComparison.Ordinal) && line.Contains("of this node is damaged", StringComparison.Ordinal)), "said-once", "the leader did not say it");

        // And its next start does not end at the damaged file.
        cluster.Kill(leader);
        cluster.Start(leader);
        Require(cluster.RunUntilReady(30 * Second), "liveness", "the leader did not come back");
        cluster.CompareReplicas(Group);
    }

    private static void Write(SimulatedCluster cluster, SimulatedNode at, int number)
    {
        KvReply? reply = null;
        var put = new KvRequest { Operation = new Put(BitConverter.GetBytes(number), new byte[1000]), TimeoutMs = 10_000 };
        at.Store!.Submit(put, new ReplySink(r => reply = r));
        cluster.Scheduler.RunUntil(() => reply is not null, 20 * Second);
        Require(reply?.Code == ErrorCode.None, "liveness", $"a write: {reply?.Code}");
    }

    private static void Require(bool holds, string invariant, string what)
    {
        if (!holds)
        {
            throw new SafetyViolationException(invariant, what);
        }
    }
}
