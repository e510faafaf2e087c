using System.Buffers;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using KvStore.Node.Tests.Hosting;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Peers;

/// <summary>
/// D1: who is not a node of the cluster says nothing that counts on its peer ports, though it may have listened to everything that the
/// nodes say to each other.
/// </summary>
public sealed class ClusterSecretTests
{
    private static readonly byte[] SecretBytes = [.. "a secret of thirty-two bytes !!!"u8];
    private static readonly ClusterSecret Secret = new(SecretBytes);

    [Fact]
    public async Task D1_nodes_with_one_secret_work_together_and_a_recorded_handshake_is_worth_nothing()
    {
        await using var nodes = new SeparateNodes(Secret);
        await nodes.StartAsync("n1");
        using var sniffer = new Sniffer((IPEndPoint)nodes["n1"].Endpoints.Peer.ToEndPoint());
        await nodes.StartAsync("n2", seen: node => node.Id == "n1" ? node with { Peer = node.Peer with { Port = sniffer.Port } } : node);
        await nodes.ReadyAsync("n1", "n2");
        await nodes.PutAsync("n2", "k", "v");
        Assert.Equal("v", await nodes.GetAsync("n1", "k"));

        byte[] sniffed = sniffer.Sent();
        using var replay = await HandshakeLine.DialAsync((IPEndPoint)nodes["n1"].Endpoints.Peer.ToEndPoint());
        ReadOnlySequence<byte> rest = new(sniffed);
        (FrameKind kind, byte[] hello) = HandshakeLine.Take(ref rest);
        Assert.Equal(FrameKind.Hello, kind);
        (kind, byte[] proof) = HandshakeLine.Take(ref rest);
        Assert.Equal(FrameKind.HelloProof, kind);
        await replay.SendAsync(FrameKind.Hello, hello);
        Assert.Equal(FrameKind.HelloChallenge, (await replay.ReadAsync()).Kind);
        await replay.SendAsync(FrameKind.HelloProof, proof);
        HelloRefused refused = await replay.RefusalAsync();
        Assert.Equal(HelloRefusal.Unauthenticated, refused.Reason);
        Assert.Contains("n2", refused.Detail, StringComparison.Ordinal);
        await nodes.StopAsync("n2");
        ShowsNothing("the log", string.Join('\n', nodes.Logs.Lines.Select(line => line.Text)));
        ShowsNothing("what was sent", Encoding.Latin1.GetString(sniffed));
    }

