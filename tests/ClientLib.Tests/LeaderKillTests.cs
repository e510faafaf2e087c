using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.Json;
using KvStore.Node.Tests.Hosting;
using KvStore.Node.Tests.Processes;
using Xunit.Abstractions;

namespace KvStore.Client.Tests;

/// <summary>Three processes, of which one that leads is killed again and again under load.</summary>
public sealed class LeaderKillTests(ITestOutputHelper output) : IDisposable
{
    private const int Kills = 4;
    private const int Workers = 8;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly string[] Names = ["n1", "n2", "n3"];
    private readonly string _folder = Directory.CreateTempSubdirectory("kvstore-kill-").FullName;

    [Fact]
    public async Task Leaders_that_are_killed_cost_time_and_no_error()
    {
        int[] ports = FreePorts.Take(9);
        string config = WriteConfig(ports);
        NodeProcess[] nodes = await Task.WhenAll(Names.Select(name => StartAsync(config, name)));
        try
        {
            var options = new KvClientOptions { Timeout = TimeSpan.FromSeconds(10) };
            foreach (int i in new[] { 0, 1, 2 })
            {
                options.Endpoints.Add($"127.0.0.1:{ports[3 * i]}");
            }

            await using var kv = new KvClient(options);
            await UntilAsync(async () => (await kv.GetTopologyAsync()).Groups.All(group => group.Leader is not null));
            using var stopping = new CancellationTokenSource();
            var errors = new ConcurrentQueue<Exception>();
            var worst = new ConcurrentQueue<double>();
            long[] counted = new long[Workers];
            Task load = Task.WhenAll(Enumerable.Range(0, Workers).Select(worker => LoadAsync(kv, worker, counted, errors, worst, stopping.Token)));
            for (int kill = 0; kill < Kills; kill++)
            {
                await Task.Delay(500);
                KvLocation location = await kv.LocateAsync($"load/{kill}");
                int victim = Array.IndexOf(Names, location.Group.Leader ?? Names[kill % 3]);
                long killedAt = Stopwatch.GetTimestamp();
                await nodes[victim].KillAsync();
                await UntilAsync(async () => (await kv.GetTopologyAsync()).Groups.All(group => group.Leader is { } leader && leader != Names[victim]));
                output.WriteLine($"killed {Names[victim]}: all groups led again after {Stopwatch.GetElapsedTime(killedAt).TotalMilliseconds:0} ms");
                nodes[victim].Dispose();
                nodes[victim] = await StartAsync(config, Names[victim]);
            }

            await Task.Delay(500);
            await stopping.CancelAsync();
            await load;
            output.WriteLine($"{counted.Sum()} increments, worst call {worst.Max():0} ms");
            Assert.Empty(errors);
            for (int worker = 0; worker < Workers; worker++)
            {
                Assert.Equal(counted[worker], (await kv.GetAsync($"load/{worker}")).Value.AsInt64());
            }
        }
        finally
        {
            foreach (NodeProcess node in nodes)
            {
                node.Dispose();
            }
        }
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    // Each counts in a key of its own and reads it back: no count is lost, none done twice, and a strong read shows the last one.
    private static async Task LoadAsync(
        KvClient kv, int worker, long[] counted, ConcurrentQueue<Exception> errors, ConcurrentQueue<double> worst, CancellationToken stop)
    {
        double slowest = 0;
        while (!stop.IsCancellationRequested)
        {
            long began = Stopwatch.GetTimestamp();
            try
            {
                long number = await kv.IncrementAsync($"load/{worker}", cancellationToken: CancellationToken.None);
                Assert.Equal(++counted[worker], number);
                Assert.Equal(number, (await kv.GetAsync($"load/{worker}", Read.Strong, CancellationToken.None)).Value.AsInt64());
                await kv.GetAsync($"load/{(worker + 1) % Workers}", Read.Anything, CancellationToken.None);
            }
            catch (Exception e)
            {
                errors.Enqueue(e);
                break;
            }

            slowest = Math.Max(slowest, Stopwatch.GetElapsedTime(began).TotalMilliseconds);
        }

        worst.Enqueue(slowest);
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        long began = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                if (await condition())
                {
                    return;
                }
            }
            catch (KvException) when (Stopwatch.GetElapsedTime(began) < Patience)
            {
            }

            Assert.True(Stopwatch.GetElapsedTime(began) < Patience, "the cluster did not come to rest");
            await Task.Delay(20);
        }
    }

    private Task<NodeProcess> StartAsync(string config, string name) =>
        NodeProcess.StartAsync(config, Path.Combine(_folder, "data"), "serving:", "--node", name);

    private string WriteConfig(int[] ports)
    {
        string path = Path.Combine(_folder, "cluster.json");
        File.WriteAllText(path, JsonSerializer.Serialize(new
        {
            clusterId = "kill",
            replicationFactor = 3,
            virtualNodes = 64,
            groups = 8,
            nodes = Names.Select((name, i) => new
            {
                id = name,
                http = $"127.0.0.1:{ports[3 * i]}",
                peer = $"127.0.0.1:{ports[(3 * i) + 1]}",
                binary = $"127.0.0.1:{ports[(3 * i) + 2]}",
            }),
        }));
        return path;
    }
}
