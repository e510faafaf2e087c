using System.Text;
using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Simulation;

/// <summary>Disks of different size under one group: what the smallest has no room for is taken by nobody, whoever leads.</summary>
public sealed class FullDisk
{
    private const long Second = 1_000_000;
    private const long SegmentBytes = 256 << 10;
    private const long SmallBytes = 8 << 20;

    /// <summary>From a shortage to the last write that may still be on its way: a look at the disk and a report.</summary>
    private const long GraceMicros = 3 * Second;

    /// <summary>A new leader has a majority's reports from its first moment, and those of all voters with the first answers.</summary>
    private const long NewLeaderMicros = Second / 5;

    private readonly SimulatedCluster _cluster;
    private readonly SimulatedNode _small;
    private long _shortSinceMicros = long.MaxValue;
    private long _electedMicros;
    private int _acknowledged;
    private int _refused;
    private int _sent;

    private FullDisk(ulong seed)
    {
        _cluster = new SimulatedCluster(new ClusterOptions
        {
            Seed = seed,
            Groups = 1,
            VirtualNodes = 4,
            Adjust = options => options with { SnapshotMinLogBytes = 2 * SegmentBytes },
            Wal = new() { SegmentBytes = SegmentBytes, MaxBatchBytes = 64 << 10, PurgeTriggerBytes = 4 * SegmentBytes },
        });
        _small = _cluster.Nodes[(int)(seed % 3)];
        _cluster.Elected = _ => _electedMicros = _cluster.Scheduler.NowMicros;
        _cluster.StartAll();
        Require(_cluster.RunUntilReady(), "liveness", "the cluster did not elect its first leader");
        foreach (SimulatedNode node in _cluster.Nodes)
        {
            node.Disk.CapacityBytes = node == _small ? SmallBytes : 2 * SmallBytes;
        }
    }

    /// <summary>
    /// One disk has half the space of the others, and the leader changes every 2 s: nobody ends, growth ends while the small one has room to go
    /// on, and 2 s after it is killed the other two take writes.
    /// </summary>
    public static void OneHasHalfTheSpace(ulong seed)
    {
        var run = new FullDisk(seed);
        long end = run._cluster.Scheduler.NowMicros + (90 * Second);
        for (int turn = 0; run._cluster.Scheduler.NowMicros < end; turn++)
        {
            if (turn % 100 == 99 && run._cluster.Nodes.FirstOrDefault(n => n.Store?.Groups[0].Role == "leader") is { } leader)
            {
                leader.Store!.Loops[0].Front.Inbox.Post(new HandOver());
            }

            run.Put(timeoutMs: 1_000);
            run._cluster.Scheduler.RunFor(20_000);
            run.Look();
        }

        run.Require(run._refused > 100, "liveness", $"{run._refused} of {run._sent} writes were refused for want of room");
        run._cluster.Kill(run._small);
        int before = run._acknowledged;
        long killed = run._cluster.Scheduler.NowMicros;
        while (run._acknowledged == before && run._cluster.Scheduler.NowMicros < killed + (2 * Second))
        {
            run.Put(timeoutMs: 2_000);
            run._cluster.Scheduler.RunFor(20_000);
        }

        run.Require(run._acknowledged > before, "liveness", "no write 2 s after the node with the small disk was killed");
    }

    private void Look()
    {
        RoomStatus room = _small.Store!.Room;
        _shortSinceMicros = !room.IsDiskShort ? long.MaxValue : Math.Min(_shortSinceMicros, _cluster.Scheduler.NowMicros);
        Require(!room.TakesNoEntries, "room-reported", $"the small disk is full, {room.DiskFreeBytes} bytes are free");
    }

    private void Put(int timeoutMs)
    {
        var request = new KvRequest
        {
            Operation = new Put(Encoding.ASCII.GetBytes($"k{_sent++}"), new byte[8_000]),
            TimeoutMs = timeoutMs,
        };
        SimulatedNode[] running = [.. _cluster.Nodes.Where(n => n.Store is not null)];
        long sentMicros = _cluster.Scheduler.NowMicros;
        running[_cluster.Random.Below(running.Length)].Store!.Submit(request, new ReplySink(reply =>
        {
            if (reply.Code == ErrorCode.DiskFull)
            {
                Require(reply.Outcome == Outcome.NotApplied, "room-reported", $"a refusal for want of room says {reply.Outcome}");
                _refused++;
            }
            else if (reply.Code == ErrorCode.None)
            {
                _acknowledged++;
                Require(
                    _small.Store is null || _shortSinceMicros > sentMicros - GraceMicros || sentMicros < _electedMicros + NewLeaderMicros, "room-reported",
                    $"a write was taken {(sentMicros - _shortSinceMicros) / 1000} ms after the small disk was short");
            }
        }));
    }

    private void Require(bool holds, string invariant, string what)
    {
        if (!holds)
        {
            throw new SafetyViolationException(invariant, $"{what}\n{string.Join('\n', _cluster.Story.TakeLast(40))}");
        }
    }
}
