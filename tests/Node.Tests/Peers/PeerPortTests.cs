using System.Net;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Security.Cryptography;
using KvStore.Node.Hosting;
using KvStore.Node.Peers;
using KvStore.Node.Tests.Hosting;
using KvStore.Protocol;
using KvStore.Replication;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Node.Tests.Peers;

/// <summary>Strangers on the peer port of a running node: each is disconnected and counted, and the node serves on.</summary>
public sealed class PeerPortTests(PeerPortTests.Fixture fixture) : IClassFixture<PeerPortTests.Fixture>, IAsyncLifetime
{
    private readonly RunningCluster _cluster = fixture.Cluster;
    private PeerCounters _before;

    private NodeHost Target => _cluster.Nodes[0];

    public Task InitializeAsync()
    {
        _before = Target.PeerCounters;
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        await _cluster.PutAsync(Target, "still", "here");
        Assert.Equal("here", await _cluster.GetAsync(_cluster.Nodes[1], "still"));
        Assert.All(_cluster.Nodes, node => Assert.False(node.Failed.IsCompleted));
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\n\r\n")]
    [InlineData("KV\u0001\u0001garbage garbage garbage garbage")]
    public async Task Garbage_closes_the_connection_and_is_counted(string text)
    {
        using var stranger = await DialAsync();
        await stranger.GetStream().WriteAsync(System.Text.Encoding.Latin1.GetBytes(text));
        await ClosedAsync(stranger);
        await CountedAsync(counters => counters.MalformedConnections);
    }

    [Fact]
    public async Task A_frame_above_the_limit_is_refused_by_its_header()
    {
        using var stranger = await DialAsync();
        var header = new byte[FrameHeader.SizeBytes];
        new FrameHeader(FrameKind.Hello, FrameFlags.None, Limits.MaxPeerFrameBytes + 1, 0, 0).WriteTo(header);
        await stranger.GetStream().WriteAsync(header);
        await ClosedAsync(stranger);
        await CountedAsync(counters => counters.MalformedConnections);
    }

    [Fact]
    public async Task The_hello_of_a_client_does_not_belong_here()
    {
        var hello = new System.Buffers.ArrayBufferWriter<byte>();
        HelloCodec.Encode(hello, new ClientHello { ClusterId = "test" });
        using var stranger = new HandshakeLine(await DialAsync());
        await stranger.SendAsync(FrameKind.Hello, hello.WrittenSpan.ToArray());
        var refused = await stranger.RefusalAsync();
        Assert.Equal(HelloRefusal.Malformed, refused.Reason);
        Assert.Contains("peer port", refused.Detail, StringComparison.Ordinal);
        Assert.True(await stranger.IsClosedAsync());
        await CountedAsync(counters => counters.MalformedConnections);
    }

    [Theory]
    [InlineData(HelloRefusal.WrongCluster)]
    [InlineData(HelloRefusal.WrongNode)]
    [InlineData(HelloRefusal.LayoutMismatch)]
    [InlineData(HelloRefusal.UnknownNode)]
    [InlineData(HelloRefusal.UuidChanged)]
    [InlineData(HelloRefusal.IncarnationTooOld)]
    [InlineData(HelloRefusal.ProtocolVersion)]
    public async Task A_wrong_hello_is_answered_with_its_reason(HelloRefusal reason)
    {
        // Node 2 as the target knows it; each case changes one thing.
        var genuine = new PeerHello
        {
            ClusterId = "test",
            NodeName = "n2",
            NodeId = new NodeId(2),
            Uuid = _cluster.Nodes[1].Store!.Options.Uuid,
            Incarnation = _cluster.Nodes[1].Store!.Options.Incarnation,
            Process = 1, // another process than the one that is running
            LayoutHash = SHA256.HashData(
                [.. new ClusterLayout("test", 64, 4, 3, ["n1", "n2", "n3"]).Hash(), .. RoutingFile.Hash(_cluster.Nodes[1].Store!.Routing)]),
            ExpectedPeer = "n1",
        };
        var hello = reason switch
        {
            HelloRefusal.WrongCluster => genuine with { ClusterId = "other" },
            HelloRefusal.WrongNode => genuine with { ExpectedPeer = "n3" },
            HelloRefusal.LayoutMismatch => genuine with { LayoutHash = new byte[32] },
            HelloRefusal.UnknownNode => genuine with { NodeName = "n9" },
            HelloRefusal.UuidChanged => genuine with { Uuid = Guid.NewGuid(), Incarnation = 99 },
            HelloRefusal.IncarnationTooOld => genuine,
            _ => genuine with { ProtocolMin = ProtocolVersion.Max + 1, ProtocolMax = ProtocolVersion.Max + 1 },
        };

        using var stranger = await DialAsync();
        var answer = await Handshake.DialAsync(new Duplex(stranger.GetStream()), hello, CancellationToken.None);
        Assert.Equal(reason, answer.Refused?.Reason);
        Assert.NotEmpty(answer.Refused!.Detail);
        await CountedAsync(counters => counters.HellosRefused);
    }

    /// <summary>
    /// A refusal repeats what it refuses, and with a name as long as a hello can be it was longer than one: the listener failed, and with it
    /// the node.
    /// </summary>
    [Theory]
    [InlineData(HelloRefusal.WrongCluster)]
    [InlineData(HelloRefusal.WrongNode)]
    [InlineData(HelloRefusal.LayoutMismatch)]
    [InlineData(HelloRefusal.ProtocolVersion)]
    public async Task A_hello_with_names_as_long_as_a_hello_costs_nobody_more_than_its_connection(HelloRefusal reason)
    {
        string endless = new('x', 4000);
        var hello = new PeerHello
        {
            ClusterId = reason == HelloRefusal.WrongCluster ? endless : "test",
            NodeName = reason is HelloRefusal.LayoutMismatch or HelloRefusal.ProtocolVersion ? $"n2\nFTL {endless}" : "n2",
            NodeId = new NodeId(2),
            Uuid = Guid.NewGuid(),
            Incarnation = 1,
            Process = 1,
            LayoutHash = new byte[32],
            ExpectedPeer = reason == HelloRefusal.WrongNode ? endless : "n1",
            ProtocolMin = reason == HelloRefusal.ProtocolVersion ? ProtocolVersion.Max + 1 : ProtocolVersion.Min,
            ProtocolMax = ProtocolVersion.Max + 1,
        };
        using var stranger = await DialAsync();
        var answer = await Handshake.DialAsync(new Duplex(stranger.GetStream()), hello, CancellationToken.None);
        Assert.Equal(reason, answer.Refused?.Reason);
        Assert.InRange(answer.Refused!.Detail.Length, 1, HelloRefused.MaxDetailLength);
        Assert.DoesNotContain('\n', answer.Refused.Detail);
        await CountedAsync(counters => counters.HellosRefused);
        Assert.False(Target.Failed.IsCompleted);
    }

    private async Task<TcpClient> DialAsync()
    {
        var client = new TcpClient();
        await client.ConnectAsync((IPEndPoint)Target.Endpoints.Peer.ToEndPoint());
        return client;
    }

    private static async Task ClosedAsync(TcpClient stranger)
    {
        using var patience = new CancellationTokenSource(NodeProgram.Patience);
        try
        {
            Assert.Equal(0, await stranger.GetStream().ReadAsync(new byte[1], patience.Token));
        }
        catch (IOException)
        {
            // reset instead of closed: what we sent was not all read
        }
    }

    private Task CountedAsync(Func<PeerCounters, long> counter) => RunningCluster.UntilAsync(
        "the connection is counted", () => Task.FromResult(counter(Target.PeerCounters) == counter(_before) + 1));

    public sealed class Fixture : IAsyncLifetime, IDisposable
    {
        private readonly TestCluster _folder = new(nodes: 3);

        internal RunningCluster Cluster { get; private set; } = null!;

        public async Task InitializeAsync() => Cluster = await RunningCluster.StartAsync(_folder, NullLoggerFactory.Instance);

        public async Task DisposeAsync() => await Cluster.DisposeAsync();

        public void Dispose() => _folder.Dispose();
    }

    private sealed class Duplex(Stream stream) : IDuplexPipe
    {
        public PipeReader Input { get; } = PipeReader.Create(stream);

        public PipeWriter Output { get; } = PipeWriter.Create(stream);
    }
}
