using System.Buffers;
using System.Net;
using System.Net.Sockets;
using KvStore.Node.Tests.Hosting;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Peers;

/// <summary>D1: a number of starts that cannot be true is not believed, or the node it is said of would be an old copy of itself for ever.</summary>
public sealed class FalseIncarnationTests
{
    [Theory]
    [InlineData(false, 1ul << 62)]
    [InlineData(true, 1ul << 62)]
    [InlineData(false, (1ul << 16) + 1)]
    public async Task D1_a_node_of_which_somebody_said_an_impossible_incarnation_is_let_in_afterwards(bool answers, ulong incarnation)
    {
        await using var nodes = new SeparateNodes();
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        int port = ((IPEndPoint)listener.LocalEndpoint).Port;
        await nodes.StartAsync("n1", seen: node => node.Id == "n2" ? node with { Peer = node.Peer with { Port = port } } : node);
        using var dialled = new HandshakeLine(await listener.AcceptTcpClientAsync());
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode((await dialled.ReadAsync()).Payload, out PeerHello? said));
        var payload = new ArrayBufferWriter<byte>();
        if (answers)
        {
            HelloCodec.Encode(payload, new HelloAck
            {
                Protocol = 1, ClusterId = "test", NodeName = "n2", NodeId = new NodeId(2), Uuid = Guid.NewGuid(), Incarnation = incarnation,
                LayoutHash = said!.LayoutHash, Process = 7,
            });
            await dialled.SendAsync(FrameKind.HelloAck, payload.WrittenSpan.ToArray());
            Assert.Equal(HelloRefusal.IncarnationTooHigh, (await dialled.RefusalAsync()).Reason);
        }
        else
        {
            HelloCodec.Encode(payload, said! with { NodeName = "n2", NodeId = new NodeId(2), Uuid = Guid.NewGuid(), Incarnation = incarnation, ExpectedPeer = "n1", Starts = [] });
            using var stranger = await HandshakeLine.DialAsync((IPEndPoint)nodes["n1"].Endpoints.Peer.ToEndPoint());
            await stranger.SendAsync(FrameKind.Hello, payload.WrittenSpan.ToArray());
            HelloRefused refused = await stranger.RefusalAsync();
            Assert.Equal(HelloRefusal.IncarnationTooHigh, refused.Reason);
            Assert.Contains($"{incarnation}", refused.Detail, StringComparison.Ordinal);
        }

        string metrics = await nodes.Http.GetStringAsync(RunningCluster.Url(nodes["n1"], "/metrics"));
        Assert.Contains("kvstore_peer_incarnations_refused_total 1", metrics, StringComparison.Ordinal);
        await nodes.StopAsync("n1");
        await nodes.StartAsync("n1", "n2");
        await nodes.PutAsync("n2", "k", "v");
    }
}
