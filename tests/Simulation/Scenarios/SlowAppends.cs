using System.Text;
using KvStore.Protocol;

namespace KvStore.Simulation;

/// <summary>
/// Appends to one follower take several heartbeat intervals and everything else is fast, so it is always behind by more than one
/// confirmation. It must get fresher all the same.
/// </summary>
public static class SlowAppends
{
    private const long AppendDelayMicros = 450_000;
    private static readonly NodeId Slow = new(3);

    private const uint WorstAgeMs = 2_000;

    /// <summary>Twenty simulated seconds of writes without any fault.</summary>
    /// <exception cref="SafetyViolationException">age-stands-still: a follower's data grew older although proofs kept coming.</exception>
    public static void Run(ulong seed)
    {
        var cluster = new SimulatedCluster(new ClusterOptions
        {
            Seed = seed,
            Groups = 1,
            VirtualNodes = 4,
            Network = new NetworkOptions { AppendDelayMicros = AppendDelayMicros, AppendsDelayedTo = Slow },
        });
        cluster.StartAll();
        Require(cluster.RunUntilReady(), "liveness", "the cluster did not elect its first leader");
        WriteForEver(cluster);
        cluster.Scheduler.RunFor(20_000_000);
        uint ageMs = AgeAt(cluster.Nodes[(int)Slow.Value - 1]);
        Require(ageMs <= WorstAgeMs, "age-stands-still", $"after 20 s of writes that arrive {AppendDelayMicros / 1000} ms late the data is {ageMs} ms old");
    }

    private static void WriteForEver(SimulatedCluster cluster) =>
        cluster.Scheduler.After(20_000, "write", 0, () =>
        {
            cluster.Nodes[0].Store!.Submit(
                new KvRequest { Operation = new Put(Encoding.ASCII.GetBytes("k"), new byte[8]) }, new ReplySink(_ => { }));
            WriteForEver(cluster);
        });

    private static uint AgeAt(SimulatedNode node)
    {
        KvReply? reply = null;
        node.Store!.Submit(
            new KvRequest { Operation = new Get(Encoding.ASCII.GetBytes("k")), Read = ReadTerms.Eventual }, new ReplySink(r => reply = r));
        return reply!.Evidence!.Value.AgeMs;
    }

    private static void Require(bool holds, string invariant, string what)
    {
        if (!holds)
        {
            throw new SafetyViolationException(invariant, what);
        }
    }
}
