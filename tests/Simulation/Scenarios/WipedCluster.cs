using System.Text;
using KvStore.Protocol;

namespace KvStore.Simulation;

/// <summary>
/// A session's token outlives its cluster: all directories are lost, the cluster is begun anew under the same name, and
/// writes until its indices have passed those of the token. The session must be told, not answered.
/// </summary>
public static class WipedCluster
{
    private const int WritesBefore = 3;
    private const int WritesAfter = 30;

    /// <exception cref="SafetyViolationException">
    /// other-history-served: the token was taken for one of the new cluster. token-refused: the same cluster refused its own token.
    /// </exception>
    public static void Run(ulong seed)
    {
        SimulatedCluster before = Started(seed);
        KvReply written = Write(before, WritesBefore);
        var point = new SessionPoint(written.Evidence!.Value.Applied, written.History);
        KvReply own = Ask(before, SessionRead(point));
        Require(own.Code == ErrorCode.None, "token-refused", $"the cluster that made the token answered {own.Code}: {own.Detail}");

        SimulatedCluster after = Started(seed + 1);
        Write(after, WritesAfter);
        foreach (OnUnmet onUnmet in Enum.GetValues<OnUnmet>())
        {
            KvReply foreign = Ask(after, SessionRead(point, onUnmet));
            Require(
                foreign.Code == ErrorCode.SessionTokenInvalid, "other-history-served",
                $"a token of the cluster's former life was answered {foreign.Code} at {foreign.Evidence}");
        }
    }

    private static SimulatedCluster Started(ulong seed)
    {
        var cluster = new SimulatedCluster(new ClusterOptions { Seed = seed, Groups = 1, VirtualNodes = 4 });

        // Two lives of a cluster do not begin in the same millisecond.
        cluster.Scheduler.RunFor((long)(seed % 1000) * 1000);
        cluster.StartAll();
        Require(cluster.RunUntilReady(), "liveness", "the cluster did not elect its first leader");
        return cluster;
    }

    private static KvReply Write(SimulatedCluster cluster, int times)
    {
        KvReply? last = null;
        for (int i = 0; i < times; i++)
        {
            last = Ask(cluster, new KvRequest { Operation = new Put(Encoding.ASCII.GetBytes("k"), new byte[8]) });
            Require(last.Code == ErrorCode.None, "liveness", $"a write in a healthy cluster: {last.Code}");
        }

        return last!;
    }

    private static KvRequest SessionRead(SessionPoint point, OnUnmet onUnmet = OnUnmet.Forward) => new()
    {
        Operation = new Get("k"u8),
        Read = new ReadTerms { Level = ReadLevel.Session, OnUnmet = onUnmet },
        Session = point,
    };

    private static KvReply Ask(SimulatedCluster cluster, KvRequest request)
    {
        KvReply? reply = null;
        cluster.Nodes[0].Store!.Submit(request, new ReplySink(r => reply = r));
        cluster.Scheduler.RunUntil(() => reply is not null, 10_000_000);
        return reply!;
    }

    private static void Require(bool holds, string invariant, string what)
    {
        if (!holds)
        {
            throw new SafetyViolationException(invariant, what);
        }
    }
}
