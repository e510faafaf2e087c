using KvStore.Node.Config;
using KvStore.Node.Hosting;
using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.Node.Tests.Hosting;

/// <summary>
/// Three nodes in this process on ports of their own, each started and stopped by itself, as three machines are: the others do not
/// notice but by what reaches them.
/// </summary>
internal sealed class SeparateNodes : IAsyncDisposable
{
    private readonly TestCluster _folder;
    private readonly Dictionary<string, NodeHost> _running = [];

    public SeparateNodes(ClusterSecret? secret = null)
    {
        int[] ports = FreePorts.Take(12);
        _folder = new TestCluster(nodes: 3, port: place => ports[place - 3]);
        Config = Configuration.Load(_folder.File, new System.Collections.Hashtable(), []).Cluster;
        Config = Config with { Security = Config.Security with { ClusterSecret = secret } };
    }

    public ClusterConfig Config { get; set; }

    public LogRecorder Logs { get; } = new();

    public HttpClient Http { get; } = new() { Timeout = TimeSpan.FromSeconds(30) };

    public NodeHost this[string name] => _running[name];

    public string FolderOf(string name) => Path.Combine(_folder.Data, name);

    /// <summary>Starts a node; by default it finds the others where they are.</summary>
    public async Task<NodeHost> StartAsync(
        string name, IFileSystem? disk = null, Func<NodeConfig, NodeConfig>? seen = null, TimeProvider? time = null)
    {
        var host = new NodeHost(Config, name, _folder.Data, Logs, disk ?? new OsFileSystem(), time: time);
        _running[name] = host;
        await host.OpenPortsAsync(CancellationToken.None);
        await Task.Run(() => host.Start([.. Config.Nodes.Select(node => seen?.Invoke(node) ?? node)]));
        return host;
    }

    /// <summary>Starts nodes and waits until each of them is ready.</summary>
    public async Task StartAsync(params string[] names)
    {
        foreach (string name in names)
        {
            await StartAsync(name);
        }

        await ReadyAsync(names);
    }

    public Task ReadyAsync(params string[] names) => RunningCluster.UntilAsync(
        $"{string.Join(", ", names)} ready", () => Task.FromResult(names.All(name => _running[name].Store?.IsReady == true)));

    public async Task StopAsync(params string[] names)
    {
        foreach (string name in names)
        {
            if (_running.Remove(name, out NodeHost? host))
            {
                await host.DisposeAsync();
            }
        }
    }

    /// <summary>Tries again until it is acknowledged; no attempt waits for longer than a second.</summary>
    public Task PutAsync(string name, string key, string value) => RunningCluster.UntilAsync($"put {key} at {name}", async () =>
    {
        using var content = new StringContent(value);
        using HttpResponseMessage answer = await Http.PutAsync(RunningCluster.Url(_running[name], $"/v1/kv/{key}?timeout=1s"), content);
        return answer.IsSuccessStatusCode;
    });

    public async Task<string> GetAsync(string name, string key)
    {
        string value = string.Empty;
        await RunningCluster.UntilAsync($"get {key} at {name}", async () =>
        {
            using HttpResponseMessage answer = await Http.GetAsync(RunningCluster.Url(_running[name], $"/v1/kv/{key}"));
            value = await answer.Content.ReadAsStringAsync();
            return answer.IsSuccessStatusCode;
        });
        return value;
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync([.. _running.Keys]);
        Http.Dispose();
        Logs.Dispose();
        _folder.Dispose();
    }
}
