using System.Globalization;
using System.Text.Json;
using KvStore.Node.Tests.Hosting;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Node.Tests.Consistency;

/// <summary>Retries and acknowledgements through the HTTP doors of real nodes.</summary>
public sealed class SafeWriteTests
{
    private static long NowMs => DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();

    [Fact]
    public async Task A_key_makes_a_write_happen_once_whatever_node_its_copies_meet()
    {
        using var folder = new TestCluster(nodes: 3);
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        (string Name, string Value)[][] identities =
        [
            [("Idempotency-Key", "order-1")],
            [("Idempotency-Key", "order-2"), ("Kv-First-Sent", $"{NowMs}")],
            [("Idempotency-Key", $"{Guid.CreateVersion7()}")],
        ];
        for (int i = 0; i < identities.Length; i++)
        {
            Answer first = await cluster.IncrementAsync(cluster.Nodes[0], $"counter-{i}", identities[i]);
            Answer[] copies = await Task.WhenAll(
                Enumerable.Range(0, 9).Select(n => cluster.IncrementAsync(cluster.Nodes[n % 3], $"counter-{i}", identities[i])));
            Assert.Equal(200, first.Status);
            Assert.All(copies, copy => Assert.Equal((200, first.Body), (copy.Status, copy.Body)));
            Assert.Equal("1", await cluster.GetAsync(cluster.Nodes[1], $"counter-{i}"));
        }

        // Without a key each request is a write of its own.
        await cluster.IncrementAsync(cluster.Nodes[0], "plain");
        Assert.Contains("\"value\":2", (await cluster.IncrementAsync(cluster.Nodes[0], "plain")).Body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Copies_get_the_status_of_the_first_and_so_do_failed_conditions()
    {
        using var folder = new TestCluster(nodes: 3);
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        Answer created = await cluster.WriteAsync(cluster.Nodes[0], "/v1/kv/a", "1", ("Idempotency-Key", "k"));
        Answer again = await cluster.WriteAsync(cluster.Nodes[1], "/v1/kv/a", "1", ("Idempotency-Key", "k"));
        Assert.Equal((201, 201), (created.Status, again.Status));
        Assert.Equal(created.Headers["Kv-Revision"], again.Headers["Kv-Revision"]);
        Answer reused = await cluster.WriteAsync(cluster.Nodes[2], "/v1/kv/a", "2", ("Idempotency-Key", "k"));
        Assert.Equal((422, "IdempotencyReused", "not-applied"), (reused.Status, reused.Code, OutcomeOf(reused)));

        Answer failed = await cluster.WriteAsync(cluster.Nodes[0], "/v1/kv/a", "3", ("Idempotency-Key", "c"), ("If-Match", "\"1\""));
        Assert.Equal(412, failed.Status);
        Answer failedAgain = await cluster.WriteAsync(cluster.Nodes[2], "/v1/kv/a", "3", ("Idempotency-Key", "c"), ("If-Match", "\"1\""));
        Assert.Equal((412, "not-applied"), (failedAgain.Status, OutcomeOf(failedAgain)));
        Assert.Equal("1", await cluster.GetAsync(cluster.Nodes[1], "a"));
    }

    [Theory]
    [InlineData("application/octet-stream", "text/plain")]
    [InlineData("text/plain", "application/octet-stream")]
    [InlineData("application/octet-stream", "application/octet-stream")]
    public async Task B1_another_value_under_the_same_key_is_refused_whatever_its_type_is_spelled(string first, string second)
    {
        using var folder = new TestCluster(nodes: 3);
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        Answer created = await PutAsync(cluster, "AAAA", first);
        Answer reused = await PutAsync(cluster, "BBBB", second);
        Answer again = await PutAsync(cluster, "AAAA", first);
        Assert.Equal((201, 201, 422), (created.Status, again.Status, reused.Status));
        Assert.Equal(("IdempotencyReused", "not-applied"), (reused.Code, OutcomeOf(reused)));
        Assert.Equal("AAAA", await cluster.GetAsync(cluster.Nodes[1], "x"));

        static Task<Answer> PutAsync(RunningCluster cluster, string value, string type) =>
            cluster.WriteAsync(cluster.Nodes[0], "/v1/kv/x", value, ("Idempotency-Key", "k1"), ("Content-Type", type));
    }

    [Fact]
    public async Task A_copy_that_comes_too_late_is_refused_as_unknown_and_not_executed()
    {
        using var folder = new TestCluster(nodes: 3);
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        long elevenMinutesAgo = NowMs - (11 * 60_000);
        string oldUuid = Guid.CreateVersion7(DateTimeOffset.FromUnixTimeMilliseconds(elevenMinutesAgo)).ToString();
        (string Name, string Value)[][] late =
        [
            [("Idempotency-Key", "late"), ("Kv-First-Sent", elevenMinutesAgo.ToString(CultureInfo.InvariantCulture))],
            [("Idempotency-Key", oldUuid)],
        ];
        foreach ((string Name, string Value)[] identity in late)
        {
            Answer refused = await cluster.IncrementAsync(cluster.Nodes[1], "counter", identity);
            Assert.Equal((409, "IdempotencyExpired", "unknown"), (refused.Status, refused.Code, OutcomeOf(refused)));
            Assert.Null(refused.Token);
        }

        // The header speaks for the client: it knows when it sent the request first, whatever its key looks like.
        Answer taken = await cluster.IncrementAsync(cluster.Nodes[1], "counter", ("Idempotency-Key", oldUuid), ("Kv-First-Sent", $"{NowMs}"));
        Assert.Contains("\"value\":1,", taken.Body, StringComparison.Ordinal);

        Answer future = await cluster.IncrementAsync(
            cluster.Nodes[2], "counter", ("Idempotency-Key", "early"), ("Kv-First-Sent", $"{NowMs + (2 * 3_600_000)}"));
        Assert.Equal((400, "InvalidRequest", "not-applied"), (future.Status, future.Code, OutcomeOf(future)));
        Assert.Equal("1", await cluster.GetAsync(cluster.Nodes[0], "counter"));
    }

    [Fact]
    public async Task Acknowledged_by_all_is_never_said_while_one_is_missing()
    {
        using var folder = new TestCluster(nodes: 3);
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        Answer all = await cluster.WriteAsync(cluster.Nodes[0], "/v1/kv/key", "1", ("Kv-Ack", "all"));
        Assert.Equal(201, all.Status);

        await cluster.Nodes[2].DisposeAsync();
        await cluster.PutAsync(cluster.Nodes[0], "key", "2"); // leaders are elected again where they were lost
        Answer notOnAll = await cluster.WriteAsync(cluster.Nodes[0], "/v1/kv/key?timeout=600ms", "3", ("Kv-Ack", "all"));
        Assert.Equal((504, "NotOnAll", "applied"), (notOnAll.Status, notOnAll.Code, OutcomeOf(notOnAll)));
        Assert.False(notOnAll.Problem.GetProperty("retryable").GetBoolean());
        Answer read = await cluster.ReadAsync(cluster.Nodes[1], "/v1/kv/key");
        Assert.Equal(("3", notOnAll.Headers["Kv-Revision"]), (read.Body, read.Headers["Kv-Revision"]));

        Answer majority = await cluster.WriteAsync(cluster.Nodes[0], "/v1/kv/key", "4", ("Kv-Ack", "majority"));
        Assert.Equal(204, majority.Status);
    }

    private static string? OutcomeOf(Answer answer) => answer.Problem.GetProperty("outcome") is { ValueKind: JsonValueKind.String } outcome
        ? outcome.GetString()
        : null;
}
