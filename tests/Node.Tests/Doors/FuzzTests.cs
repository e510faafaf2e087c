using System.Net;
using KvStore.LoadTests.Fuzz;
using KvStore.Node.Tests.Hosting;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Doors;

/// <summary>scripts/fuzz.sh in small: nobody ends, nothing throws, and everybody else is served.</summary>
public sealed class FuzzTests
{
    private const int Inputs = 1500;

    /// <summary>Requests and connections that failed in a way nobody had thought of.</summary>
    private static readonly int[] Unhandled = [3001, 3103];

    [Theory]
    [InlineData("rest", false)]
    [InlineData("binary", false)]
    [InlineData("peer", false)]
    [InlineData("peer", true)]
    public async Task Changed_and_made_up_bytes_do_no_harm(string port, bool withSecret)
    {
        ClusterSecret? secret = withSecret ? new ClusterSecret("sixteen bytes at least"u8) : null;
        using TestCluster folder = new();
        using LogRecorder logs = new();
        await using RunningCluster cluster = await RunningCluster.StartAsync(
            folder, logs, deviate: (_, config) => config with { Security = config.Security with { ClusterSecret = secret } });
        var at = cluster.Nodes[0].Endpoints;
        FuzzPort fuzz = port switch
        {
            "rest" => new RestFuzz(new IPEndPoint(IPAddress.Loopback, at.Http.Port)),
            "binary" => new BinaryFuzz(new IPEndPoint(IPAddress.Loopback, at.Binary.Port)),
            _ => new PeerFuzz(new IPEndPoint(IPAddress.Loopback, at.Peer.Port), "test", ["n1"], secret),
        };
        int sent = 0;
        await Task.WhenAll(Enumerable.Range(0, 8).Select(async worker =>
        {
            await Task.Yield();
            Mutator mutator = new(seed: 1000 + worker);
            while (Volatile.Read(ref sent) < Inputs)
            {
                Interlocked.Add(ref sent, await fuzz.ConnectAsync(mutator, CancellationToken.None));
            }
        }));

        await cluster.PutAsync(cluster.Nodes[0], "still", "here");
        Assert.Equal("here", await cluster.GetAsync(cluster.Nodes[0], "still"));
        Assert.False(cluster.Nodes[0].Failed.IsCompleted);
        Assert.DoesNotContain(logs.Lines, line => Unhandled.Contains(line.Id));
    }
}
