using System.Text.Json;
using KvStore.Node.Hosting;
using KvStore.Node.Tests.Hosting;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Node.Tests.Consistency;

/// <summary>Each level at each node, as a new user would try it.</summary>
public sealed class LevelsOnRealNodesTests
{
    [Fact]
    public async Task Every_level_on_every_node_says_what_it_met()
    {
        using var folder = new TestCluster(nodes: 3);
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        Answer written = await WrittenEverywhereAsync(cluster);
        Assert.Equal(("strong", 0L), (written.Level, written.StalenessMs));
        Assert.Equal("leader", written.ServedBy["role"]);

        foreach (NodeHost node in cluster.Nodes)
        {
            foreach (string level in new[] { "strong", "bounded", "session", "eventual" })
            {
                Answer read = await cluster.ReadAsync(node, "/v1/kv/key", ("Kv-Consistency", level));
                Assert.Equal((200, "value", level), (read.Status, read.Body, read.Level));
                Assert.Equal(node.Name, read.ServedBy["node"]); // every node has a replica: follower reads at every level
                Assert.Contains(read.ServedBy["path"], level is "session" or "eventual" ? ["local"] : new[] { "local", "waited" });
                Assert.True(level != "strong" || read.StalenessMs == 0, "strong is 0");
                Assert.True(level != "bounded" || read.StalenessMs <= 5000, "bounded keeps its default");
                Assert.NotNull(read.Token);

                Answer missing = await cluster.ReadAsync(node, "/v1/kv/nothing", ("Kv-Consistency", level));
                Assert.Equal((404, level, node.Name), (missing.Status, missing.Level, missing.ServedBy["node"]));
            }
        }
    }

    [Fact]
    public async Task A_bound_holds_and_is_mostly_proved_without_asking_anybody()
    {
        using var folder = new TestCluster(nodes: 3);
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        await WrittenEverywhereAsync(cluster);
        int local = 0;
        for (int i = 0; i < 150; i++)
        {
            Answer read = await cluster.ReadAsync(cluster.Nodes[i % 3], "/v1/kv/key?maxStaleness=2s");
            Assert.Equal((200, "bounded"), (read.Status, read.Level));
            Assert.InRange(read.StalenessMs!.Value, 0, 2000);
            local += read.ServedBy["path"] == "local" ? 1 : 0;
        }

        // Heartbeats of 60 ms renew the proof thirty times in two seconds; a busy machine may still lose some.
        Assert.True(local > 100, $"{local} of 150 reads were local");
    }

    [Fact]
    public async Task A_lag_is_told_with_its_age()
    {
        using var folder = new TestCluster(nodes: 3);
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        await WrittenEverywhereAsync(cluster);
        foreach (NodeHost node in cluster.Nodes)
        {
            foreach (string bounds in new[] { "maxLag=0", "maxLag=1000", "maxLag=0&maxStaleness=5s" })
            {
                Answer read = await cluster.ReadAsync(node, "/v1/kv/key?" + bounds);
                Assert.Equal((200, "bounded"), (read.Status, read.Level));
                Assert.Matches("^entries=[0-9]+; age=[0-9]+$", read.Headers["Kv-Lag"]);
                Assert.True(bounds == "maxLag=1000" || read.Headers["Kv-Lag"].StartsWith("entries=0;", StringComparison.Ordinal));
            }
        }
    }

