using System.Globalization;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Net;
using System.Text.Json;
using System.Text;
using KvStore.Client;
using KvStore.Node.Tests.Consistency;
using KvStore.Node.Tests.Hosting;
using KvStore.Node.Tests.Http;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Processes;

/// <summary>Real processes, real disks, real sockets: what the other tests cannot show.</summary>
public sealed class RealNodesTests : IDisposable
{
    private const string EveryNodeIsReady = "stop:";
    private const string Serving = "serving:";
    private const int Groups = 4;

    private static readonly string[] Names = ["n1", "n2", "n3"];

    private readonly string _folder = Directory.CreateTempSubdirectory("kvstore-").FullName;
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(30) };

    private string Data => Path.Combine(_folder, "data");

    [Fact]
    public async Task One_process_serves_every_key_through_every_node_and_finds_its_data_again()
    {
        string config = WriteConfig(_ => 0);
        Dictionary<string, string> etags = [];
        using (NodeProcess nodes = await NodeProcess.StartAsync(config, Data, EveryNodeIsReady))
        {
            Uri[] urls = Urls();
            for (int i = 0; i < 24; i++)
            {
                using HttpResponseMessage put = await PutAsync(urls[i % 3], $"/v1/kv/key-{i}", $"value-{i}");
                Assert.Equal(HttpStatusCode.Created, put.StatusCode);
                etags[$"key-{i}"] = put.Headers.ETag!.ToString();
            }

            await AssertAllThereAsync(urls, etags);
            Assert.Equal(Groups, GroupsLedInBanner(nodes.Output));
            (int exitCode, TimeSpan took) = await nodes.InterruptAsync();
            Assert.True(exitCode == 0, nodes.Output);
            Assert.True(took < TimeSpan.FromSeconds(5), $"stopping took {took}");

            // All stop together: leadership that goes round among them would only delay the end and fill the screen.
            string stop = nodes.Output[nodes.Output.IndexOf("draining", StringComparison.Ordinal)..];
            Assert.DoesNotContain("became leader", stop, StringComparison.Ordinal);
        }

        using NodeProcess again = await NodeProcess.StartAsync(config, Data, EveryNodeIsReady);
        await AssertAllThereAsync(Urls(), etags);
    }

    [Fact]
    public async Task Routes_answer_as_documented_on_a_real_store()
    {
        using NodeProcess nodes = await NodeProcess.StartAsync(WriteConfig(_ => 0), Data, EveryNodeIsReady);
        Uri[] urls = Urls();

        // Created once, then replaced, then protected by its version.
        Assert.Equal(HttpStatusCode.Created, (await PutAsync(urls[0], "/v1/kv/a%2Fb", "1")).StatusCode);
        HttpResponseMessage replaced = await PutAsync(urls[1], "/v1/b64/YS9i", "2");
        Assert.Equal(HttpStatusCode.NoContent, replaced.StatusCode);
        string etag = replaced.Headers.ETag!.ToString();
        Assert.Equal(HttpStatusCode.PreconditionFailed, (await PutAsync(urls[2], "/v1/kv/a%2Fb", "3", ("If-Match", "\"1\""))).StatusCode);
        Assert.Equal(HttpStatusCode.PreconditionFailed, (await PutAsync(urls[2], "/v1/kv/a%2Fb", "3", ("If-None-Match", "*"))).StatusCode);
        Assert.Equal(HttpStatusCode.NoContent, (await PutAsync(urls[2], "/v1/kv/a%2Fb", "3", ("If-Match", etag))).StatusCode);
        Assert.Equal("3", await _http.GetStringAsync(new Uri(urls[0], "/v1/kv/a/b")));

        // The same write twice under one idempotency key is one write, whatever node it meets; another payload is refused.
        HttpResponseMessage first = await PutAsync(urls[0], "/v1/kv/once", "x", ("Idempotency-Key", "\"k-1\""));
        HttpResponseMessage second = await PutAsync(urls[1], "/v1/kv/once", "x", ("Idempotency-Key", "k-1"));
        Assert.Equal(HttpStatusCode.Created, first.StatusCode);
        Assert.Equal(HttpStatusCode.Created, second.StatusCode);
        Assert.Equal(first.Headers.ETag, second.Headers.ETag);
        HttpResponseMessage reused = await PutAsync(urls[2], "/v1/kv/once", "y", ("Idempotency-Key", "k-1"));
        await ProblemDocument.ReadAsync(reused, 422, "IdempotencyReused");

        // Counters count through every node.
        for (int i = 1; i <= 6; i++)
        {
            using HttpResponseMessage incremented = await _http.PostAsync(new Uri(urls[i % 3], "/v1/incr/visits"), null);
            JsonElement json = await incremented.Content.ReadFromJsonAsync<JsonElement>();
            Assert.Equal(i, json.GetProperty("value").GetInt64());
        }

        // The leader that locate names is where redirect leads and strict is served.
        JsonElement location = await _http.GetFromJsonAsync<JsonElement>(new Uri(urls[0], "/v1/locate/visits"));
        Uri leader = new(location.GetProperty("leaderUrl").GetString()!);
        foreach (Uri url in urls)
        {
            using HttpResponseMessage strict = await _http.GetAsync(new Uri(url, "/v1/kv/visits?route=strict"));
            Assert.Equal(url.Port == leader.Port ? HttpStatusCode.OK : HttpStatusCode.MisdirectedRequest, strict.StatusCode);
            Assert.Equal("6", await _http.GetStringAsync(new Uri(url, "/v1/kv/visits?route=redirect")));
        }

        Assert.Equal(HttpStatusCode.NoContent, (await _http.DeleteAsync(new Uri(urls[1], "/v1/kv/visits"))).StatusCode);
        using HttpResponseMessage gone = await _http.DeleteAsync(new Uri(urls[2], "/v1/kv/visits?strict"));
        await ProblemDocument.ReadAsync(gone, 404, "KeyNotFound");
    }

    [Fact]
    public async Task A_node_without_a_majority_answers_eventual_reads_and_refuses_strong_ones()
    {
        int[] ports = FreePorts.Take(9);
        string config = WriteConfig(i => ports[i]);
        Uri[] urls = [.. Names.Select((_, i) => new Uri($"http://127.0.0.1:{ports[i * 3]}"))];
        NodeProcess[] nodes = await Task.WhenAll(Names.Select(name => NodeProcess.StartAsync(config, Data, Serving, "--node", name)));
        try
        {
            await UntilAsync(async () => (await _http.GetAsync(new Uri(urls[0], "/health/ready"))).IsSuccessStatusCode);
            Assert.Equal(HttpStatusCode.Created, (await PutAsync(urls[0], "/v1/kv/key", "value")).StatusCode);

            // Until the survivor-to-be has the value and has been told once how old its data is.
            await UntilAsync(async () =>
            {
                using HttpResponseMessage read = await _http.GetAsync(new Uri(urls[0], "/v1/kv/key?consistency=eventual"));
                return read.IsSuccessStatusCode && read.Headers.GetValues("Kv-Staleness").Single() != "unknown";
            });

            await nodes[1].KillAsync();
            await nodes[2].KillAsync();

            // Until the survivor has noticed, a strong read may also end in a timeout; after that only in NoLeader.
            Uri locate = new(urls[0], "/v1/locate/key");
            await UntilAsync(async () =>
                (await _http.GetFromJsonAsync<JsonElement>(locate)).GetProperty("leader").ValueKind == JsonValueKind.Null);
            using HttpResponseMessage strong = await _http.GetAsync(new Uri(urls[0], "/v1/kv/key?timeout=500ms"));
            ProblemDocument problem = await ProblemDocument.ReadAsync(strong, 503, "NoLeader");
            Assert.Equal("not-applied", problem.Outcome);
            Assert.NotNull(strong.Headers.RetryAfter);
            HttpResponseMessage write = await PutAsync(urls[0], "/v1/kv/key?timeout=500ms", "other");
            await ProblemDocument.ReadAsync(write, 503, "NoLeader");

            using HttpResponseMessage eventual = await _http.GetAsync(new Uri(urls[0], "/v1/kv/key?consistency=eventual"));
            Assert.Equal("value", await eventual.Content.ReadAsStringAsync());

            // Nobody has confirmed anything since the others were killed, and the reply says how long ago that was.
            Assert.InRange(int.Parse(eventual.Headers.GetValues("Kv-Staleness").Single(), CultureInfo.InvariantCulture), 100, 600_000);
            Assert.StartsWith("node=n1; ", eventual.Headers.GetValues("Kv-Served-By").Single(), StringComparison.Ordinal);

            // With a second node there is a majority again, and the value is still the acknowledged one.
            using NodeProcess back = await NodeProcess.StartAsync(config, Data, Serving, "--node", "n2");
            Assert.Equal("value", await _http.GetStringAsync(new Uri(urls[0], "/v1/kv/key?timeout=20s")));
        }
        finally
        {
            Array.ForEach(nodes, node => node.Dispose());
        }
    }

    /// <summary>A log keeps 64 MiB of a group for a voter that is away; 6,000 values of 16 KiB are more.</summary>
    [Fact]
    public async Task A_follower_that_missed_more_than_the_log_keeps_comes_back_by_snapshot_and_is_equal()
    {
        int[] ports = FreePorts.Take(9);
        string config = WriteConfig(i => ports[i], groups: 1);
        Uri[] urls = [.. Names.Select((_, i) => new Uri($"http://127.0.0.1:{ports[i * 3]}"))];
        var starting = Names.Select(name => NodeProcess.StartAsync(config, Data, Serving, "--node", name));
        List<NodeProcess> nodes = [.. await Task.WhenAll(starting)];
        try
        {
            string? leader = null;
            Uri group = new(urls[0], "/v1/cluster/groups/1");
            await UntilAsync(async () =>
                (leader = (await _http.GetFromJsonAsync<JsonElement>(group)).GetProperty("leader").GetString()) is not null);
            await using (KvConnection first = await KvConnection.ConnectAsync("127.0.0.1", ports[2]))
            {
                await WriteAsync(first, writes: 100);
            }

            int away = leader == Names[2] ? 1 : 2;
            int leads = Array.IndexOf(Names, leader);
            await nodes[away].KillAsync();
            await using (KvConnection connection = await KvConnection.ConnectAsync("127.0.0.1", ports[(leads * 3) + 2]))
            {
                await WriteAsync(connection, writes: 6_000);
            }

            await UntilAsync(async () => (await LocalAsync(urls[leads])).GetProperty("firstIndex").GetInt64() > 200);
            nodes.Add(await NodeProcess.StartAsync(config, Data, Serving, "--node", Names[away]));
            JsonElement expected = default, actual = default;
            await UntilAsync(async () =>
            {
                expected = await HashAsync(urls[leads]);
                actual = await HashAsync(urls[away]);
                return expected.GetProperty("applied").GetInt64() == actual.GetProperty("applied").GetInt64();
            });
            Assert.Equal(expected.GetProperty("hash").GetString(), actual.GetProperty("hash").GetString());
            Assert.Equal(1, (await LocalAsync(urls[away])).GetProperty("snapshotsInstalled").GetInt32());
            string metrics = await _http.GetStringAsync(new Uri(urls[away], "/metrics"));
            Assert.Contains("kvstore_snapshots_installed_total 1\n", metrics, StringComparison.Ordinal);
        }
        finally
        {
            nodes.ForEach(node => node.Dispose());
        }
    }

    [Fact]
    public async Task Every_level_makes_sense_before_during_and_after_the_leader_is_killed()
    {
        int[] ports = FreePorts.Take(9);
        string config = WriteConfig(i => ports[i]);
        Uri[] urls = [.. Names.Select((_, i) => new Uri($"http://127.0.0.1:{ports[i * 3]}"))];
        NodeProcess[] nodes = await Task.WhenAll(Names.Select(name => NodeProcess.StartAsync(config, Data, Serving, "--node", name)));
        try
        {
            foreach (Uri url in urls)
            {
                await UntilAsync(async () => (await _http.GetAsync(new Uri(url, "/health/ready"))).IsSuccessStatusCode);
            }

            Answer written = await _http.SendAsync(new Uri(urls[0], "/v1/kv/key"), "PUT", "first");
            Assert.Equal(201, written.Status);
            await LevelsAsync(urls, written.Token!, "first", everythingWorks: true);

            int leader = Array.IndexOf(Names, written.ServedBy["node"]);
            await nodes[leader].KillAsync();
            Uri[] left = [.. urls.Where((_, i) => i != leader)];
            string? token = written.Token;
            await UntilAsync(async () =>
            {
                await LevelsAsync(left, token!, "first", everythingWorks: false);
                Answer next = await _http.SendAsync(new Uri(left[0], "/v1/kv/key?timeout=300ms"), "PUT", "second", ("Kv-Session", token!));
                if (next.Status >= 400)
                {
                    // Nobody leads yet. An unknown outcome may still come true, so the value is not looked at before it has.
                    Assert.Contains(next.Code, new[] { "NoLeader", "Indeterminate" });
                    Assert.Null(next.Token);
                    return false;
                }

                token = next.Token;
                return true;
            });

            await LevelsAsync(left, token!, "second", everythingWorks: true);
            nodes[leader] = await NodeProcess.StartAsync(config, Data, Serving, "--node", Names[leader]);
            await UntilAsync(async () => (await _http.GetAsync(new Uri(urls[leader], "/health/ready"))).IsSuccessStatusCode);
            await LevelsAsync(urls, token!, "second", everythingWorks: true);
        }
        finally
        {
            Array.ForEach(nodes, node => node.Dispose());
        }
    }

    public void Dispose()
    {
        _http.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private async Task<JsonElement> LocalAsync(Uri node) =>
        (await _http.GetFromJsonAsync<JsonElement>(new Uri(node, "/v1/cluster/groups/1"))).GetProperty("local");

    private Task<JsonElement> HashAsync(Uri node) => _http.GetFromJsonAsync<JsonElement>(new Uri(node, "/v1/cluster/groups/1/hash"));

    // Over 1,000 keys, one write in ten a delete; every one of them is acknowledged.
    private static Task WriteAsync(KvConnection connection, int writes)
    {
        byte[] value = new byte[16 * 1024];
        int next = -1;
        return Task.WhenAll(Enumerable.Range(0, 64).Select(async _ =>
        {
            while (Interlocked.Increment(ref next) is int number && number < writes)
            {
                byte[] key = Encoding.ASCII.GetBytes($"key-{number % 997}");
                RequestResult result = await connection.TrySendAsync(new KvRequest
                {
                    Operation = number % 10 == 0 ? new Delete(key) : new Put(key, value),
                    TimeoutMs = 30_000,
                });
                Assert.Equal(ErrorCode.None, result.Reply?.Code);
            }
        }));
    }

    /// <summary>
    /// Reads at every level on every node: never more than is proved, never less than asked for, and a refusal that says why. While a
    /// write of unknown outcome may be under way the value is the old one or the new one.
    /// </summary>
    private async Task LevelsAsync(Uri[] urls, string token, string value, bool everythingWorks)
    {
        foreach (Uri url in urls)
        {
            string timeout = everythingWorks ? "20s" : "200ms";
            (string Level, string Query)[] reads =
            [
                ("strong", "consistency=strong"), ("bounded", "maxStaleness=250ms"), ("session", $"consistency=session&session={token}"),
                ("eventual", "consistency=eventual"),
            ];
            foreach ((string level, string query) in reads)
            {
                bool mayLag = level is "bounded" or "eventual";
                Answer read = await _http.SendAsync(new Uri(url, $"/v1/kv/key?{query}&timeout={timeout}"), "GET");
                if (read.Status == 200)
                {
                    Assert.Equal(level, read.Level);
                    Assert.True(level != "strong" || read.StalenessMs == 0, $"{level}: {read.Headers["Kv-Staleness"]}");
                    Assert.True(level != "bounded" || read.StalenessMs <= 250, $"{level}: {read.Headers["Kv-Staleness"]}");
                    Assert.True(!everythingWorks || mayLag || read.Body == value, $"{level} at {url}: {read.Body}");
                    Assert.Contains(read.Body, new[] { "first", "second" });
                    Assert.NotNull(read.Token);
                    continue;
                }

                Assert.True(!everythingWorks || (mayLag && read.Code == "KeyNotFound"), $"{level} at {url}: {read.Status} {read.Body}");
                string[] honest = level switch
                {
                    "strong" => ["NoLeader", "Timeout"],
                    "bounded" => ["TooStale", "KeyNotFound"],
                    "session" => ["Timeout", "NoLeader"], // it has not come here before the leader died
                    _ => ["KeyNotFound"],
                };
                Assert.Contains(read.Code, honest);
                Assert.Equal(read.Status == 503, read.Headers.ContainsKey("Retry-After"));
                Assert.Equal(read.Code == "KeyNotFound", read.Token is not null);
            }
        }
    }

    private async Task AssertAllThereAsync(Uri[] urls, Dictionary<string, string> etags)
    {
        foreach ((string key, string etag) in etags)
        {
            foreach (Uri url in urls)
            {
                using HttpResponseMessage get = await _http.GetAsync(new Uri(url, "/v1/kv/" + key));
                Assert.Equal(key.Replace("key", "value", StringComparison.Ordinal), await get.Content.ReadAsStringAsync());
                Assert.Equal("text/plain; charset=utf-8", get.Content.Headers.ContentType!.ToString());
                Assert.Equal(etag, get.Headers.ETag!.ToString());
                Assert.Equal("strong", get.Headers.GetValues("Kv-Consistency").Single());
                Assert.Equal("0", get.Headers.GetValues("Kv-Staleness").Single());
            }
        }
    }

    private Task<HttpResponseMessage> PutAsync(Uri node, string path, string value, params (string Name, string Value)[] headers)
    {
        HttpRequestMessage request = new(HttpMethod.Put, new Uri(node, path)) { Content = new StringContent(value) };
        foreach ((string name, string text) in headers)
        {
            request.Headers.TryAddWithoutValidation(name, text);
        }

        return _http.SendAsync(request);
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        using CancellationTokenSource deadline = new(TimeSpan.FromSeconds(60));
        using PeriodicTimer poll = new(TimeSpan.FromMilliseconds(25));
        while (!await condition())
        {
            await poll.WaitForNextTickAsync(deadline.Token);
        }
    }

    // With port 0 each node writes down where it really listens.
    // The last column of the banner's table, one line per node: "n1    http://127.0.0.1:7101           16           5".
    private static int GroupsLedInBanner(string output) => output.Split('\n')
        .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        .Where(words => words.Length == 4 && Names.Contains(words[0]) && words[1].StartsWith("http://", StringComparison.Ordinal))
        .Sum(words => int.Parse(words[3], CultureInfo.InvariantCulture));

    private Uri[] Urls() => [.. Names.Select(name =>
    {
        using JsonDocument run = JsonDocument.Parse(File.ReadAllText(Path.Combine(Data, ".run", name + ".json")));
        return new Uri("http://" + run.RootElement.GetProperty("http").GetString());
    })];

    private string WriteConfig(Func<int, int> port, int groups = Groups)
    {
        string path = Path.Combine(_folder, "cluster.json");
        File.WriteAllText(path, JsonSerializer.Serialize(new
        {
            clusterId = "test",
            replicationFactor = 3,
            virtualNodes = 64,
            groups,
            nodes = Names.Select((name, i) => new
            {
                id = name,
                http = $"127.0.0.1:{port(i * 3)}",
                peer = $"127.0.0.1:{port((i * 3) + 1)}",
                binary = $"127.0.0.1:{port((i * 3) + 2)}",
                zone = name,
                weight = 1,
            }),
        }));
        return path;
    }
}