    [Fact]
    public async Task D1_nothing_that_can_be_asked_for_shows_the_secret()
    {
        await using var nodes = new SeparateNodes(Secret);
        await nodes.StartAsync("n1", "n2");
        JsonElement document = await nodes.Http.GetFromJsonAsync<JsonElement>(RunningCluster.Url(nodes["n1"], "/openapi/v1.json"));
        string[] paths = [.. document.GetProperty("paths").EnumerateObject()
            .Where(path => path.Value.TryGetProperty("get", out _))
            .Select(path => path.Name.Replace("{key}", "a2V5", StringComparison.Ordinal).Replace("{id}", "1", StringComparison.Ordinal))];
        Assert.Contains("/metrics", paths);
        Assert.Contains(paths, path => path.StartsWith("/v1/", StringComparison.Ordinal));
        foreach (string path in paths)
        {
            using HttpResponseMessage answer = await nodes.Http.GetAsync(RunningCluster.Url(nodes["n1"], path));
            ShowsNothing(path, $"{answer.Headers}{await answer.Content.ReadAsStringAsync()}");
        }

        ShowsNothing("the configuration", $"{nodes.Config} {nodes.Config.Security}");
        ShowsNothing("the log", string.Join('\n', nodes.Logs.Lines.Select(line => line.Text)));
        Assert.ThrowsAny<Xunit.Sdk.XunitException>(() => ShowsNothing("a control", $"key={Convert.ToHexStringLower(SecretBytes)}"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task D1_a_node_without_the_secret_or_with_another_is_refused_by_name(bool hasAnother)
    {
        await using var nodes = new SeparateNodes(Secret);
        await nodes.StartAsync("n1");
        var hello = new PeerHello
        {
            ClusterId = "test",
            NodeName = "n2",
            NodeId = new NodeId(2),
            Uuid = Guid.NewGuid(),
            Incarnation = 1ul << 62,
            Process = 1,
            LayoutHash = new byte[32],
            ExpectedPeer = "n1",
            Credentials = hasAnother ? ClusterSecret.NewNonce() : default,
        };
        using var stranger = await HandshakeLine.DialAsync((IPEndPoint)nodes["n1"].Endpoints.Peer.ToEndPoint());
        var payload = new ArrayBufferWriter<byte>();
        HelloCodec.Encode(payload, hello);
        await stranger.SendAsync(FrameKind.Hello, payload.WrittenSpan.ToArray());
        if (hasAnother)
        {
            Assert.Equal(FrameKind.HelloChallenge, (await stranger.ReadAsync()).Kind);
            await stranger.SendAsync(FrameKind.HelloProof, new byte[ClusterSecret.ProofBytes]);
        }

        HelloRefused refused = await stranger.RefusalAsync();
        Assert.Equal(HelloRefusal.Unauthenticated, refused.Reason);
        Assert.Contains("n2", refused.Detail, StringComparison.Ordinal);
        Assert.Contains("security.clusterSecretFile", refused.Detail, StringComparison.Ordinal);

        // The true n2 is let in afterwards: nothing of the false one was written down.
        await nodes.StartAsync("n2");
        await nodes.ReadyAsync("n1", "n2");
        await nodes.PutAsync("n2", "k", "v");
    }

    /// <summary>Somebody listens at the address of n2 and lets n1 do the work: gives its own random number back, or its own port's.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task D1_a_reflected_number_and_swapped_roles_prove_nothing(bool swapsRoles)
    {
        await using var nodes = new SeparateNodes(Secret);
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        int port = ((IPEndPoint)listener.LocalEndpoint).Port;
        await nodes.StartAsync("n1", seen: node => node.Id == "n2" ? node with { Peer = node.Peer with { Port = port } } : node);
        using var dialled = new HandshakeLine(await listener.AcceptTcpClientAsync());
        (FrameKind kind, byte[] hello) = await dialled.ReadAsync();
        Assert.Equal(FrameKind.Hello, kind);
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(hello, out PeerHello? said));
        if (swapsRoles)
        {
            using var other = await HandshakeLine.DialAsync((IPEndPoint)nodes["n1"].Endpoints.Peer.ToEndPoint());
            await other.SendAsync(FrameKind.Hello, hello);
            await dialled.SendAsync(FrameKind.HelloChallenge, (await other.ReadAsync()).Payload);
            await other.SendAsync(FrameKind.HelloProof, (await dialled.ReadAsync()).Payload);
            Assert.Equal(HelloRefusal.WrongNode, (await other.RefusalAsync()).Reason);
            return;
        }

        await dialled.SendAsync(FrameKind.HelloChallenge, said!.Credentials.ToArray());
        byte[] proof = (await dialled.ReadAsync()).Payload;
        var ack = new ArrayBufferWriter<byte>();
        HelloCodec.Encode(ack, new HelloAck
        {
            Protocol = 1, ClusterId = "test", NodeName = "n2", NodeId = new NodeId(2), Uuid = Guid.NewGuid(), Incarnation = 1,
            LayoutHash = said.LayoutHash, Process = 7,
        });
        await dialled.SendAsync(FrameKind.HelloAck, ack.WrittenSpan.ToArray());
        await dialled.SendAsync(FrameKind.HelloProof, proof);
        Assert.True(await dialled.IsClosedAsync());
        await RunningCluster.UntilAsync("n1 says why it does not use the connection", () => Task.FromResult(
            nodes.Logs.Lines.Any(line => line.Text.Contains("does not prove that it knows the cluster secret", StringComparison.Ordinal))));
    }

    [Fact]
    public async Task D1_beyond_loopback_no_node_starts_without_a_secret()
    {
        using var cluster = new TestCluster(port: place => 17490 + place);
        cluster.Replace("127.0.0.1:17494", "192.0.2.1:17494");
        cluster.Replace("\"raft\":", "\"security\":{\"insecure\":true},\"raft\":");
        (int exitCode, _, string error) = await NodeProgram.RunAsync(cluster, ["--node", "n1"]);
        Assert.Equal(2, exitCode);
        Assert.Contains("192.0.2.1:17494", error, StringComparison.Ordinal);
        Assert.Contains("security.clusterSecretFile", error, StringComparison.Ordinal);
        Assert.Single(error.Trim().Split('\n'));
    }

    [Fact]
    [System.Runtime.Versioning.UnsupportedOSPlatform("windows")]
    public async Task D1_the_secret_is_made_by_the_one_process_start_and_shown_by_nothing()
    {
        using var cluster = new TestCluster();
        using (await Processes.NodeProcess.StartAsync(cluster.File, cluster.Data, "serving:"))
        {
        }

        string file = Path.Combine(cluster.Data, "cluster-secret");
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
        Assert.Equal(64, File.ReadAllText(file).Trim().Length);
        var environment = new Dictionary<string, string> { ["KVSTORE__Security__ClusterSecret"] = "never-to-be-seen-by-anybody" };
        (int exitCode, string output, string error) = await NodeProgram.RunAsync(cluster, ["--print-config"], environment);
        Assert.Equal(0, exitCode);
        Assert.DoesNotContain("never-to-be-seen", output + error, StringComparison.Ordinal);
        environment["KVSTORE__Security__ClusterSecret"] = "too-short";
        (exitCode, output, error) = await NodeProgram.RunAsync(cluster, ["--print-config"], environment);
        Assert.Equal(2, exitCode);
        Assert.DoesNotContain("too-short", output + error, StringComparison.Ordinal);
    }

    /// <summary>Neither as it is nor in a spelling that bytes are usually given.</summary>
    private static void ShowsNothing(string where, string text)
    {
        string[] spellings =
        [
            Encoding.ASCII.GetString(SecretBytes), "thirty-two", Convert.ToBase64String(SecretBytes), Convert.ToHexString(SecretBytes),
            Convert.ToHexStringLower(SecretBytes), string.Join(",", SecretBytes), Encoding.ASCII.GetString(SecretBytes).Replace(" ", "%20", StringComparison.Ordinal),
        ];
        Assert.All(spellings, spelling => Assert.False(text.Contains(spelling, StringComparison.Ordinal), $"{where} shows the secret"));
    }

    /// <summary>Passes everything on and remembers what the side that dialled has sent on its first connection.</summary>
    private sealed class Sniffer : IDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly List<byte> _sent = [];
        private readonly IPEndPoint _target;
        private int _connections;

        public Sniffer(IPEndPoint target)
        {
            _target = target;
            _listener.Start();
            _ = AcceptAsync();
        }

        public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        public byte[] Sent()
        {
            lock (_sent)
            {
                return [.. _sent];
            }
        }

        public void Dispose() => _listener.Dispose();

        private async Task AcceptAsync()
        {
            try
            {
                while (true)
                {
                    TcpClient near = await _listener.AcceptTcpClientAsync();
                    bool isFirst = Interlocked.Increment(ref _connections) == 1;
                    _ = PassOnAsync(near, isFirst);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // the way this loop ends
            }
        }

        private async Task PassOnAsync(TcpClient near, bool isFirst)
        {
            using (near)
            using (var far = new TcpClient())
            {
                await far.ConnectAsync(_target);
                await Task.WhenAny(CopyAsync(near, far, isFirst), CopyAsync(far, near, false));
            }
        }

        private async Task CopyAsync(TcpClient from, TcpClient to, bool keep)
        {
            byte[] buffer = new byte[4096];
            try
            {
                while (await from.GetStream().ReadAsync(buffer) is > 0 and var count)
                {
                    if (keep)
                    {
                        lock (_sent)
                        {
                            _sent.AddRange(buffer.AsSpan(0, count));
                        }
                    }

                    await to.GetStream().WriteAsync(buffer.AsMemory(0, count));
                }
            }
            catch (Exception e) when (e is IOException or ObjectDisposedException)
            {
                // the connection is over
            }
        }
    }
}
