using System.Text;
using KvStore.Protocol;

namespace KvStore.Simulation.Tests;

/// <summary>Memory that requests take without storing anything: what is remembered of them.</summary>
public sealed class RecordMemoryTests
{
    private const long LimitBytes = 12_000_000;

    /// <summary>KvStateMachine.MaxClientRecordBytes.</summary>
    private const long ClientRecordBytes = 16L << 20;

    [Theory]
    [InlineData("reads")]
    [InlineData("deletes")]
    [InlineData("deletes of many clients")]
    public void SM3_what_only_leaves_records_is_refused_before_the_limit(string what)
    {
        SimulatedCluster cluster = Start(LimitBytes);
        Protocol.Operation NextOperation() => what == "reads"
            ? new Transaction([], [.. Enumerable.Repeat(new Get("{t}absent"u8), Limits.MaxBatchItems)], [])
            : new Batch([.. Enumerable.Range(0, Limits.MaxBatchItems).Select(i => new Delete(Encoding.ASCII.GetBytes($"{{t}}{i}")))]);
        bool many = what.EndsWith("clients", StringComparison.Ordinal);
        int done = 0;
        var refused = new List<KvReply>();
        for (int sent = 1; sent <= 900; sent += 20)
        {
            foreach (KvReply reply in CallAll(cluster, [.. Enumerable.Range(sent, 20).Select(i => new KvRequest
            {
                Operation = NextOperation(),
                Id = many ? new RequestId((UInt128)(1000 + i), 1, 0, 0) : new RequestId(77, (ulong)i, 0, 0),
            })]))
            {
                done += reply.Code == ErrorCode.None ? 1 : 0;
                if (reply.Code != ErrorCode.None)
                {
                    refused.Add(reply);
                }
            }
        }

        Assert.True(done > 100, $"{done} were done");
        Assert.NotEmpty(refused);
        Assert.All(refused, reply => Assert.Equal((ErrorCode.Overloaded, Outcome.NotApplied), (reply.Code, reply.Outcome)));
        Assert.All(cluster.Nodes, node => Assert.InRange(node.Store!.Room.Memory.Lasting, 1, LimitBytes * 11 / 10));

        // What frees memory and leaves nothing behind goes on, and so does reading.
        Assert.Equal(ErrorCode.KeyNotFound, CallAll(cluster, [new KvRequest { Operation = new Get("{t}absent"u8) }])[0].Code);
        KvReply? deleted = null;
        SimulatedNode leader = cluster.Nodes.First(node => node.Store!.Groups[0].Role == "leader");
        leader.Store!.Submit(new KvRequest { Operation = new Delete("{t}k"u8) }, new ReplySink(reply => deleted = reply));
        Assert.True(cluster.Scheduler.RunUntil(() => deleted is not null, 60_000_000));
        Assert.Equal(ErrorCode.None, deleted!.Code);

        // When the records are old enough the next delete takes them away, though it is one that leaves a record itself.
        cluster.Scheduler.RunFor(11 * 60_000_000L);
        var late = new KvRequest { Operation = new Delete("{t}k"u8), Id = new RequestId(78, 1, 0, 0) };
        Assert.Equal(ErrorCode.None, CallAll(cluster, [late])[0].Code);
        cluster.Scheduler.RunFor(1_000_000);
        Assert.Equal(ErrorCode.None, CallAll(cluster, [new KvRequest { Operation = new Put("{t}k"u8, "v"u8) }])[0].Code);
        Assert.All(cluster.Nodes, node => Assert.InRange(node.Store!.Room.Memory.Lasting, 1, LimitBytes / 2));
    }

    [Fact]
    public void SM3_a_client_that_acknowledges_nothing_is_refused_at_its_own_limit_and_nobody_else()
    {
        SimulatedCluster cluster = Start(long.MaxValue);
        var reads = new Transaction([], [.. Enumerable.Repeat(new Get("{t}absent"u8), Limits.MaxBatchItems)], []);
        KvRequest Of(int client, int sequence, int ackedBelow = 0) =>
            new() { Operation = reads, Id = new RequestId((UInt128)client, (ulong)sequence, 0, (ulong)ackedBelow) };
        int sent = 0;
        KvReply[] last = [];
        while (last.All(reply => reply.Code == ErrorCode.None) && sent < 2000)
        {
            last = CallAll(cluster, [.. Enumerable.Range(sent + 1, 20).Select(sequence => Of(77, sequence))]);
            sent += last.Length;
        }

        Assert.All(last, reply => Assert.Contains(reply.Code == ErrorCode.None ? "" : "has not acknowledged", reply.Detail ?? "", StringComparison.Ordinal));
        cluster.Scheduler.RunFor(1_000_000);
        long records = cluster.Nodes.Max(node => node.Store!.Room.Memory.Records);
        Assert.InRange(records, ClientRecordBytes, ClientRecordBytes * 11 / 10);
        KvReply refused = Assert.Single(CallAll(cluster, [Of(77, sent + 1)]));
        Assert.Equal((ErrorCode.Overloaded, Outcome.NotApplied), (refused.Code, refused.Outcome));
        Assert.Contains("has not acknowledged", refused.Detail, StringComparison.Ordinal);

        // A copy of what was executed is answered, others are served, and so is it when it acknowledges.
        Assert.Equal(ErrorCode.None, CallAll(cluster, [Of(77, 1)])[0].Code);
        Assert.Equal(ErrorCode.None, CallAll(cluster, [Of(78, 1)])[0].Code);
        Assert.Equal(ErrorCode.None, CallAll(cluster, [Of(77, sent + 2, ackedBelow: sent + 1)])[0].Code);
        cluster.Scheduler.RunFor(1_000_000);
        Assert.All(cluster.Nodes, node => Assert.InRange(node.Store!.Room.Memory.Records, 1, ClientRecordBytes / 10));
    }

    private static SimulatedCluster Start(long limitBytes)
    {
        SimulatedCluster cluster = MemoryFullTests.Start(limitBytes);
        Assert.True(cluster.Scheduler.RunUntil(() => cluster.Nodes.All(node => node.Store!.Groups[0].Level == FeatureLevel.Max), 60_000_000));
        return cluster;
    }

    private static KvReply[] CallAll(SimulatedCluster cluster, KvRequest[] requests)
    {
        var replies = new KvReply?[requests.Length];
        for (int i = 0; i < requests.Length; i++)
        {
            int at = i;
            cluster.Nodes[i % cluster.Nodes.Count].Store!.Submit(requests[i], new ReplySink(reply => replies[at] = reply));
        }

        Assert.True(cluster.Scheduler.RunUntil(() => replies.All(reply => reply is not null), 60_000_000));
        return replies!;
    }
}
