using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using KvStore.Node.Tests.Hosting;
using KvStore.Node.Tests.Processes;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Doors;

/// <summary>More connections than a node has places for, on real processes: who is let in before and after is served, and nobody ends.</summary>
public sealed class FullHouseTests : IDisposable
{
    private const string Serving = "serving:";

    private static readonly string[] Names = ["n1", "n2", "n3"];

    private readonly string _folder = Directory.CreateTempSubdirectory("kvstore-").FullName;
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(10) };
    private readonly int[] _ports = FreePorts.Take(9);
    private readonly Dictionary<string, NodeProcess> _nodes = [];
    private readonly List<Socket> _idle = [];

    [Fact]
    public async Task B4_more_connections_than_a_process_has_descriptors_are_no_end()
    {
        await StartAsync("n1", "n3");
        await StartAsync("n2", descriptors: 1024);
        await ReadyAsync(Names);
        using Socket admitted = await GreetAsync("n2");
        await DialAsync(1000, Http("n2"));
        await DialAsync(1000, Binary("n2"));
        await DialAsync(300, Peer("n2"));

        // An admitted client, a new one, and a node that comes back.
        await StopAsync("n1");
        await StartAsync("n1");
        await ReadyAsync("n1");
        Assert.True(await PingAsync(admitted));
        await UntilAsync("n2 takes snapshots", async () =>
        {
            await PutAsync("n2", Random.Shared.Next());
            return await CounterAsync("n2", "kvstore_snapshots_taken_total") > 0;
        });
        AssertAllRun();
    }

    [Fact]
    public async Task D2_idle_connections_keep_nobody_out()
    {
        await StartAsync(Names);
        await ReadyAsync(Names);
        await DialAsync(8300, Binary("n2"));
        await DialAsync(256, Peer("n2"));
        await StopAsync("n1");
        await StartAsync("n1");
        await ReadyAsync("n1");
        for (int i = 0; i < 40; i++)
        {
            // Every group's leader is asked by every node: what n2 leads comes to it through its binary port.
            using HttpResponseMessage put = await _http.PutAsync(Url(Names[i % 3], $"/v1/kv/key{i}?timeout=5s"), new StringContent("v"));
            Assert.True(put.IsSuccessStatusCode, await put.Content.ReadAsStringAsync());
        }

        Close();
        await DialAsync(8192, Http("n2"));
        using HttpResponseMessage live = await _http.GetAsync(Url("n2", "/health/live"));
        Assert.Equal(HttpStatusCode.OK, live.StatusCode);
        using HttpResponseMessage get = await _http.GetAsync(Url("n2", "/v1/kv/key1"));
        Assert.Equal(HttpStatusCode.OK, get.StatusCode);
        AssertAllRun();
    }

    public void Dispose()
    {
        Close();
        foreach (NodeProcess node in _nodes.Values)
        {
            node.Dispose();
        }

        _http.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private int Http(string node) => _ports[3 * Array.IndexOf(Names, node)];

    private int Peer(string node) => Http(node) is var port ? _ports[Array.IndexOf(_ports, port) + 1] : 0;

    private int Binary(string node) => _ports[(3 * Array.IndexOf(Names, node)) + 2];

    private Uri Url(string node, string path) => new($"http://127.0.0.1:{Http(node)}{path}");

    private Task StartAsync(params string[] names) => Task.WhenAll(names.Select(name => StartAsync(name, descriptors: 0)));

    private async Task StartAsync(string name, int descriptors)
    {
        string config = Path.Combine(_folder, "cluster.json");
        if (!File.Exists(config))
        {
            File.WriteAllText(config, JsonSerializer.Serialize(new
            {
                clusterId = "test",
                virtualNodes = 16,
                groups = 2,
                nodes = Names.Select(node => new
                {
                    id = node,
                    http = $"127.0.0.1:{Http(node)}",
                    peer = $"127.0.0.1:{Peer(node)}",
                    binary = $"127.0.0.1:{Binary(node)}",
                }),
            }));
        }

        string data = Path.Combine(_folder, "data");
        NodeProcess started = await (descriptors > 0
            ? NodeProcess.StartWithinAsync(descriptors, config, data, Serving, "--node", name)
            : NodeProcess.StartAsync(config, data, Serving, "--node", name));
        lock (_nodes)
        {
            _nodes[name] = started;
        }
    }

    private async Task PutAsync(string node, int number)
    {
        using var value = new ByteArrayContent(new byte[500_000]);
        try
        {
            using HttpResponseMessage put = await _http.PutAsync(Url(node, $"/v1/kv/k{number}?timeout=8s"), value);
            Assert.True(put.IsSuccessStatusCode, await put.Content.ReadAsStringAsync());
        }
        catch (HttpRequestException)
        {
            AssertAllRun();
            throw;
        }
    }

    private async Task StopAsync(string name)
    {
        await _nodes[name].SignalAsync("TERM");
        _nodes.Remove(name);
    }

    private Task ReadyAsync(params string[] names) => UntilAsync($"{string.Join(", ", names)} ready", async () =>
    {
        foreach (string name in names)
        {
            AssertAllRun();
            using HttpResponseMessage ready = await _http.GetAsync(Url(name, "/health/ready"));
            if (!ready.IsSuccessStatusCode)
            {
                return false;
            }
        }

        return true;
    });

    private void AssertAllRun() => Assert.All(_nodes, node => Assert.False(node.Value.HasEnded, $"{node.Key} has ended:\n{node.Value.Output}"));

    private async Task<double> CounterAsync(string node, string name)
    {
        string text = await _http.GetStringAsync(Url(node, "/metrics"));
        string line = text.Split('\n').First(line => line.StartsWith(name + " ", StringComparison.Ordinal));
        return double.Parse(line[(name.Length + 1)..], CultureInfo.InvariantCulture);
    }

    /// <summary>Connections that say nothing. One that the node closes is closed; the others are kept open.</summary>
    private async Task DialAsync(int count, int port)
    {
        foreach (int[] some in Enumerable.Range(0, count).Chunk(100))
        {
            Socket[] dialled = await Task.WhenAll(some.Select(async _ =>
            {
                Socket socket = new(SocketType.Stream, ProtocolType.Tcp);
                try
                {
                    await socket.ConnectAsync(IPAddress.Loopback, port).WaitAsync(TimeSpan.FromSeconds(20));
                }
                catch (SocketException)
                {
                    // refused in the kernel: as good as closed
                }

                return socket;
            }));
            _idle.AddRange(dialled);
        }
    }

    private void Close()
    {
        _idle.ForEach(socket => socket.Dispose());
        _idle.Clear();
    }

    private async Task<Socket> GreetAsync(string node)
    {
        Socket socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(IPAddress.Loopback, Binary(node));
        FrameWriter frames = new();
        frames.Begin(FrameKind.Hello, FrameFlags.None, 0);
        HelloCodec.Encode(frames, new ClientHello { ClusterId = "test" });
        Assert.True(frames.TryEnd(Limits.MaxHelloBytes));
        await socket.SendAsync(frames.Written);
        Assert.True(await socket.ReceiveAsync(new byte[4096]) > FrameHeader.SizeBytes);
        return socket;
    }

    private static async Task<bool> PingAsync(Socket socket)
    {
        FrameWriter frames = new();
        frames.Write(FrameKind.Ping, FrameFlags.None, 7, []);
        await socket.SendAsync(frames.Written);
        return await socket.ReceiveAsync(new byte[4096]) == FrameHeader.SizeBytes;
    }

    private static async Task UntilAsync(string what, Func<Task<bool>> condition)
    {
        for (long until = Environment.TickCount64 + 60_000; ;)
        {
            try
            {
                if (await condition())
                {
                    return;
                }
            }
            catch (HttpRequestException) when (Environment.TickCount64 < until)
            {
                // not yet
            }

            Assert.True(Environment.TickCount64 < until, $"waited in vain for: {what}");
            await Task.Delay(100);
        }
    }
}
