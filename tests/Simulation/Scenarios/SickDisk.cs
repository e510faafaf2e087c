using System.Text;
using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Replication;

namespace KvStore.Simulation;

/// <summary>Disks that answer late or not at all, and whose groups must neither stand still for it nor go to and fro.</summary>
public sealed class SickDisk
{
    private const int Groups = 16;
    private const long Second = 1_000_000;

    private readonly SimulatedCluster _cluster;
    private readonly int[] _transfers = new int[Groups + 1];
    private readonly int[] _said = new int[4];

    private SickDisk(ulong seed)
    {
        _cluster = new SimulatedCluster(new ClusterOptions { Seed = seed, Groups = Groups, VirtualNodes = Groups });
        _cluster.Network.Sent = Count;
        _cluster.StartAll();
        Require(_cluster.RunUntilReady(), "liveness", "the cluster did not elect its first leaders");

        // Until every group is with its preferred leader, and everybody has reported.
        Require(
            _cluster.Scheduler.RunUntil(
                () => _cluster.Nodes.All(n => n.Store!.Groups.All(g => g.Leader == _cluster.Routing.ReplicasOf(g.Group)[0].Node)), 60 * Second),
            "liveness", "not every group is led where it should be");
        _cluster.Scheduler.RunFor(2 * Second);
        Array.Clear(_transfers);
    }

    /// <summary>The disk of a node stands still for 12 s under load: every group takes a write within 5 s, and moves once at most.</summary>
    public static void Hangs(ulong seed)
    {
        var run = new SickDisk(seed);
        SimulatedNode sick = run._cluster.Nodes[(int)(seed % 3)];
        sick.DiskStandsStill = true;
        run.Load(5 * Second);
        run.RequireWrites(sick, "5 s after its disk stood still");
        run.Require(!sick.Store!.IsReady && sick.Store.Readiness.Reason == NotReady.DiskSick, "liveness", "a node with a sick disk calls itself ready");
        run.Load(7 * Second);
        sick.DiskStandsStill = false;
        run.Load(45 * Second);
        run.Require(sick.Store!.IsReady, "liveness", "the disk is well again and the node is not");
        run.RequireTransfers(most: 2, "a disk that stood still once"); // away, and back to where the placement wants it
        run.Require(run._said[sick.Id.Value] == 1, "said-once", $"it was said {run._said[sick.Id.Value]} times");
    }

    /// <summary>Every sync takes 400 ms more: the groups of the node may move, and do not come back while it is so.</summary>
    public static void Crawls(ulong seed)
    {
        var run = new SickDisk(seed);
        SimulatedNode sick = run._cluster.Nodes[(int)(seed % 3)];
        sick.SyncExtraMicros = 400_000;
        run.Load(120 * Second);
        run.RequireWrites(sick, "with a disk that crawls", timeoutMs: 2_000);
        run.RequireTransfers(most: 2, "a disk that crawls");
    }

    /// <summary>The disk stands still for 3 s and works for 3 s, ten minutes long.</summary>
    public static void Flaps(ulong seed)
    {
        var run = new SickDisk(seed);
        SimulatedNode sick = run._cluster.Nodes[(int)(seed % 3)];
        for (int i = 0; i < 100; i++)
        {
            sick.DiskStandsStill = true;
            run.Load(3 * Second);
            sick.DiskStandsStill = false;
            run.Load(3 * Second);
        }

        run.RequireTransfers(most: 2, "a disk that comes and goes");
    }

    /// <summary>Two nodes have disks that stand still in turn: the groups do not go round between them for ever.</summary>
    public static void TwoFlap(ulong seed)
    {
        var run = new SickDisk(seed);
        SimulatedNode[] sick = [run._cluster.Nodes[(int)(seed % 3)], run._cluster.Nodes[(int)((seed + 1) % 3)]];
        for (int i = 0; i < 50; i++)
        {
            sick[i % 2].DiskStandsStill = true;
            run.Load(3 * Second);
            sick[i % 2].DiskStandsStill = false;
            run.Load(3 * Second);
        }

        run.RequireTransfers(most: 2, "two disks that come and go in turn");
    }

