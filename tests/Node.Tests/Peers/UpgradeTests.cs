using System.Net.Sockets;
using System.Security.Cryptography;
using KvStore.Node.Peers;
using KvStore.Node.Tests.Hosting;
using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Node.Tests.Peers;

/// <summary>Two builds in one cluster, over real sockets and disks.</summary>
public sealed class UpgradeTests
{
    [Fact]
    public async Task Two_builds_serve_together_and_the_level_rises_when_the_last_node_is_upgraded()
    {
        using var folder = new TestCluster(nodes: 3);
        using var logs = new LogRecorder();
        await using (var mixed = await RunningCluster.StartAsync(folder, logs, level: name => name == "n3" ? FeatureLevel.First : FeatureLevel.Max))
        {
            foreach (var node in mixed.Nodes)
            {
                await mixed.PutAsync(node, $"from-{node.Name}", node.Name);
            }

            Assert.Equal("n3", await mixed.GetAsync(mixed.Nodes[0], "from-n3"));
            Assert.Equal("n1", await mixed.GetAsync(mixed.Nodes[2], "from-n1"));
            Assert.All(mixed.Nodes, node => Assert.All(node.Store!.Groups, group => Assert.Equal(FeatureLevel.First, group.Level)));
            Assert.All(mixed.Nodes, node => Assert.False(node.Failed.IsCompleted));
        }

        Assert.All(["n1", "n2", "n3"], name => Assert.Equal(1, VersionOfIdentity(folder, name)));
        await using (var upgraded = await RunningCluster.StartAsync(folder, logs))
        {
            await AllAtMaxAsync(upgraded);
            Assert.Equal("n3", await upgraded.GetAsync(upgraded.Nodes[0], "from-n3"));
            await upgraded.PutAsync(upgraded.Nodes[2], "after", "upgrade");
        }

        Assert.All(["n1", "n2", "n3"], name => Assert.Equal(2, VersionOfIdentity(folder, name)));

        // The older build does not start in its folder any more, and says why.
        var refused = await Assert.ThrowsAsync<IdentityException>(
            () => RunningCluster.StartAsync(folder, logs, level: name => name == "n3" ? FeatureLevel.First : FeatureLevel.Max));
        Assert.Contains("start a newer program", refused.Message);
    }

    [Fact]
    public async Task An_older_build_is_refused_by_name_whoever_dials_and_nobody_flaps()
    {
        using var folder = new TestCluster(nodes: 3);
        using var logs = new LogRecorder();
        await using var cluster = await RunningCluster.StartAsync(folder, logs);
        await AllAtMaxAsync(cluster);
        var target = cluster.Nodes[0];
        var gone = cluster.Nodes[1];
        var options = gone.Store!.Options;
        await gone.DisposeAsync();

        // It dials us, again and again: refused each time, with one line in the log.
        var layout = new ClusterLayout(options.ClusterId, options.Routing.VirtualNodeCount, options.Routing.GroupCount, 3, options.NodeNames);
        var hash = SHA256.HashData([.. layout.Hash(), .. RoutingFile.Hash(options.Routing)]);
        for (var dialled = 0; dialled < 6; dialled++)
        {
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(target.Endpoints.Peer.ToEndPoint());
            using (var peer = new PeerConnection(socket))
            {
                var hello = new PeerHello
                {
                    ClusterId = options.ClusterId,
                    NodeName = "n2",
                    NodeId = new NodeId(2),
                    Uuid = options.Uuid,
                    Incarnation = options.Incarnation + 1,
                    Process = 1,
                    LayoutHash = hash,
                    ExpectedPeer = "n1",
                    Level = FeatureLevel.First,
                };
                var answer = await Handshake.DialAsync(peer, hello, CancellationToken.None);
                Assert.Equal(HelloRefusal.ProtocolVersion, answer.Refused?.Reason);
                Assert.Contains("upgrade n2", answer.Refused!.Detail);
            }
        }

        Assert.Single(logs.Lines, line => line.Id == 204 && line.Text.Contains("upgrade n2", StringComparison.Ordinal));

        // We dial it: it lets us in, and we hang up, again and again but with one line in the log.
        var port = new TcpListener((System.Net.IPEndPoint)gone.Endpoints.Peer.ToEndPoint());
        port.Start();
        try
        {
            for (var dialled = 0; dialled < 6; dialled++)
            {
                using var patience = new CancellationTokenSource(NodeProgram.Patience);
                using var peer = new PeerConnection(await port.AcceptSocketAsync(patience.Token));
                var received = await Handshake.ReceiveAsync(peer.Input, patience.Token);
                var ack = new HelloAck
                {
                    Protocol = 1,
                    ClusterId = options.ClusterId,
                    NodeName = "n2",
                    NodeId = new NodeId(2),
                    Uuid = options.Uuid,
                    Incarnation = options.Incarnation + 1,
                    LayoutHash = hash,
                    Level = FeatureLevel.First,
                };
                Assert.NotNull(received.Peer);
                await Handshake.AcknowledgeAsync(peer.Output, ack, patience.Token);
                Assert.False(await peer.ReceiveAsync(Limits.MaxPeerFrameBytes, (_, _) => true, patience.Token));
            }
        }
        finally
        {
            port.Stop();
        }

        var lines = logs.Lines.Where(line => line.Id == 207).ToArray();
        Assert.InRange(lines.Length, 1, 2); // n1 and n3 dial, each of them has something to say once
        Assert.All(lines, line => Assert.Contains("upgrade n2", line.Text));
        Assert.All([target, cluster.Nodes[2]], node => Assert.False(node.Failed.IsCompleted));
        await cluster.PutAsync(target, "still", "here");
    }

    private static Task AllAtMaxAsync(RunningCluster cluster) => RunningCluster.UntilAsync(
        "every group is raised on every node",
        () => Task.FromResult(cluster.Nodes.All(node => node.Store!.Groups.All(group => group.Level == FeatureLevel.Max))));

    private static int VersionOfIdentity(TestCluster folder, string node) => File.ReadAllBytes(Path.Combine(folder.Data, node, "identity"))[8];
}