    [Fact]
    public async Task A_node_cut_off_says_how_old_it_is_and_refuses_what_it_cannot_prove()
    {
        using var folder = new TestCluster(nodes: 3);
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        Answer written = await WrittenEverywhereAsync(cluster);
        NodeHost left = cluster.Nodes[2];
        await cluster.Nodes[0].DisposeAsync();
        await cluster.Nodes[1].DisposeAsync();

        Answer? refused = null;
        await RunningCluster.UntilAsync("the age has passed 300 ms", async () =>
        {
            refused = await cluster.ReadAsync(left, "/v1/kv/key?maxStaleness=300ms&onUnmet=fail");
            Assert.True(refused.Status == 503 || refused.StalenessMs <= 300, $"{refused.Status} {refused.Body}");
            return refused.Status == 503;
        });
        Assert.Equal("TooStale", refused!.Code);
        Assert.True(refused.Headers.ContainsKey("Retry-After"));
        Assert.Null(refused.Level);
        JsonElement best = refused.Problem.GetProperty("bestStalenessMs");
        Assert.True(best.ValueKind == JsonValueKind.Null || best.GetInt64() > 300);

        // The default asks the leader first, and there is none.
        Answer forwarded = await cluster.ReadAsync(left, "/v1/kv/key?maxStaleness=300ms&timeout=300ms");
        Assert.Equal((503, "TooStale"), (forwarded.Status, forwarded.Code));

        // What is left: an answer with its real age; a session that saw no more than this node has; whatever serve finds.
        Answer eventual = await cluster.ReadAsync(left, "/v1/kv/key?consistency=eventual");
        Assert.Equal((200, "value", "eventual"), (eventual.Status, eventual.Body, eventual.Level));
        Assert.True(eventual.StalenessMs is null or > 300);
        Answer session = await cluster.ReadAsync(left, "/v1/kv/key?consistency=session", ("Kv-Session", written.Token!));
        Assert.Equal((200, "value", "session"), (session.Status, session.Body, session.Level));
        Answer served = await cluster.ReadAsync(left, "/v1/kv/key?maxStaleness=300ms&onUnmet=serve");
        Assert.Equal((200, "value", "eventual"), (served.Status, served.Body, served.Level));

        JsonElement explained = default;
        await RunningCluster.UntilAsync("the node has noticed that nobody leads", async () =>
        {
            explained = JsonSerializer.Deserialize<JsonElement>((await cluster.ReadAsync(left, "/v1/explain/key?maxStaleness=300ms")).Body);
            JsonElement would = explained.GetProperty("wouldServe");
            return would.GetProperty("how").GetString() == "waits"
                && would.GetProperty("reason").GetString()!.Contains("at the deadline TooStale", StringComparison.Ordinal);
        });
        foreach (JsonElement replica in explained.GetProperty("replicas").EnumerateArray())
        {
            Assert.Equal(replica.GetProperty("node").GetString() == left.Name, replica.GetProperty("reachable").GetBoolean());
            Assert.False(replica.GetProperty("canServe").GetBoolean());
        }
    }

    [Fact]
    public async Task Explain_foresees_what_reads_then_do()
    {
        using var folder = new TestCluster(nodes: 3);
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        Answer written = await WrittenEverywhereAsync(cluster);
        foreach (NodeHost node in cluster.Nodes)
        {
            foreach (string query in new[] { "consistency=eventual", "maxStaleness=24h", $"consistency=session&session={written.Token}", "" })
            {
                JsonElement explained = JsonSerializer.Deserialize<JsonElement>((await cluster.ReadAsync(node, "/v1/explain/key?" + query)).Body);
                Assert.All(explained.GetProperty("replicas").EnumerateArray(), replica => Assert.True(replica.GetProperty("reachable").GetBoolean()));
                JsonElement would = explained.GetProperty("wouldServe");
                Answer read = await cluster.ReadAsync(node, "/v1/kv/key?" + query);
                Assert.Equal(would.GetProperty("node").GetString(), read.ServedBy["node"]);
                Assert.Equal(would.GetProperty("how").GetString() == "local", read.ServedBy["path"] == "local");
            }
        }
    }

    /// <summary>Until a write has come everywhere, a bounded or eventual read may rightly miss it: here it has.</summary>
    private static async Task<Answer> WrittenEverywhereAsync(RunningCluster cluster)
    {
        Answer written = await cluster.WriteAsync(cluster.Nodes[0], "/v1/kv/key", "value");
        foreach (NodeHost node in cluster.Nodes)
        {
            Answer read = await cluster.ReadAsync(node, "/v1/kv/key?consistency=session&timeout=20s", ("Kv-Session", written.Token!));
            Assert.Equal("value", read.Body);
        }

        return written;
    }
}
