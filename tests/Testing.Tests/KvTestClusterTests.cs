using System.Diagnostics;
using System.Net;
using KvStore.Client;
using Xunit.Abstractions;

namespace KvStore.Testing.Tests;

/// <summary>What a test may expect of its cluster.</summary>
public sealed class KvTestClusterTests(ITestOutputHelper output)
{
    private const int Kills = 50;
    private const int Writers = 4;

    [Fact]
    public async Task The_leader_of_a_key_is_killed_and_the_key_is_there()
    {
        await using var cluster = await KvTestCluster.StartAsync(nodes: 3);
        await using KvClient kv = cluster.CreateClient();
        await kv.PutAsync("orders/17", "new");
        string leader = cluster.LeaderOf("orders/17");
        await cluster.KillAsync(leader);
        Assert.Equal("new", (string?)await kv.GetAsync("orders/17"));
        Assert.Equal(cluster.Nodes.Except([leader]), cluster.Running);
        await cluster.UntilReadyAsync();
        Assert.NotEqual(leader, cluster.LeaderOf("orders/17"));
        using var http = new HttpClient();
        await Assert.ThrowsAsync<HttpRequestException>(() => http.GetAsync(cluster.HttpOf(leader)));

        await cluster.RestartAsync(leader);
        await cluster.UntilReadyAsync();
        Assert.Equal("new", await http.GetStringAsync(new Uri(cluster.HttpOf(leader), "/v1/kv/orders/17?consistency=eventual")));
    }

    [Fact]
    public async Task It_is_there_within_two_seconds()
    {
        // The first one compiles the product, and other tests want the machine, too.
        var took = new List<TimeSpan>();
        for (int i = 0; i < 5; i++)
        {
            long began = Stopwatch.GetTimestamp();
            await using var cluster = await KvTestCluster.StartAsync();
            took.Add(Stopwatch.GetElapsedTime(began));
        }

        output.WriteLine($"ready after {string.Join(", ", took.Select(time => $"{time.TotalMilliseconds:0}"))} ms");
        Assert.True(took.Min() < TimeSpan.FromSeconds(2), $"the fastest of five starts took {took.Min().TotalSeconds:0.0} s");
    }

    [Fact]
    public async Task Fifty_kills_lose_nothing()
    {
        // Any one node, and now and then all of them at once: what was acknowledged has been synced by a majority.
        await using var cluster = await KvTestCluster.StartAsync();
        await using KvClient kv = cluster.CreateClient(options => options.Timeout = TimeSpan.FromSeconds(30));
        var random = new Random(12);
        using var stop = new CancellationTokenSource();
        var counted = new long[Writers];
        Task load = Task.WhenAll(Enumerable.Range(0, Writers).Select(writer => Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                counted[writer] = await kv.IncrementAsync($"counter/{writer}", cancellationToken: CancellationToken.None);
            }
        })));
        for (int kill = 0; kill < Kills;)
        {
            string[] victims = kill % 10 == 9 ? [.. cluster.Nodes] : [cluster.Nodes[random.Next(3)]];
            await Task.WhenAll(victims.Select(cluster.KillAsync));
            foreach (string victim in victims)
            {
                await cluster.RestartAsync(victim);
            }

            await cluster.UntilReadyAsync();
            kill++;
        }

        await stop.CancelAsync();
        await load;
        output.WriteLine($"{counted.Sum()} increments");
        for (int writer = 0; writer < Writers; writer++)
        {
            Assert.True(counted[writer] > 0);
            Assert.Equal(counted[writer], (await kv.GetAsync($"counter/{writer}")).Value.AsInt64());
        }
    }

    [Fact]
    public async Task A_node_that_is_cut_off_serves_what_it_has_and_nothing_that_needs_the_others()
    {
        await using var cluster = await KvTestCluster.StartAsync();
        await using KvClient kv = cluster.CreateClient();
        await kv.PutAsync("a", "before");
        string alone = cluster.LeaderOf("a");
        using var http = new HttpClient { BaseAddress = cluster.HttpOf(alone) };
        cluster.Partition(alone);

        // The client finds the new leader among the others.
        await kv.PutAsync("a", "after");
        Assert.Equal("before", await http.GetStringAsync("/v1/kv/a?consistency=eventual"));
        using HttpResponseMessage strong = await http.GetAsync("/v1/kv/a?timeout=300ms");
        Assert.Contains(strong.StatusCode, new[] { HttpStatusCode.ServiceUnavailable, HttpStatusCode.GatewayTimeout });

        cluster.Heal();
        await cluster.UntilReadyAsync();
        Assert.Equal("after", await http.GetStringAsync("/v1/kv/a"));
    }

    [Fact]
    public async Task A_node_that_is_stopped_hands_over_and_comes_back()
    {
        await using var cluster = await KvTestCluster.StartAsync();
        await using KvClient kv = cluster.CreateClient();
        foreach (string node in cluster.Nodes)
        {
            await kv.PutAsync("a", node);
            await cluster.StopAsync(node);
            Assert.Equal(node, (string?)await kv.GetAsync("a"));
            await cluster.RestartAsync(node);
            await cluster.UntilReadyAsync();
        }
    }

    [Fact]
    public async Task A_folder_outlives_its_cluster()
    {
        string folder = Directory.CreateTempSubdirectory("kvstore-testing-").FullName;
        try
        {
            var options = new KvTestClusterOptions { Nodes = 1, Folder = folder };
            await using var cluster = await KvTestCluster.StartAsync(options);
            await using KvClient kv = cluster.CreateClient();
            await kv.PutAsync("a", "1");
            await cluster.KillAsync("n1");
            await cluster.RestartAsync("n1");
            Assert.Equal("1", (string?)await kv.GetAsync("a"));
            Assert.True(Directory.Exists(Path.Combine(folder, "n1")));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task What_cannot_be_meant_is_said()
    {
        await Assert.ThrowsAsync<ArgumentException>(() => KvTestCluster.StartAsync(nodes: 0));
        await Assert.ThrowsAsync<ArgumentException>(() => KvTestCluster.StartAsync(new KvTestClusterOptions { Nodes = 3, ReplicationFactor = 4 }));
        await using var cluster = await KvTestCluster.StartAsync(nodes: 1);
        await Assert.ThrowsAsync<ArgumentException>(() => cluster.KillAsync("n2"));
        await Assert.ThrowsAsync<InvalidOperationException>(() => cluster.RestartAsync("n1"));
        await cluster.StopAsync("n1");
        await Assert.ThrowsAsync<InvalidOperationException>(() => cluster.StopAsync("n1"));
        Assert.Throws<InvalidOperationException>(() => cluster.LeaderOf("a"));
    }
}
