using System.Net.Sockets;
using System.Security.Cryptography;
using KvStore.Node.Peers;
using KvStore.Node.Tests.Hosting;
using KvStore.Protocol;
using KvStore.Replication;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Node.Tests.Peers;

/// <summary>A peer that has said a proper hello and then talks nonsense.</summary>
public sealed class MalformedPayloadTests
{
    [Fact]
    public async Task A_payload_that_cannot_be_read_costs_the_connection_and_not_the_node()
    {
        using var folder = new TestCluster(nodes: 3);
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        var target = cluster.Nodes[0];
        var gone = cluster.Nodes[1].Store!.Options;
        await cluster.Nodes[1].DisposeAsync();

        var layout = new ClusterLayout(gone.ClusterId, gone.Routing.VirtualNodeCount, gone.Routing.GroupCount, 3, gone.NodeNames);
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(target.Endpoints.Peer.ToEndPoint());
        using var peer = new PeerConnection(socket);
        var answer = await Handshake.DialAsync(
            peer,
            new PeerHello
            {
                ClusterId = gone.ClusterId,
                NodeName = "n2",
                NodeId = new NodeId(2),
                Uuid = gone.Uuid,
                Incarnation = gone.Incarnation + 1,
                Process = 1,
                LayoutHash = SHA256.HashData([.. layout.Hash(), .. RoutingFile.Hash(gone.Routing)]),
                ExpectedPeer = "n1",
            },
            CancellationToken.None);
        Assert.NotNull(answer.Ack);

        var before = target.PeerCounters.MalformedConnections;
        var frames = new FrameWriter();
        frames.Write(FrameKind.PeerBatch, FrameFlags.None, 1, "nonsense"u8);
        await peer.SendAsync(frames.Written, CancellationToken.None);

        using var patience = new CancellationTokenSource(NodeProgram.Patience);
        Assert.False(await peer.ReceiveAsync(0, (_, _) => false, patience.Token));
        await RunningCluster.UntilAsync(
            "the connection is counted", () => Task.FromResult(target.PeerCounters.MalformedConnections == before + 1));
        Assert.False(target.Failed.IsCompleted);
        await cluster.PutAsync(target, "still", "here");
    }
}
