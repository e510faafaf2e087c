using KvStore.Node.Config;
using KvStore.Node.Tests.Hosting;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Node.Tests.Peers;

/// <summary>A node that comes back without its past would vote a second time in a term it has voted in: the others refuse it.</summary>
public class ForgetfulNodeTests
{
    [Fact]
    public async Task A_node_that_lost_its_directory_is_refused_and_ends_with_exit_code_2()
    {
        using var folder = new TestCluster(nodes: 3);
        await (await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance)).DisposeAsync();
        Directory.Delete(Path.Combine(folder.Data, "n2"), recursive: true);
        await N2IsRefusedAsync(folder, "n2 has lost its data directory");
    }

    [Fact]
    public async Task A_node_on_an_old_copy_of_its_directory_is_refused_and_ends_with_exit_code_2()
    {
        using var folder = new TestCluster(nodes: 3);
        await (await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance)).DisposeAsync();
        var identity = Path.Combine(folder.Data, "n2", "identity");
        var old = File.ReadAllBytes(identity);
        await (await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance)).DisposeAsync();
        File.WriteAllBytes(identity, old);
        await N2IsRefusedAsync(folder, "an old copy");
    }

    [Fact]
    public async Task A_node_with_another_layout_gives_way_to_the_majority()
    {
        using var folder = new TestCluster(nodes: 3);
        await N2IsRefusedAsync(folder, "other virtualNodes, groups", (node, config) => node == "n2" ? config with { Groups = 8 } : config);
    }

    private static async Task N2IsRefusedAsync(
        TestCluster folder, string reason, Func<string, ClusterConfig, ClusterConfig>? deviate = null)
    {
        using var logs = new LogRecorder();
        await using var cluster = await RunningCluster.StartAsync(folder, logs, deviate: deviate);
        Assert.Equal(2, await cluster.Nodes[1].Failed.WaitAsync(NodeProgram.Patience));
        Assert.Contains(logs.Lines, line => line.Id == 107 && line.Text.Contains(reason));
        await cluster.Nodes[1].DisposeAsync();

        await cluster.PutAsync(cluster.Nodes[0], "key", "value");
        Assert.Equal("value", await cluster.GetAsync(cluster.Nodes[2], "key"));
        Assert.All([cluster.Nodes[0], cluster.Nodes[2]], node => Assert.False(node.Failed.IsCompleted));
    }
}
