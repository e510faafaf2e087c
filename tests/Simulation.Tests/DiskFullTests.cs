using System.Text;
using KvStore.Protocol;

namespace KvStore.Simulation.Tests;

/// <summary>A disk that is nearly full, or full, is a state of a node: it stays, and comes back to work when there is room.</summary>
public sealed class DiskFullTests
{
    private const long SegmentBytes = 256 << 10;

    [Fact]
    public void B2_filled_to_refusal_and_emptied_a_group_writes_again_within_a_minute()
    {
        SimulatedCluster cluster = Start();
        Cap(cluster, 8 << 20);
        for (int cycle = 0; cycle < 3; cycle++)
        {
            (int kept, KvReply refusal) = Fill(cluster);
            Assert.True(refusal.Code == ErrorCode.DiskFull && refusal.Outcome == Outcome.NotApplied, $"{kept}: {refusal.Code} {refusal.Detail}\n{string.Join('\n', cluster.Story.TakeLast(12))}");

            // Room for a second snapshot is kept, or nothing could be freed by deletes: a group has somewhat less than half of its disk.
            Assert.InRange(kept * 8_000L, 8 << 20 >> 2, 8 << 20 >> 1);
            Assert.All(cluster.Nodes, node => Assert.False(node.Store!.Room.TakesNoEntries));
            Assert.Equal(ErrorCode.None, Call(cluster, new Get(Key(0))).Code);
            for (int i = 0; i < kept; i++)
            {
                Assert.Equal(ErrorCode.None, Call(cluster, new Delete(Key(i))).Code);
            }

            Assert.True(
                cluster.Scheduler.RunUntil(() => cluster.Nodes.All(node => !node.Store!.Room.IsDiskShort), 60_000_000),
                $"cycle {cycle}: {cluster.Nodes[0].Store!.Room.DiskFreeBytes} bytes are free");
        }

        Assert.Equal(ErrorCode.None, Call(cluster, new Put(Key(0), new byte[100])).Code);
    }

    /// <summary>Others fill the disks to the last byte: the nodes vote, start, answer reads, lose nothing, and write again when there is room.</summary>
    [Fact]
    public void B2_three_disks_without_a_byte_left_end_no_node_and_hold_up_no_election()
    {
        SimulatedCluster cluster = Start();
        Assert.Equal(ErrorCode.None, Call(cluster, new Put(Key(0), "kept"u8)).Code);
        foreach (SimulatedNode node in cluster.Nodes)
        {
            node.Disk.FillUp();
        }

        cluster.Scheduler.RunFor(1_000_000);
        int acknowledged = 0;
        for (int i = 1; i < 400; i++)
        {
            KvReply reply = Call(cluster, new Put(Key(i), new byte[4_000]));
            if (reply.Code == ErrorCode.None)
            {
                Assert.Equal(acknowledged, i - 1);
                acknowledged = i;
            }
            else
            {
                Assert.Equal((ErrorCode.DiskFull, Outcome.NotApplied), (reply.Code, reply.Outcome));
            }
        }

        // More than once each: every start has what it needs, not only the first.
        foreach (SimulatedNode node in cluster.Nodes.Concat(cluster.Nodes).Concat(cluster.Nodes))
        {
            cluster.Kill(node);
            cluster.Scheduler.RunFor(3_000_000);
            cluster.Start(node);
            Assert.True(cluster.RunUntilReady(), "no leader while the disks are full");
            Assert.Equal(ErrorCode.None, Call(cluster, new Get(Key(acknowledged))).Code);
        }

        Cap(cluster, long.MaxValue);
        cluster.Scheduler.RunFor(2_000_000);
        Assert.Equal(ErrorCode.None, Call(cluster, new Put(Key(1_000), new byte[4_000])).Code);
        for (int i = 0; i <= acknowledged; i++)
        {
            Assert.Equal(ErrorCode.None, Call(cluster, new Get(Key(i))).Code);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void B2_one_replica_with_half_the_space_ends_growth_and_nobody_whoever_leads(ulong seed) => FullDisk.OneHasHalfTheSpace(seed);

    private static SimulatedCluster Start()
    {
        var cluster = new SimulatedCluster(new ClusterOptions
        {
            Seed = 11,
            Groups = 1,
            VirtualNodes = 4,
            Adjust = options => options with { SnapshotMinLogBytes = 2 * SegmentBytes },
            Wal = new() { SegmentBytes = SegmentBytes, MaxBatchBytes = 64 << 10, PurgeTriggerBytes = 4 * SegmentBytes },
        });
        cluster.StartAll();
        Assert.True(cluster.RunUntilReady());
        return cluster;
    }

    private static void Cap(SimulatedCluster cluster, long bytes)
    {
        foreach (SimulatedNode node in cluster.Nodes)
        {
            node.Disk.CapacityBytes = bytes;
        }

        cluster.Scheduler.RunFor(1_000_000);
    }

    private static (int Kept, KvReply Refusal) Fill(SimulatedCluster cluster)
    {
        for (int i = 0; ; i++)
        {
            KvReply reply = Call(cluster, new Put(Key(i), new byte[8_000]));
            if (reply.Code == ErrorCode.DiskFull)
            {
                // A compaction may still make room.
                cluster.Scheduler.RunFor(10_000_000);
                reply = Call(cluster, new Put(Key(i), new byte[8_000]));
            }

            if (reply.Code != ErrorCode.None || i == 5_000)
            {
                return (i, reply);
            }

            cluster.Scheduler.RunFor(5_000);
        }
    }

    private static byte[] Key(int number) => Encoding.ASCII.GetBytes($"k{number:d5}");

    private static KvReply Call(SimulatedCluster cluster, Protocol.Operation operation)
    {
        KvReply? answer = null;
        SimulatedNode node = cluster.Nodes.First(n => n.Store is not null);
        node.Store!.Submit(new KvRequest { Operation = operation }, new ReplySink(reply => answer = reply));
        Assert.True(cluster.Scheduler.RunUntil(() => answer is not null, 60_000_000));
        return answer!;
    }
}
