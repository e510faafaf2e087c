using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Node.Tests.Hosting;

/// <summary>Nodes that are known by name, and nodes that listen elsewhere than where others dial them.</summary>
public sealed class AddressTests
{
    [Fact]
    public async Task F1_nodes_find_each_other_by_name_and_are_told_by_it()
    {
        using var folder = new TestCluster(nodes: 3);
        folder.Replace("127.0.0.1:", "localhost:");
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        await cluster.PutAsync(cluster.Nodes[0], "key", "value");
        Assert.Equal("value", await cluster.GetAsync(cluster.Nodes[2], "key"));
        await AssertToldAsync(cluster, "localhost");
    }

    [Fact]
    public async Task F1_a_node_listens_at_every_address_and_is_told_by_its_name()
    {
        using var folder = new TestCluster(nodes: 3);
        folder.Replace("\"http\"", "\"listen\":\"0.0.0.0\",\"advertise\":\"localhost\",\"http\"");
        folder.Replace("\"clusterId\"", "\"security\":{\"insecure\":true},\"clusterId\"");
        await using var cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        await cluster.PutAsync(cluster.Nodes[0], "key", "value");
        Assert.Equal("value", await cluster.GetAsync(cluster.Nodes[2], "key"));
        await AssertToldAsync(cluster, "localhost");
        Assert.NotEmpty(await cluster.Http.GetStringAsync(new Uri($"http://127.0.0.2:{cluster.Nodes[0].Endpoints.Http.Port}/health/live")));
    }

    [Fact]
    public async Task F1_a_name_that_nobody_knows_stops_its_own_node_with_the_reason()
    {
        using var folder = new TestCluster(port: place => 1000 + place);
        folder.Replace("127.0.0.1:1003", "no-such-host.invalid:1003");
        folder.Replace("\"clusterId\"", "\"security\":{\"insecure\":true},\"clusterId\"");
        var (exitCode, _, error) = await NodeProgram.RunAsync(folder, []);
        Assert.Equal(2, exitCode);
        Assert.Contains("no-such-host.invalid", error);
        Assert.Contains("\"listen\"", error);
        Assert.DoesNotContain("   at ", error);
    }

    // The pages that tell a client where to go.
    private static async Task AssertToldAsync(RunningCluster cluster, string host)
    {
        var node = cluster.Nodes[0];
        string[] urls = [.. cluster.Nodes.Select(other => $"http://{host}:{other.Endpoints.Http.Port}")];

        var topology = JsonDocument.Parse(await cluster.Http.GetStringAsync(RunningCluster.Url(node, "/v1/cluster/nodes"))).RootElement;
        Assert.Equal(urls, topology.GetProperty("nodes").EnumerateArray().Select(told => told.GetProperty("url").GetString()));
        Assert.All(topology.GetProperty("nodes").EnumerateArray(), told => Assert.StartsWith($"{host}:", told.GetProperty("binary").GetString()));

        var page = await cluster.Http.GetStringAsync(new Uri($"http://127.0.0.1:{node.Endpoints.Http.Port}/"));
        Assert.Contains($"{urls[0]}/v1/kv/", page);
        Assert.DoesNotContain("127.0.0.1", page);
    }
}
