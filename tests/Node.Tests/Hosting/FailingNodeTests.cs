namespace KvStore.Node.Tests.Hosting;

public class FailingNodeTests
{
    [Fact]
    public async Task A_failed_sync_ends_that_node_with_one_clear_line_and_no_other()
    {
        using var folder = new TestCluster(nodes: 3);
        using var logs = new LogRecorder();
        var disk = new FailingDisk();
        await using var cluster = await RunningCluster.StartAsync(folder, logs, node => node == "n2" ? disk : new Storage.OsFileSystem());
        await cluster.PutAsync(cluster.Nodes[0], "before", "1");

        // Said before anybody can act on it: a process whose only node has failed ends at once.
        var failed = cluster.Nodes[1];
        var knownTooEarly = false;
        logs.Looking = line => knownTooEarly |= line.Id == 106 && failed.Failed.IsCompleted;
        disk.BeginToFail();

        // Every group has something for the disk of n2.
        var writes = Task.WhenAll(Enumerable.Range(0, 8).Select(i => cluster.PutAsync(cluster.Nodes[0], $"key{i}", "2")));
        Assert.Equal(1, await failed.Failed.WaitAsync(NodeProgram.Patience));
        var line = Assert.Single(logs.Lines, line => line.Id == 106);
        Assert.Contains("n2 log failed", line.Text);
        Assert.False(knownTooEarly);
        await failed.DisposeAsync();
        await writes;

        await cluster.PutAsync(cluster.Nodes[2], "after", "3");
        Assert.Equal("1", await cluster.GetAsync(cluster.Nodes[0], "before"));
        Assert.Equal("2", await cluster.GetAsync(cluster.Nodes[2], "key5"));
        Assert.All([cluster.Nodes[0], cluster.Nodes[2]], node => Assert.False(node.Failed.IsCompleted));
    }
}
