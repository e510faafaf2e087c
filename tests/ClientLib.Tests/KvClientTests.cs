using System.Text.Json.Serialization;
using KvStore.Protocol;

namespace KvStore.Client.Tests;

/// <summary>The client as its users see it, against real nodes.</summary>
[Collection(ThreeNodesGroup.Name)]
public sealed partial class KvClientTests(ThreeNodes cluster)
{
    [Fact]
    public async Task The_program_a_user_wants_to_write()
    {
        await using var kv = new KvClient(cluster.Endpoint);
        await kv.PutAsync("greeting", "hello");
        string? hi = await kv.GetAsync("greeting");
        Assert.Equal("hello", hi);
        string? nothing = await kv.GetAsync("nothing");
        Assert.Null(nothing);

        var orders = kv.Collection<Order>("orders/");
        bool created = await orders.CreateAsync("17", new Order(17, "new"));
        Assert.True(created);
        Assert.False(await orders.CreateAsync("17", new Order(17, "again")));
        Order paid = await orders.UpdateAsync("17", o => o with { State = "paid" });
        Assert.Equal(new Order(17, "paid"), paid);
        KvRead<Order> fast = await orders.GetAsync("17", Read.Within(TimeSpan.FromMilliseconds(500)));
        Assert.True(fast.Age <= TimeSpan.FromMilliseconds(500), $"{fast.Age}");
        Assert.Equal(3, kv.OpenLinks);
    }

    [Fact]
    public async Task Text_is_text_bytes_are_bytes_and_numbers_are_numbers()
    {
        await using var kv = new KvClient(cluster.Endpoint);
        await kv.PutAsync("values/text", "naïve");
        await kv.PutAsync("values/bytes", new byte[] { 0, 255 });
        await kv.PutAsync("values/number", 41);
        await kv.PutAsync("values/image", new KvValue(new byte[] { 1 }, "image/png"));
        Assert.Equal(("naïve", "text/plain"), Of(await kv.GetAsync("values/text")));
        KvRead bytes = await kv.GetAsync("values/bytes");
        Assert.Equal([0, 255], bytes.ToArray()!);
        Assert.Null(bytes.Value.ContentType);
        Assert.Equal(42, await kv.IncrementAsync("values/number"));
        Assert.Equal(42, (await kv.GetAsync("values/number")).Value.AsInt64());
        Assert.Equal("image/png", (await kv.GetAsync("values/image")).Value.ContentType);
        Assert.Equal(-3, await kv.IncrementAsync("values/new", -5, initial: 2));
        await kv.AppendAsync("values/text", "!");
        Assert.Equal(("naïve!", "text/plain"), Of(await kv.GetAsync("values/text")));

        static (string Text, string? Type) Of(KvRead read) => (read.Value.AsText(), read.Value.ContentType);
    }

    [Fact]
    public async Task Conditions_that_do_not_hold_are_answers()
    {
        await using var kv = new KvClient(cluster.Endpoint);
        Assert.False(await kv.ReplaceAsync("conditions/a", "1"));
        KvWrite created = await kv.CreateAsync("conditions/a", "1");
        Assert.Equal((true, false), (created.Applied, created.Existed));
        KvWrite again = await kv.CreateAsync("conditions/a", "2");
        Assert.Equal((WriteOutcome.ConditionFailed, created.Revision), (again.Outcome, again.Revision));
        KvWrite replaced = await kv.PutAsync("conditions/a", "3", new WriteOptions { IfRevision = created.Revision });
        Assert.True(replaced.Applied && replaced.Existed && replaced.Revision.CompareTo(created.Revision) > 0);
        Assert.False(await kv.DeleteAsync("conditions/a", new WriteOptions { IfRevision = created.Revision }));
        Assert.Equal((true, true), (await kv.DeleteAsync("conditions/a") is var deleted, deleted.Existed));
        Assert.Equal((true, false), ((await kv.DeleteAsync("conditions/a")).Applied, await kv.ExistsAsync("conditions/a")));
        await Assert.ThrowsAsync<ArgumentException>(
            async () => await kv.PutAsync("a", "b", new WriteOptions { IfAbsent = true, IfExists = true }));
    }

