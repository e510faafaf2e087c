using System.Collections.Concurrent;
using System.Net;
using System.Text;
using System.Text.Json;
using KvStore.Client;
using KvStore.Protocol;
using Xunit.Abstractions;

namespace KvStore.Node.Tests.Processes;

/// <summary>The program of the build before, put back into a running cluster at every moment of a raise, and asked through every door.</summary>
public sealed class OlderBuildTests(ITestOutputHelper output)
{
    private const string CannotRead = "is not known to this program";
    private const string Refuses = "refuses this node";

    /// <summary>
    /// Before the level is proposed, when it is appended, committed, used, and in a snapshot. The folder of <c>late</c> has never heard of
    /// the raise: the others refuse its hello. That of <c>marked</c> has: it refuses the program at start.
    /// </summary>
    [OlderBuildFact]
    public async Task The_build_before_comes_back_at_each_of_five_moments()
    {
        await using MixedCluster cluster = new(output.WriteLine);
        string[] held = ["--Upgrade:MaxLevel", "1"];
        foreach (string node in (string[])["n1", "n2", "n3"])
        {
            cluster.StartNew(node, held);
        }

        await cluster.ReadyAsync("n1", "n2", "n3");
        string[] replicas = await cluster.ReplicasAsync();
        (string leader, string late, string marked) = (replicas[0], replicas[1], replicas[2]);
        await using Writers writers = new(cluster, leader, late, marked);

        // Only one of them is held: nobody has proposed anything, and every folder can go back.
        foreach (string node in (string[])[late, leader])
        {
            await cluster.StopAsync(node);
            cluster.StartNew(node);
            await cluster.ReadyAsync(node);
        }

        foreach (string node in (string[])[late, marked, leader])
        {
            await cluster.StopAsync(node);
            cluster.StartOld(node);
            await cluster.ReadyAsync(node);
            cluster.Say($"before it is proposed: {node} serves with the build before");
            await cluster.StopAsync(node);
            cluster.StartNew(node, node == marked ? held : []);
            await cluster.ReadyAsync(node);
        }

        await cluster.LeadsAsync(leader);
        Assert.Equal((1, 1, 1), (cluster.IdentityVersion(leader), cluster.IdentityVersion(late), cluster.IdentityVersion(marked)));

        // Late has said its level and hears nothing more; marked is stopped before it can acknowledge.
        await cluster.StopAsync(marked);
        await cluster.LeadsAsync(leader);
        await cluster.SignalAsync(late, "STOP");
        cluster.StartNew(marked);
        await MixedCluster.UntilAsync("the leader is about to propose", () => Task.FromResult(cluster.IdentityVersion(leader) == 2), pollMs: 1);
        await cluster.SignalAsync(marked, "STOP");
        int from = cluster.LineCount(late);
        await cluster.KillAsync(late);
        cluster.StartOld(late);
        await cluster.SaysAsync(late, Refuses, from);
        Assert.Equal((1.0, 1), (await cluster.LevelAsync(leader), cluster.IdentityVersion(late)));
        cluster.Say($"appended and not committed: {Last(cluster, late, Refuses)}");

        await cluster.SignalAsync(marked, "CONT");
        await MixedCluster.UntilAsync("the level is raised", async () =>
            await cluster.LevelAsync(leader) == 2 && await cluster.LevelAsync(marked) == 2);
        Assert.True(cluster.Runs(late));
        await RefusedByHelloAsync(cluster, late, "committed");
        await RefusedByFolderAsync(cluster, marked, "committed");

        var appended = new List<string>();
        for (int i = 0; i < 50; i++)
        {
            string part = $"part-{i};";
            (HttpStatusCode status, string body, HttpResponseMessage reply) =
                await cluster.SendAsync(HttpMethod.Post, i % 2 == 0 ? leader : marked, "/v1/append/log?timeout=20s", part);
            reply.Dispose();
            Assert.True(status is HttpStatusCode.Created or HttpStatusCode.NoContent, $"{status} {body}");
            appended.Add(part);
        }

        await RefusedByHelloAsync(cluster, late, "used");
        await RefusedByFolderAsync(cluster, marked, "used");

        // The log before the snapshot goes, and with it what late would need.
        byte[] large = new byte[1 << 20];
        double level2 = await cluster.MetricAsync(leader, "kvstore_raft_commit_index");
        for (int i = 0; await cluster.MetricAsync(leader, "kvstore_raft_log_first_index") <= level2; i++)
        {
            Assert.True(i < 400, "the log is not cut");
            using HttpResponseMessage put = await cluster.Http.PutAsync(
                cluster.Url(leader, $"/v1/kv/large-{i % 8}?timeout=20s"), new ByteArrayContent(large));
            Assert.True(put.IsSuccessStatusCode, $"{put.StatusCode}");
        }

        await RefusedByHelloAsync(cluster, late, "in a snapshot");
        await RefusedByFolderAsync(cluster, marked, "in a snapshot");

        Assert.Equal(1, cluster.IdentityVersion(late));
        await cluster.KillAsync(late);
        cluster.StartNew(late);
        await cluster.ReadyAsync(late);
        await MixedCluster.UntilAsync("the late one has the level", async () => await cluster.LevelAsync(late) == 2);
        Assert.True(await cluster.MetricAsync(late, "kvstore_snapshots_installed_total") > 0);
        Assert.Equal(2, cluster.IdentityVersion(late));

        (int acknowledged, int not) = await writers.StopAsync();
        foreach (string node in replicas)
        {
            Assert.Equal(string.Concat(appended), await cluster.Http.GetStringAsync(cluster.Url(node, "/v1/kv/log?timeout=20s")));
            await writers.CheckAsync(node);
        }

        cluster.Say($"{acknowledged} acknowledged writes and {appended.Count} appends are there through every node; {not} writes were not acknowledged");
        foreach (string node in replicas)
        {
            await cluster.StopAsync(node);
        }
    }