    /// <summary>All groups are idle and led by others when the disk of the node that they prefer stands still for a minute.</summary>
    public static void PreferredWhileIdle(ulong seed)
    {
        var run = new SickDisk(seed);
        SimulatedNode preferred = run._cluster.Nodes[0];
        run._cluster.Kill(preferred);
        run.Load(5 * Second);
        run._cluster.Start(preferred);
        run.Require(
            run._cluster.Scheduler.RunUntil(() => preferred.Store!.IsReady, 30 * Second), "liveness", "the node did not catch up");
        preferred.DiskStandsStill = true;
        Array.Clear(run._transfers);
        run._cluster.Scheduler.RunFor(60 * Second);
        run.RequireTransfers(most: 1, "the preferred node of idle groups");
        preferred.DiskStandsStill = false;
        run._cluster.Scheduler.RunFor(10 * Second);
        run.RequireTransfers(most: 2, "the preferred node of idle groups, whose disk went on");
        run.RequireWrites(preferred, "when the disk went on");
    }

    /// <summary>Two of three disks stand still: nobody could lead better, so nobody tries.</summary>
    public static void TwoOfThree(ulong seed)
    {
        var run = new SickDisk(seed);
        SimulatedNode[] sick = [run._cluster.Nodes[(int)(seed % 3)], run._cluster.Nodes[(int)((seed + 1) % 3)]];
        foreach (SimulatedNode node in sick)
        {
            node.DiskStandsStill = true;
        }

        run.Load(60 * Second);
        run.RequireTransfers(most: 0, "two of three disks");
        foreach (SimulatedNode node in sick)
        {
            node.DiskStandsStill = false;
        }

        run.Load(10 * Second);
        run.RequireWrites(sick[0], "when the disks went on");
    }

    private void Count(NodeId from, NodeId to, ReadOnlyMemory<byte> payload)
    {
        var messages = new List<PeerMessage>();
        if (PeerPayload.TryRead(payload.Span, out _, messages))
        {
            foreach (PeerMessage message in messages.Where(m => m.Message is TimeoutNow))
            {
                _transfers[message.Group.Value]++;
                _cluster.Tell($"n{from} hands group {message.Group} to n{to}");
            }
        }
    }

    /// <summary>A write to every group every 50 ms, through any node; nobody waits for the answers.</summary>
    private void Load(long micros)
    {
        for (long end = _cluster.Scheduler.NowMicros + micros; _cluster.Scheduler.NowMicros < end;)
        {
            for (uint group = 1; group <= Groups; group++)
            {
                _cluster.Nodes[_cluster.Random.Below(3)].Store?.Submit(Put(group, timeoutMs: 2_000), new ReplySink(_ => { }));
            }

            _cluster.Scheduler.RunFor(50_000);
        }

        for (int n = 1; n <= 3; n++)
        {
            _said[n] = _cluster.Story.Count(line => line.Contains($" n{n} ", StringComparison.Ordinal) && line.Contains("has not finished a write", StringComparison.Ordinal));
        }
    }

    /// <summary>Each group takes a write at a node that is well.</summary>
    private void RequireWrites(SimulatedNode sick, string when, int timeoutMs = 500)
    {
        SimulatedNode well = _cluster.Nodes.First(n => n != sick && !n.DiskStandsStill);
        int missing = Groups;
        for (uint group = 1; group <= Groups; group++)
        {
            well.Store!.Submit(Put(group, timeoutMs), new ReplySink(reply => missing -= reply.Code == ErrorCode.None ? 1 : 0));
        }

        _cluster.Scheduler.RunUntil(() => missing == 0, 3 * Second);
        Require(missing == 0, "liveness", $"{missing} of {Groups} groups take no write {when}");
    }

    private void RequireTransfers(int most, string of)
    {
        for (int group = 1; group <= Groups; group++)
        {
            Require(_transfers[group] <= most, "leadership-moves", $"group {group} was handed over {_transfers[group]} times for {of}");
        }
    }

    private void Require(bool holds, string invariant, string what)
    {
        if (!holds)
        {
            throw new SafetyViolationException(invariant, $"{what}\n{string.Join('\n', _cluster.Story.TakeLast(60))}");
        }
    }

    private KvRequest Put(uint group, int timeoutMs) => new() { Operation = new Put(KeyOf(group), new byte[8]), TimeoutMs = timeoutMs };

    private byte[] KeyOf(uint group)
    {
        for (int i = 0; ; i++)
        {
            byte[] key = Encoding.ASCII.GetBytes($"k{i}");
            if (_cluster.Routing.GroupOf(_cluster.Routing.VirtualNodeOf(key)).Value == group)
            {
                return key;
            }
        }
    }
}
