using KvStore.Node.Hosting;
using KvStore.Node.Tests.Hosting;
using KvStore.Protocol;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Node.Tests.Consistency;

/// <summary>Session tokens on real nodes: carried from node to node, from client to client, and over a restart of everything.</summary>
public sealed class SessionAcrossNodesTests
{
    [Fact]
    public async Task A_write_is_seen_at_every_node_by_whoever_carries_its_token()
    {
        using var folder = new TestCluster(nodes: 3);
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        string? token = null;
        for (int i = 0; i < 60; i++)
        {
            NodeHost writer = cluster.Nodes[i % 3];
            string key = $"key-{i % 5}";
            Answer written = token is null
                ? await cluster.WriteAsync(writer, $"/v1/kv/{key}", $"{i}")
                : await cluster.WriteAsync(writer, $"/v1/kv/{key}", $"{i}", ("Kv-Session", token));
            Assert.InRange(written.Status, 201, 204);
            token = written.Token!;

            // At once, with no time for replication but the one the read takes itself, and at all nodes at the same time.
            Answer[] reads = await Task.WhenAll(cluster.Nodes.Select(
                node => cluster.ReadAsync(node, $"/v1/kv/{key}?consistency=session", ("Kv-Session", token))));
            foreach (Answer read in reads)
            {
                Assert.Equal(200, read.Status);
                Assert.Equal($"{i}", read.Body);
                Assert.Equal("session", read.Level);
                Assert.True(read.Applied >= written.ParsedToken.Find(read.Group).Applied, "the evidence contradicts the token");
                Assert.True(read.ParsedToken.Find(read.Group).Applied >= read.Applied);
            }
        }
    }

    [Fact]
    public async Task Misses_and_failed_conditions_continue_a_session_too()
    {
        using var folder = new TestCluster(nodes: 3);
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        string token = (await cluster.WriteAsync(cluster.Nodes[0], "/v1/kv/a", "1")).Token!;
        Answer refused = await cluster.WriteAsync(cluster.Nodes[1], "/v1/kv/a", "2", ("If-None-Match", "*"), ("Kv-Session", token));
        Assert.Equal(412, refused.Status);
        Answer missing = await cluster.ReadAsync(cluster.Nodes[2], "/v1/kv/nothing-here?consistency=session", ("Kv-Session", refused.Token!));
        Assert.Equal(404, missing.Status);
        Answer unchanged = await cluster.ReadAsync(
            cluster.Nodes[1], "/v1/kv/a?consistency=session", ("Kv-Session", missing.Token!), ("If-None-Match", "*"));
        Assert.Equal(304, unchanged.Status);
        Assert.All(
            refused.ParsedToken.Points,
            point => Assert.True(unchanged.ParsedToken.Find(point.Key).Applied >= point.Value.Applied));
    }

    [Fact]
    public async Task A_token_outlives_the_restart_of_every_node()
    {
        using var folder = new TestCluster(nodes: 3);
        string? token = null;
        await using (var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance))
        {
            for (int i = 0; i < 12; i++)
            {
                token = (await cluster.WriteAsync(
                    cluster.Nodes[i % 3], $"/v1/kv/key-{i}", $"{i}", token is null ? [] : [("Kv-Session", token)])).Token;
            }
        }

        await using (var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance))
        {
            for (int i = 0; i < 12; i++)
            {
                foreach (NodeHost node in cluster.Nodes)
                {
                    Answer read = await cluster.ReadAsync(node, $"/v1/kv/key-{i}?consistency=session&timeout=20s", ("Kv-Session", token!));
                    Assert.Equal((200, $"{i}"), (read.Status, read.Body));
                }
            }

            Answer next = await cluster.WriteAsync(cluster.Nodes[1], "/v1/kv/key-0", "next", ("Kv-Session", token!));
            Assert.Equal(204, next.Status);
        }
    }

    [Fact]
    public async Task A_token_that_cannot_be_true_is_refused_at_once_and_writes_nothing()
    {
        using var folder = new TestCluster(nodes: 3);
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        Answer written = await cluster.WriteAsync(cluster.Nodes[0], "/v1/kv/key", "1");
        SessionToken honest = written.ParsedToken;
        SessionPoint seen = honest.Find(written.Group);
        SessionToken future = honest.With(written.Group, seen with { Applied = seen.Applied + 1_000_000 }, coversAll: false);
        SessionToken otherHistory = SessionToken.Empty("test").With(written.Group, seen with { History = seen.History + 1 }, coversAll: false);
        SessionToken foreign = SessionToken.Empty("elsewhere").With(written.Group, seen, coversAll: false);

        foreach (NodeHost node in cluster.Nodes)
        {
            foreach (SessionToken token in new[] { future, otherHistory, foreign })
            {
                Answer read = await cluster.ReadAsync(node, $"/v1/kv/key?consistency=session&session={token}&timeout=20s");
                Assert.Equal((400, "SessionTokenInvalid"), (read.Status, read.Code));
                Assert.Null(read.Token);
            }

            foreach (SessionToken token in new[] { otherHistory, foreign })
            {
                Answer write = await cluster.WriteAsync(node, "/v1/kv/key", "2", ("Kv-Session", token.ToString()));
                Assert.Equal((400, "SessionTokenInvalid"), (write.Status, write.Code));
                Assert.Equal("not-applied", write.Problem.GetProperty("outcome").GetString());
            }
        }

        Assert.Equal("1", await cluster.GetAsync(cluster.Nodes[2], "key"));
    }

    [Fact]
    public async Task A_minted_token_is_a_starting_line_for_readers_at_other_nodes()
    {
        using var folder = new TestCluster(nodes: 3);
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);

        // A group is in the token once its first entry is applied here: a moment after its leader is known.
        while ((await cluster.ReadAsync(cluster.Nodes[0], "/v1/session")).ParsedToken.Points.Count < 4)
        {
            await Task.Yield();
        }

        for (int i = 0; i < 20; i++)
        {
            // Strong: n1 has applied the write when the token is minted there.
            await cluster.PutAsync(cluster.Nodes[1], "key", $"{i}");
            Assert.Equal($"{i}", await cluster.GetAsync(cluster.Nodes[0], "key"));
            Answer minted = await cluster.ReadAsync(cluster.Nodes[0], "/v1/session");
            Assert.Equal(4, minted.ParsedToken.Points.Count);
            Answer read = await cluster.ReadAsync(cluster.Nodes[2], "/v1/kv/key?consistency=session", ("Kv-Session", minted.Token!));
            Assert.Equal($"{i}", read.Body);
        }
    }
}