    /// <summary>What an older node would drop in silence is not sent to it, neither by a client nor by a door.</summary>
    [OlderBuildFact]
    public async Task What_an_older_node_does_not_know_is_refused_by_the_sender()
    {
        await using MixedCluster cluster = new(output.WriteLine);
        foreach (string node in (string[])["n1", "n2", "n3"])
        {
            cluster.StartOld(node);
        }

        await cluster.ReadyAsync("n1", "n2", "n3");
        string[] replicas = await cluster.ReplicasAsync();
        (string leader, string door) = (replicas[0], replicas[2]);
        await cluster.StopAsync(door);
        cluster.StartNew(door);
        await cluster.ReadyAsync(door);
        await cluster.LeadsAsync(leader);

        // A door of this build, a leader of the build before.
        (HttpStatusCode status, string body, HttpResponseMessage reply) = await cluster.SendAsync(HttpMethod.Put, door, "/v1/kv/a?timeout=20s", "1");
        Assert.Equal((HttpStatusCode.Created, ""), (status, body));
        Assert.Contains("path=forwarded", reply.Headers.GetValues("Kv-Served-By").Single(), StringComparison.Ordinal);
        reply.Dispose();
        (status, body, reply) = await cluster.SendAsync(HttpMethod.Post, door, "/v1/append/a?timeout=20s", "2");
        reply.Dispose();
        JsonElement problem = JsonSerializer.Deserialize<JsonElement>(body);
        Assert.Equal(
            (HttpStatusCode.BadRequest, "Unsupported", "not-applied"),
            (status, problem.GetProperty("code").GetString(), problem.GetProperty("outcome").GetString()));
        cluster.Say($"append through a door of this build to a leader of the build before: {problem.GetProperty("detail").GetString()}");

        // A client of this build, nodes of both.
        foreach (string node in (string[])[leader, door])
        {
            await using KvConnection connection = await KvConnection.ConnectAsync("127.0.0.1", cluster.BinaryPort(node));
            Assert.Equal(node == leader ? FeatureLevel.First : FeatureLevel.Max, connection.Server.Level);
            foreach (KvRequest unknown in (KvRequest[])
                [
                    new() { Operation = new Append("a"u8, "2"u8), TimeoutMs = 20_000 },
                    new() { Operation = new Put("a"u8, "2"u8), Requires = (Requirements)1, TimeoutMs = 20_000 },
                ])
            {
                // To the older node it does not leave; the other one says so itself, or its leader does not get it.
                RequestResult answer = await connection.TrySendAsync(unknown);
                Assert.Equal(node == leader, answer.NeverSent);
                if (!answer.NeverSent)
                {
                    Assert.Equal((ErrorCode.Unsupported, Outcome.NotApplied), (answer.Reply!.Code, answer.Reply.Outcome));
                }

                cluster.Say(
                    $"{unknown.Operation.GetType().Name}, requires {unknown.Requires}, to a node of level {connection.Server.Level}: "
                    + (answer.Reply?.Detail ?? $"{answer.End}, never sent"));
            }

            KvReply known = await connection.SendAsync(new KvRequest { Operation = new Get("a"u8), TimeoutMs = 20_000 });
            Assert.Equal("1", Encoding.UTF8.GetString(Assert.IsType<Found>(known.Result).Value.Span));
        }
    }

