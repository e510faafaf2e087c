using System.Net;
using System.Text.Json;

namespace KvStore.Node.Tests.Hosting;

/// <summary>A node that has no memory left for what grows says so and goes on.</summary>
public sealed class MemoryFullTests
{
    [Fact]
    public async Task B3_with_40_MB_a_part_of_160_values_of_500_KB_is_taken_and_no_node_ends()
    {
        using var folder = new TestCluster(nodes: 3);
        folder.Replace("\"raft\"", "\"limits\":{\"memoryBytes\":40000000},\"raft\"");
        using var logs = new LogRecorder();
        await using var cluster = await RunningCluster.StartAsync(folder, logs);
        var node = cluster.Nodes[0];
        var taken = new List<int>();
        var refusals = new List<string>();
        for (var i = 0; i < 160; i++)
        {
            using var content = new ByteArrayContent(new byte[500_000]);
            using var answer = await cluster.Http.PutAsync(RunningCluster.Url(node, $"/v1/kv/{{big}}{i}"), content);
            if (answer.IsSuccessStatusCode)
            {
                taken.Add(i);
            }
            else
            {
                Assert.Equal(HttpStatusCode.TooManyRequests, answer.StatusCode);
                refusals.Add(await answer.Content.ReadAsStringAsync());
            }
        }

        Assert.InRange(taken.Count, 40, 79);
        var problem = JsonDocument.Parse(refusals[0]).RootElement;
        Assert.Equal("not-applied", problem.GetProperty("outcome").GetString());
        Assert.Contains("limits.memoryBytes", problem.GetProperty("detail").GetString(), StringComparison.Ordinal);
        Assert.All(cluster.Nodes, n => Assert.False(n.Failed.IsCompleted));
        var leader = cluster.Nodes.First(n => n.Store!.Room.IsMemoryShort);
        Assert.Contains("\"memory\":\"short\"", await cluster.Http.GetStringAsync(RunningCluster.Url(leader, "/health/ready")), StringComparison.Ordinal);
        Assert.Contains("kvstore_memory_short 1", await cluster.Http.GetStringAsync(RunningCluster.Url(leader, "/metrics")), StringComparison.Ordinal);

        using var read = await cluster.Http.GetAsync(RunningCluster.Url(cluster.Nodes[1], $"/v1/kv/{{big}}{taken[0]}"));
        Assert.Equal(HttpStatusCode.OK, read.StatusCode);
        foreach (var i in taken)
        {
            using var deleted = await cluster.Http.DeleteAsync(RunningCluster.Url(cluster.Nodes[2], $"/v1/kv/{{big}}{i}"));
            Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        }

        await cluster.PutAsync(node, "{big}again", "room");
        Assert.Contains(logs.Lines, line => line.Id == 317);
        Assert.InRange(logs.Lines.Count(line => line.Id == 316), 1, 3);
    }
}
