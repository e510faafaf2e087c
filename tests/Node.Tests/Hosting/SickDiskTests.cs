using System.Diagnostics;
using System.Net;

namespace KvStore.Node.Tests.Hosting;

public sealed class SickDiskTests
{
    [Fact]
    public async Task C2_writes_go_on_elsewhere_within_five_seconds_when_a_disk_stands_still_and_the_node_says_so_once()
    {
        await using var nodes = new SeparateNodes();
        var disk = new HangingDisk();
        await nodes.StartAsync("n2", "n3");
        await nodes.StartAsync("n1", disk);
        await nodes.ReadyAsync("n1", "n2", "n3");

        // Until the placement has what it wants: n1 leads one of the four groups at least.
        await RunningCluster.UntilAsync("n1 leads", () => Task.FromResult(Led(nodes) > 0));
        string[] keys = [.. Enumerable.Range(0, 16).Select(i => $"key{i}")];
        foreach (string key in keys)
        {
            await nodes.PutAsync("n2", key, "before");
        }

        try
        {
            disk.StandStill();
            var stopwatch = Stopwatch.StartNew();
            await Task.WhenAll(keys.Select(key => nodes.PutAsync("n2", key, "meanwhile")));
            TimeSpan took = stopwatch.Elapsed;
            Assert.True(took < TimeSpan.FromSeconds(5), $"writes went on after {took}");
            using HttpResponseMessage ready = await nodes.Http.GetAsync(RunningCluster.Url(nodes["n1"], "/health/ready"));
            Assert.Equal(HttpStatusCode.ServiceUnavailable, ready.StatusCode);
            Assert.Contains("disk of n1", await ready.Content.ReadAsStringAsync());
            await RunningCluster.UntilAsync("n1 leads nothing", () => Task.FromResult(Led(nodes) == 0));
        }
        finally
        {
            disk.GoOn();
        }

        Assert.Single(nodes.Logs.Lines, line => line.Id == 318);
        await nodes.ReadyAsync("n1");
        Assert.Single(nodes.Logs.Lines, line => line.Id == 319);
        Assert.Equal("meanwhile", await nodes.GetAsync("n1", "key1"));
    }

    private static int Led(SeparateNodes nodes) => nodes["n1"].Store!.Groups.Count(group => group.Role == "leader");
}