    /// <summary>A write that was recorded by the build before is retried through doors of this one, below the level and above it.</summary>
    [OlderBuildFact]
    public async Task A_key_recorded_by_the_build_before_is_answered_from_its_record()
    {
        await using MixedCluster cluster = new(output.WriteLine);
        foreach (string node in (string[])["n1", "n2", "n3"])
        {
            cluster.StartOld(node);
        }

        await cluster.ReadyAsync("n1", "n2", "n3");
        string[] replicas = await cluster.ReplicasAsync();
        string counted = await IncrementAsync(replicas[0]);
        (string etag, string? type) = await PutAsync(replicas[0], "first");
        foreach (string node in replicas)
        {
            await cluster.StopAsync(node);
            cluster.StartNew(node);
            await cluster.ReadyAsync(node);
            foreach (string door in replicas)
            {
                Assert.Equal(counted, await IncrementAsync(door));
                Assert.Equal((etag, type), await PutAsync(door, "first"));
            }

            (HttpStatusCode status, string body, HttpResponseMessage reply) =
                await cluster.SendAsync(HttpMethod.Put, node, "/v1/kv/once?timeout=20s", "second", "of-old");
            reply.Dispose();
            double level = await cluster.LevelAsync(node);
            Assert.True(level == 2 || status == HttpStatusCode.UnprocessableEntity, $"{status} {body}");
            cluster.Say($"{node} replaced, level {level}: the retries have their first answers; the key with another body: {(int)status}");
        }

        await MixedCluster.UntilAsync("the level is raised", async () => await cluster.LevelAsync(replicas[0]) == 2);
        foreach (string door in replicas)
        {
            Assert.Equal(counted, await IncrementAsync(door));
            Assert.Equal((etag, type), await PutAsync(door, "first"));
            Assert.Equal("first", await cluster.Http.GetStringAsync(cluster.Url(door, "/v1/kv/once?timeout=20s")));
            Assert.Equal("1", await cluster.Http.GetStringAsync(cluster.Url(door, "/v1/kv/counter?timeout=20s")));
        }

        cluster.Say("level 2: the same through every door, and both were applied once");

        async Task<string> IncrementAsync(string door)
        {
            (HttpStatusCode status, string body, HttpResponseMessage reply) =
                await cluster.SendAsync(HttpMethod.Post, door, "/v1/incr/counter?timeout=20s", idempotencyKey: "of-old");
            string answer = $"{status} {JsonSerializer.Deserialize<JsonElement>(body).GetProperty("value")} {reply.Headers.ETag}";
            reply.Dispose();
            return answer;
        }

        async Task<(string Etag, string? Type)> PutAsync(string door, string value)
        {
            (HttpStatusCode status, string body, HttpResponseMessage reply) =
                await cluster.SendAsync(HttpMethod.Put, door, "/v1/kv/once?timeout=20s", value, "of-old");
            Assert.True(status == HttpStatusCode.Created, $"{status} {body}");
            string etagNow = reply.Headers.ETag!.ToString();
            reply.Dispose();
            return (etagNow, null);
        }
    }

