using KvStore.Node.Tests.Hosting;

namespace KvStore.Node.Tests.Peers;

/// <summary>Who dials checks whom it has reached: a node that cannot reach the others must not pass for the one they knew.</summary>
public sealed class LostFolderTests
{
    [Fact]
    public async Task A6_a_node_that_lost_its_folder_ends_with_exit_code_2_though_it_can_reach_nobody()
    {
        await using var nodes = new SeparateNodes();
        await nodes.StartAsync("n1", "n2", "n3");
        for (int i = 0; i < 8; i++)
        {
            await nodes.PutAsync("n1", $"key{i}", "value");
        }

        await nodes.StopAsync("n2");
        Directory.Delete(nodes.FolderOf("n2"), recursive: true);

        // The others reach it; what it dials itself is nobody's port.
        int[] nobody = FreePorts.Take(3);
        var n2 = await nodes.StartAsync(
            "n2", seen: node => node.Id == "n2" ? node : node with { Peer = node.Peer with { Port = nobody[node.Id[1] - '1'] } });
        Assert.Equal(2, await n2.Failed.WaitAsync(NodeProgram.Patience));
        Assert.Contains(nodes.Logs.Lines, line => line.Id == 107 && line.Text.Contains("n2 has lost its data directory"));
        await nodes.StopAsync("n2");

        await nodes.PutAsync("n3", "key", "later");
        Assert.Equal("later", await nodes.GetAsync("n1", "key"));
        Assert.All(["n1", "n3"], name => Assert.False(nodes[name].Failed.IsCompleted));
    }
}
