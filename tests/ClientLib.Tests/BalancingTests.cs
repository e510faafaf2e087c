using System.Diagnostics;
using KvStore.Protocol;

namespace KvStore.Client.Tests;

/// <summary>Which of several replicas is asked where any will do.</summary>
public sealed class BalancingTests
{
    private const int Reads = 3000;

    [Fact]
    public async Task Round_robin_asks_all_alike()
    {
        await using var three = new Trio();
        await using var kv = three.Connect(options => options.Balancing = KvBalancing.RoundRobin);
        await ReadAsync(kv);
        Assert.All(three.Asked, asked => Assert.InRange(asked, Reads * 0.33, Reads * 0.34));
    }

    [Fact]
    public async Task Weighted_round_robin_asks_by_weight()
    {
        await using var three = new Trio();
        await using var kv = three.Connect(options =>
        {
            options.Balancing = KvBalancing.WeightedRoundRobin;
            options.Weights["n1"] = 3;
            options.Weights["n3"] = 2;
        });
        await ReadAsync(kv);
        Assert.InRange(three.Asked[0], Reads * 0.47, Reads * 0.53);
        Assert.InRange(three.Asked[1], Reads * 0.14, Reads * 0.19);
        Assert.InRange(three.Asked[2], Reads * 0.31, Reads * 0.36);
    }

    [Fact]
    public async Task Replicas_of_the_own_zone_come_first()
    {
        await using var three = new Trio();
        await using var kv = three.Connect(options => options.Zone = "z2");
        await ReadAsync(kv);
        Assert.Equal([0, Reads, 0], three.Asked);
    }

    [Fact]
    public async Task A_slow_replica_gets_little()
    {
        await using var three = new Trio { SlowNode = 1 };
        await using var kv = three.Connect(_ => { });
        await ReadAsync(kv);
        Assert.InRange(three.Asked[1], 1, Reads / 5);
    }

    [Fact]
    public async Task A_read_may_ask_a_second_replica_when_the_first_one_takes_long()
    {
        await using var three = new Trio { SlowNode = 1, SlowMs = 2000 };
        await using var kv = three.Connect(options => options.Balancing = KvBalancing.RoundRobin);
        Read hedged = Read.Anything with { HedgeAfter = TimeSpan.FromMilliseconds(20) };
        long began = Stopwatch.GetTimestamp();
        for (int i = 0; i < 6; i++)
        {
            Assert.True((await kv.GetAsync("k", hedged)).Found);
        }

        Assert.True(Stopwatch.GetElapsedTime(began) < TimeSpan.FromSeconds(1.5), "six reads, two of them at the slow replica first");
    }

    private static Task ReadAsync(KvClient kv) => Task.WhenAll(Enumerable.Range(0, 10).Select(async _ =>
    {
        for (int i = 0; i < Reads / 10; i++)
        {
            await kv.GetAsync("k", Read.Anything);
        }
    }));

    /// <summary>Three fake nodes that say they hold every group.</summary>
    private sealed class Trio : IAsyncDisposable
    {
        private readonly FakeNode[] _nodes;

        public Trio() => _nodes = [.. Enumerable.Range(0, 3).Select(i => new FakeNode((request, ticket) => Answer(i, request, ticket), number: (uint)i + 1))];

        public int[] Asked { get; } = new int[3];

        public int SlowNode { get; init; } = -1;

        public int SlowMs { get; init; } = 20;

        public KvClient Connect(Action<KvClientOptions> configure)
        {
            var options = new KvClientOptions { Endpoints = { $"kv://{_nodes[0].EndPoint}" } };
            configure(options);
            return new KvClient(options);
        }

        public async ValueTask DisposeAsync()
        {
            foreach (FakeNode node in _nodes)
            {
                await node.DisposeAsync();
            }
        }

        private void Answer(int node, KvRequest request, ReplyTicket ticket)
        {
            if (request.Operation is GetRouting)
            {
                ticket.TryComplete(new KvReply { Result = Routing(), Epoch = 1 });
                return;
            }

            Interlocked.Increment(ref Asked[node]);
            var evidence = new Evidence(
                ReadLevel.Eventual, 5, new GroupId(1), 1, 1, new NodeId((uint)node + 1), ServedRole.Follower, ServedPath.Local);
            var reply = new KvReply { Result = new Found(1, (byte[])[0]), Evidence = evidence, Epoch = 1 };
            if (node == SlowNode)
            {
                _ = Task.Delay(SlowMs).ContinueWith(_ => ticket.TryComplete(reply), TaskScheduler.Default);
            }
            else
            {
                ticket.TryComplete(reply);
            }
        }

        private ClusterRouting Routing() => new(
            1,
            [.. _nodes.Select((node, i) => new AdvertisedNode(new NodeId((uint)i + 1), $"n{i + 1}", "", $"{node.EndPoint}", $"z{i + 1}"))],
            [new GroupId(1)],
            [[], [.. Enumerable.Range(1, 3).Select(i => new ReplicaPlacement((ulong)i, new NodeId((uint)i)))]],
            []);
    }
}
