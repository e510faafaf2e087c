using System.Net.Http.Json;
using System.Net;
using System.Text.Json;
using KvStore.Client;
using KvStore.Golden;
using KvStore.Node.Tests.Hosting;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Processes;

/// <summary>Data folders of commit 84ebed4, opened by the program of this build.</summary>
public sealed class RecordedFoldersTests : IDisposable
{
    private const string Serving = "serving:";

    private readonly string _folder = Directory.CreateTempSubdirectory("kvstore-").FullName;
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(30) };

    private string Data => Path.Combine(_folder, "data");

    [Fact]
    public async Task The_folder_of_a_node_that_was_stopped()
    {
        RecordedBuild.Unpack("one-node.tar.br", Data);
        int[] ports = FreePorts.Take(3);
        string config = WriteConfig("golden-one", ["n1"], ports);
        Uri url = new($"http://127.0.0.1:{ports[0]}");
        using (NodeProcess node = await NodeProcess.StartAsync(config, Data, Serving, "--node", "n1"))
        {
            await AssertKnownKeysAsync(url, ports[2], etagOfGreeting: "\"117691379680411648\"");

            // Of the binary requests.
            Assert.Equal("95", await _http.GetStringAsync(new Uri(url, "/v1/kv/counter?timeout=20s")));
            Assert.Equal("1", await _http.GetStringAsync(new Uri(url, "/v1/kv/%7Bt%7Dn?timeout=20s")));
            Assert.Equal(HttpStatusCode.NotFound, (await _http.GetAsync(new Uri(url, "/v1/kv/binary?timeout=20s"))).StatusCode);

            await AssertTakesWritesAsync(url);
            Assert.Equal(0, (await node.InterruptAsync()).ExitCode);
        }

        using NodeProcess again = await NodeProcess.StartAsync(config, Data, Serving, "--node", "n1");
        await AssertKnownKeysAsync(url, ports[2], etagOfGreeting: "\"117691379680411648\"", visits: 4);
    }

    [Fact]
    public async Task The_folders_of_three_nodes_that_were_killed()
    {
        RecordedBuild.Unpack("three-nodes.tar.br", Data);
        string[] names = ["n1", "n2", "n3"];
        int[] ports = FreePorts.Take(9);
        string config = WriteConfig("golden-three", names, ports);
        NodeProcess[] nodes = await Task.WhenAll(names.Select(name => NodeProcess.StartAsync(config, Data, Serving, "--node", name)));
        try
        {
            for (int i = 0; i < 3; i++)
            {
                await AssertKnownKeysAsync(new Uri($"http://127.0.0.1:{ports[i * 3]}"), ports[(i * 3) + 2], etagOfGreeting: "\"117691379937705984\"");
            }

            await AssertTakesWritesAsync(new Uri($"http://127.0.0.1:{ports[3]}"));
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

    private async Task AssertKnownKeysAsync(Uri url, int binaryPort, string etagOfGreeting, int visits = 3)
    {
        using HttpResponseMessage greeting = await _http.GetAsync(new Uri(url, "/v1/kv/greeting?timeout=20s"));
        Assert.Equal("hello from 84ebed4", await greeting.Content.ReadAsStringAsync());
        Assert.Equal("text/plain; charset=utf-8", greeting.Content.Headers.ContentType!.ToString());
        Assert.Equal(etagOfGreeting, greeting.Headers.ETag!.ToString());
        Assert.Equal(HttpStatusCode.NotFound, (await _http.GetAsync(new Uri(url, "/v1/kv/gone?timeout=20s"))).StatusCode);
        Assert.Equal($"{visits}", await _http.GetStringAsync(new Uri(url, "/v1/kv/visits?timeout=20s")));
        Assert.Equal("1", await _http.GetStringAsync(new Uri(url, "/v1/kv/%7Bb%7Done?timeout=20s")));
        Assert.Equal("2", await _http.GetStringAsync(new Uri(url, "/v1/kv/%7Bb%7Dtwo?timeout=20s")));
        Assert.Equal("first", await _http.GetStringAsync(new Uri(url, "/v1/kv/once?timeout=20s")));
        Assert.Equal("{}", await _http.GetStringAsync(new Uri(url, "/v1/kv/typed?timeout=20s")));

        await using KvConnection connection = await KvConnection.ConnectAsync("127.0.0.1", binaryPort);
        for (int i = 0; i < 20; i++)
        {
            KvReply reply = await connection.SendAsync(Get($"key-{i}"));
            Assert.Equal((ErrorCode.None, $"value-{i}"), (reply.Code, System.Text.Encoding.UTF8.GetString(Assert.IsType<Found>(reply.Result).Value.Span)));
        }
    }

    private async Task AssertTakesWritesAsync(Uri url)
    {
        using HttpResponseMessage incremented = await _http.PostAsync(new Uri(url, "/v1/incr/visits?timeout=20s"), null);
        Assert.Equal(4, (await incremented.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("value").GetInt64());
    }

    private static KvRequest Get(string key) =>
        new() { Operation = new Get(System.Text.Encoding.UTF8.GetBytes(key)), TimeoutMs = 20_000 };

    private string WriteConfig(string cluster, string[] names, int[] ports)
    {
        string path = Path.Combine(_folder, "cluster.json");
        File.WriteAllText(path, JsonSerializer.Serialize(new
        {
            clusterId = cluster,
            replicationFactor = names.Length,
            virtualNodes = 16,
            groups = 2,
            nodes = names.Select((name, i) => new
            {
                id = name,
                http = $"127.0.0.1:{ports[i * 3]}",
                peer = $"127.0.0.1:{ports[(i * 3) + 1]}",
                binary = $"127.0.0.1:{ports[(i * 3) + 2]}",
                zone = $"z{i + 1}",
                weight = 1,
            }),
        }));
        return path;
    }
}