    [Fact]
    public async Task What_is_refused_is_an_exception_with_the_reason()
    {
        await using var kv = new KvClient(cluster.Endpoint);
        await kv.PutAsync("refused/text", "abc");
        var e = await Assert.ThrowsAsync<KvException>(async () => await kv.IncrementAsync("refused/text"));
        Assert.Equal((ErrorCode.NotANumber, Outcome.NotApplied, (KvKey?)"refused/text"), (e.Code, e.Outcome, e.Key));
        var long1 = await Assert.ThrowsAsync<KvException>(async () => await kv.GetAsync(new string('k', 2049)));
        Assert.Equal((ErrorCode.TooLarge, 0), (long1.Code, long1.Attempts));
        Assert.Contains("2048", long1.Message, StringComparison.Ordinal);
        var large = await Assert.ThrowsAsync<KvException>(async () => await kv.PutAsync("k", new byte[(1 << 20) + 1]));
        Assert.Contains("1048576", large.Message, StringComparison.Ordinal);
        Assert.Equal(ErrorCode.InvalidRequest, (await Assert.ThrowsAsync<KvException>(async () => await kv.GetAsync(""))).Code);
    }

    [Theory]
    [InlineData("strong")]
    [InlineData("bounded")]
    [InlineData("session")]
    [InlineData("eventual")]
    public async Task Every_level_is_met_and_says_so(string level)
    {
        await using var kv = new KvClient($"Endpoints={cluster.Endpoint};Consistency={level};MaxStaleness=5s".Replace(
            level == "bounded" ? "none" : ";MaxStaleness=5s", "", StringComparison.Ordinal));
        await using var writer = new KvClient(cluster.Endpoint);
        await writer.PutAsync($"levels/{level}", level);
        var session = kv.CreateSession();
        await session.PutAsync($"levels/{level}/own", "1");
        var nodes = new HashSet<string>();
        for (int i = 0; i < 60; i++)
        {
            KvRead read = await kv.GetAsync($"levels/{level}");
            Assert.Equal(level, read.Evidence.Level.ToString().ToLowerInvariant());
            Assert.True(level != "strong" || (read.Found && read.Age == TimeSpan.Zero && read.Evidence.Role == ServedRole.Leader));
            KvRead own = await session.GetAsync($"levels/{level}/own");
            Assert.Equal((true, ReadLevel.Session), (own.Found, own.Evidence.Level));
            nodes.Add(read.Evidence.Node);
        }

        // Whatever any replica may answer is answered by several of them, and strong reads by the leader alone.
        Assert.InRange(nodes.Count, level == "strong" ? 1 : 2, level == "strong" ? 1 : 3);
    }

    [Fact]
    public async Task Writes_and_strong_reads_go_to_the_leader_without_a_hop()
    {
        await using var kv = new KvClient(cluster.Endpoint);
        await kv.ConnectAsync();
        var paths = new List<ServedPath>();
        for (int i = 0; i < 200; i++)
        {
            await kv.PutAsync($"hops/{i}", "v");
            paths.Add((await kv.GetAsync($"hops/{i}")).Evidence.Path);
        }

        Assert.InRange(paths.Count(path => path == ServedPath.Forwarded), 0, 10);
    }

    [Fact]
    public async Task A_transaction_is_all_or_nothing()
    {
        await using var kv = new KvClient(cluster.Endpoint);
        KvTransactionResult opened = await kv.TransactAsync(new KvTransaction().Put("{tx}a", 100).Put("{tx}b", 0, WriteOptions.Create));
        Assert.True(opened.Applied);
        KvTransactionResult moved = await kv.TransactAsync(new KvTransaction().Increment("{tx}a", -30).Increment("{tx}b", 30));
        Assert.Equal([70L, 30L], moved.Items.Select(item => item.Number!.Value));
        KvTransactionResult failed = await kv.TransactAsync(
            new KvTransaction().Increment("{tx}a", -30).Put("{tx}b", "0", WriteOptions.Create));
        Assert.Equal((false, 1), (failed.Applied, failed.FailedAt));
        Assert.Equal(70, (await kv.GetAsync("{tx}a")).Value.AsInt64());
        var e = await Assert.ThrowsAsync<KvException>(async () => await kv.TransactAsync(
            Enumerable.Range(0, 50).Aggregate(new KvTransaction(), (tx, i) => tx.Put($"other/{i}", "x"))));
        Assert.Equal((ErrorCode.CrossGroupTransaction, Outcome.NotApplied), (e.Code, e.Outcome));
    }