    /// <summary>The folder does not know of the raise: the program starts, is refused by name, and does not end.</summary>
    private static async Task RefusedByHelloAsync(MixedCluster cluster, string node, string moment)
    {
        Assert.Equal(1, cluster.IdentityVersion(node));
        if (cluster.Runs(node))
        {
            await cluster.KillAsync(node);
        }

        int from = cluster.LineCount(node);
        cluster.StartOld(node);
        await cluster.SaysAsync(node, Refuses, from);
        await Task.Delay(TimeSpan.FromSeconds(3));
        Assert.True(cluster.Runs(node));
        string said = Last(cluster, node, Refuses);
        Assert.Contains($"upgrade {node}", said, StringComparison.Ordinal);
        cluster.Say($"{moment}: {said}");
    }

    /// <summary>The folder is marked: the program ends at once and says why, and has written nothing but its count of starts.</summary>
    private static async Task RefusedByFolderAsync(MixedCluster cluster, string node, string moment)
    {
        await cluster.StopAsync(node);
        Assert.Equal(2, cluster.IdentityVersion(node));
        Dictionary<string, string> before = Contents(cluster, node);
        int from = cluster.LineCount(node);
        cluster.StartOld(node);
        Assert.NotEqual(0, await cluster.EndOfAsync(node));
        await cluster.SaysAsync(node, CannotRead, from);
        Assert.Equal(before, Contents(cluster, node));
        cluster.Say($"{moment}: {Last(cluster, node, CannotRead)}");
        cluster.StartNew(node);
        await cluster.ReadyAsync(node);
    }

    private static string Last(MixedCluster cluster, string node, string what) =>
        cluster.Lines(node).Last(line => line.Contains(what, StringComparison.Ordinal)).Trim();

    private static Dictionary<string, string> Contents(MixedCluster cluster, string node) =>
        Directory.EnumerateFiles(cluster.Data(node), "*", SearchOption.AllDirectories)
            .Where(path => Path.GetFileName(path) != "LOCK")
            .Order(StringComparer.Ordinal)
            .ToDictionary(path => path, path => Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(path))));

    /// <summary>Two clients that write new keys through all nodes in turn, and remember what was acknowledged.</summary>
    private sealed class Writers : IAsyncDisposable
    {
        private readonly MixedCluster _cluster;
        private readonly string[] _nodes;
        private readonly CancellationTokenSource _stop = new();
        private readonly ConcurrentDictionary<string, string> _acknowledged = [];
        private readonly Task[] _writers;
        private int _not;

        public Writers(MixedCluster cluster, params string[] nodes)
        {
            (_cluster, _nodes) = (cluster, nodes);
            _writers = [.. Enumerable.Range(0, 2).Select(n => Task.Run(() => WriteAsync(n)))];
        }

        public async Task<(int Acknowledged, int Not)> StopAsync()
        {
            await _stop.CancelAsync();
            await Task.WhenAll(_writers);
            return (_acknowledged.Count, _not);
        }

        public async Task CheckAsync(string through)
        {
            Assert.NotEmpty(_acknowledged);
            foreach ((string key, string value) in _acknowledged)
            {
                Assert.Equal(value, await _cluster.Http.GetStringAsync(_cluster.Url(through, $"/v1/kv/{key}?timeout=20s")));
            }
        }

        public async ValueTask DisposeAsync()
        {
            await StopAsync();
            _stop.Dispose();
        }

        private async Task WriteAsync(int me)
        {
            for (int i = 0; !_stop.IsCancellationRequested; i++)
            {
                (string key, string value) = ($"w-{me}-{i}", $"v-{me}-{i}");
                try
                {
                    (HttpStatusCode status, _, HttpResponseMessage reply) =
                        await _cluster.SendAsync(HttpMethod.Put, _nodes[i % _nodes.Length], $"/v1/kv/{key}?timeout=3s", value);
                    reply.Dispose();
                    if (status is HttpStatusCode.Created or HttpStatusCode.NoContent)
                    {
                        _acknowledged[key] = value;
                        continue;
                    }
                }
                catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
                {
                    // The node is down, or stopped: nobody was told anything.
                }

                Interlocked.Increment(ref _not);
            }
        }
    }
}
