using KvStore.Node.Config;
using KvStore.Node.Hosting;
using KvStore.Protocol;
using KvStore.Storage;
using Microsoft.Extensions.Logging;

namespace KvStore.Node.Tests.Hosting;

/// <summary>Nodes of one file in this process, as the embedded default runs them: real disks, sockets and threads, free ports.</summary>
internal sealed class RunningCluster : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private RunningCluster(IReadOnlyList<NodeHost> nodes) => Nodes = nodes;

    public IReadOnlyList<NodeHost> Nodes { get; }

    public HttpClient Http { get; } = new() { Timeout = Patience };

    /// <param name="cluster">Folder and file.</param>
    /// <param name="logs">Of all nodes.</param>
    /// <param name="disk">The disk of a node; the real one unless said otherwise.</param>
    /// <param name="deviate">The configuration of a node that was given another one than the rest.</param>
    /// <param name="level">The highest feature level of a node, where it stands for an older build.</param>
    public static async Task<RunningCluster> StartAsync(
        TestCluster cluster, ILoggerFactory logs,
        Func<string, IFileSystem>? disk = null, Func<string, ClusterConfig, ClusterConfig>? deviate = null,
        Func<string, ushort>? level = null)
    {
        var config = Configuration.Load(cluster.File, new System.Collections.Hashtable(), []).Cluster;
        disk ??= _ => new OsFileSystem();
        deviate ??= (_, same) => same;
        level ??= _ => FeatureLevel.Max;
        var nodes = config.Nodes
            .Select(node => new NodeHost(
                deviate(node.Id, config) with { Upgrade = new UpgradeSettings { MaxLevel = level(node.Id) } },
                node.Id, cluster.Data, logs, disk(node.Id)))
            .ToList();
        var running = new RunningCluster(nodes);
        try
        {
            foreach (var node in nodes)
            {
                await node.OpenPortsAsync(CancellationToken.None);
            }

            await Task.WhenAll(nodes.Select(node => Task.Run(() => node.Start([.. nodes.Select(n => n.Endpoints)]))));
        }
        catch
        {
            // The others may be running: nobody else would end them, and they write into the folder that the test removes.
            await running.DisposeAsync();
            throw;
        }

        await UntilAsync(
            "every node is ready or has failed", () => Task.FromResult(nodes.All(node => node.Store!.IsReady || node.Failed.IsCompleted)));

        // The first raise of a folder's life marks it on the way: not in the middle of what a test measures.
        var lowest = nodes.Min(node => node.MaxLevel);
        await UntilAsync(
            "every group is written at the level that all nodes know, or a node has failed",
            () => Task.FromResult(
                nodes.Any(node => node.Failed.IsCompleted)
                || nodes.All(node => node.Store!.Groups.All(group => group.Level >= lowest))));
        return running;
    }

    public static Uri Url(NodeHost node, string path) => new($"http://{node.Endpoints.Http}{path}");

    /// <summary>Looks again and again until the condition holds; a deadline, not a wait, makes it fail.</summary>
    public static async Task UntilAsync(string what, Func<Task<bool>> condition)
    {
        using var patience = new CancellationTokenSource(Patience);
        using var look = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        while (!await condition())
        {
            try
            {
                await look.WaitForNextTickAsync(patience.Token);
            }
            catch (OperationCanceledException)
            {
                Assert.Fail($"not within {Patience}: {what}");
            }
        }
    }

    public Task PutAsync(NodeHost node, string key, string value) => UntilAsync($"put {key} at {node.Name}", async () =>
    {
        using var content = new StringContent(value);
        using var answer = await Http.PutAsync(Url(node, $"/v1/kv/{key}"), content);
        return answer.IsSuccessStatusCode;
    });

    public async Task<string> GetAsync(NodeHost node, string key)
    {
        var value = string.Empty;
        await UntilAsync($"get {key} at {node.Name}", async () =>
        {
            using var answer = await Http.GetAsync(Url(node, $"/v1/kv/{key}"));
            value = await answer.Content.ReadAsStringAsync();
            return answer.IsSuccessStatusCode;
        });
        return value;
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        foreach (var node in Nodes)
        {
            await node.DisposeAsync();
        }
    }
}