    [Fact]
    public async Task A_batch_carries_out_each_call_for_itself()
    {
        await using var kv = new KvClient(cluster.Endpoint);
        await kv.PutAsync("batch/text", "abc");
        KvBatchResult result = await kv.BatchAsync(
            new KvBatch().Put("batch/a", "1").Increment("batch/text").Get("batch/text").Put("batch/a", "2", WriteOptions.Create).Increment("batch/n"));
        Assert.False(result.AllApplied);
        Assert.True(result.Items[0].Write!.Value.Applied);
        Assert.Equal(ErrorCode.NotANumber, result.Items[1].Error!.Code);
        Assert.Equal("abc", (string?)result.Items[2].Read!.Value);
        Assert.Equal(1, result.Items[4].Number);
        IReadOnlyList<KvRead> many = await kv.GetManyAsync(["batch/text", "batch/none", "batch/n"]);
        Assert.Equal([true, false, true], many.Select(read => read.Found));
    }

    [Fact]
    public async Task Counting_by_update_loses_nothing_under_contention()
    {
        await using var kv = new KvClient(cluster.Endpoint);
        var counters = kv.Collection<Order>("contended/");
        await counters.PutAsync("one", new Order(0, ""));
        await Task.WhenAll(Enumerable.Range(0, 8).Select(async _ =>
        {
            for (int i = 0; i < 10; i++)
            {
                await counters.UpdateAsync("one", o => o with { Number = o.Number + 1 });
            }
        }));
        Assert.Equal(80, (await counters.GetAsync("one")).Value!.Number);
        KvRead<Order> left = await counters.UpdateAsync("one", (read, _) => ValueTask.FromResult(KvChange.Leave<Order>()));
        Assert.Equal(80, left.Value!.Number);
        Assert.False((await counters.UpdateAsync("one", (read, _) => ValueTask.FromResult(KvChange.Delete<Order>()))).Found);
        Assert.False(await counters.ExistsAsync("one"));
        var e = await Assert.ThrowsAsync<KvException>(async () => await counters.UpdateAsync("one", o => o));
        Assert.Equal(ErrorCode.KeyNotFound, e.Code);
        Order made = await counters.GetOrCreateAsync("one", _ => ValueTask.FromResult(new Order(1, "made")));
        Assert.Equal(made, await counters.GetOrCreateAsync("one", _ => throw new InvalidOperationException()));
    }

    [Fact]
    public async Task Generated_serializers_are_as_good()
    {
        await using var kv = new KvClient(cluster.Endpoint);
        await kv.PutAsync("generated/1", new Order(1, "x"), OrderJson.Default.Order);
        KvRead<Order> read = await kv.GetAsync("generated/1", OrderJson.Default.Order);
        Assert.Equal(new Order(1, "x"), read.Value);
        Assert.Equal("application/json", (await kv.GetAsync("generated/1")).Value.ContentType);
        Assert.Equal(read.Value, (await kv.Collection("generated/", OrderJson.Default.Order).GetAsync("1")).Value);
        Assert.Equal(read.Value, (await kv.GetAsync<Order>("generated/1")).Value);
    }

    [Fact]
    public async Task Any_door_of_any_node_is_an_endpoint()
    {
        int binary = cluster.Nodes[1].Endpoints.Binary.Port;
        foreach (string endpoint in new[] { $"kv://127.0.0.1:{binary}", $"127.0.0.1:{binary}", $"http://{cluster.Endpoint}", $"127.0.0.1:1,{cluster.Endpoint}" })
        {
            await using var kv = new KvClient(endpoint);
            await kv.PutAsync("doors", endpoint);
            Assert.Equal(endpoint, (string?)await kv.GetAsync("doors"));
        }
    }

    [Fact]
    public async Task Where_a_key_lives()
    {
        await using var kv = new KvClient(cluster.Endpoint);
        KvLocation location = await kv.LocateAsync("foo");
        KvTopology topology = await kv.GetTopologyAsync();
        Assert.Equal((12182, "test", 3, 4), (location.Slot, topology.ClusterId, topology.Nodes.Count, topology.Groups.Count));
        Assert.Equal(["n1", "n2", "n3"], topology.Nodes.Select(node => node.Name));
        Assert.Contains(location.Group.Leader, location.Group.Replicas);
    }

    [Fact]
    public async Task A_prefix_of_the_client_stands_before_every_key()
    {
        await using var kv = new KvClient($"Endpoints={cluster.Endpoint};KeyPrefix=app/");
        await using var bare = new KvClient(cluster.Endpoint);
        await kv.PutAsync("prefixed", "1");
        Assert.Equal("1", (string?)await bare.GetAsync("app/prefixed"));
        await kv.TransactAsync(new KvTransaction().Delete("prefixed"));
        Assert.False(await bare.ExistsAsync("app/prefixed"));
    }

    internal sealed record Order(int Number, string State);

    [JsonSerializable(typeof(Order))]
    internal sealed partial class OrderJson : JsonSerializerContext;
}
