using KvStore.Client;
using KvStore.MemoryDisk;
using KvStore.Node.Config;
using KvStore.Node.Hosting;
using KvStore.Protocol;
using KvStore.Replication;
using KvStore.Storage;

namespace KvStore.Testing;

/// <summary>
/// A cluster of real nodes in this process, for tests: their own sockets on ports that the system chooses, their own threads, and disks in memory
/// that forget at a kill what was not synced. One caller at a time; clients of it are free.
/// </summary>
public sealed class KvTestCluster : IAsyncDisposable
{
    private const int MaxNodes = 9;
    private const int MaxGroups = 64;
    private const int VirtualNodes = 64;
    private const int HeartbeatsPerElection = 6;
    private const int TicksPerHeartbeat = 4;
    private const long MemoryBytes = 512L << 20;

    /// <summary>The port of a node that comes back may be somebody else's for a moment.</summary>
    private static readonly TimeSpan PortPatience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(5);

    private readonly KvTestClusterOptions _options;
    private readonly TestNetwork _network = new();
    private readonly SortedDictionary<string, MemoryFileSystem> _disks = new(StringComparer.Ordinal);

    // Null while a node is down.
    private readonly SortedDictionary<string, NodeHost?> _nodes = new(StringComparer.Ordinal);
    private ClusterConfig _config;

    private KvTestCluster(KvTestClusterOptions options)
    {
        _options = options;
        int heartbeatMs = Math.Max(TicksPerHeartbeat, (int)options.ElectionTimeout.TotalMilliseconds / HeartbeatsPerElection / TicksPerHeartbeat * TicksPerHeartbeat);
        NodeAddress anyPort = new("127.0.0.1", 0);
        _config = new ClusterConfig
        {
            ClusterId = $"test-{Guid.NewGuid():N}",
            ReplicationFactor = options.ReplicationFactor > 0 ? options.ReplicationFactor : options.Nodes >= 3 ? 3 : 1,
            VirtualNodes = VirtualNodes,
            Groups = options.Groups,
            Nodes = [.. Enumerable.Range(1, options.Nodes).Select(i => new NodeConfig($"n{i}", anyPort, anyPort, anyPort, "", 1))],
            Raft = new RaftSettings
            {
                TickMs = heartbeatMs / TicksPerHeartbeat,
                HeartbeatMs = heartbeatMs,
                ElectionTimeoutMs = heartbeatMs * HeartbeatsPerElection,
            },
            Limits = new LimitSettings { MemoryBytes = MemoryBytes },
        };
        foreach (NodeConfig node in _config.Nodes)
        {
            _disks.Add(node.Id, new MemoryFileSystem(seed: 1) { CapacityBytes = options.DiskBytes });
            _nodes.Add(node.Id, null);
        }
    }

    /// <summary>Names of all nodes, those that are down included.</summary>
    public IReadOnlyList<string> Nodes => [.. _nodes.Keys];

    /// <summary>Names of the nodes that run.</summary>
    public IReadOnlyList<string> Running => [.. Hosts.Select(host => host.Name)];

    /// <summary>What a client or a program is given to reach the cluster: the binary doors of all nodes. It stays the same.</summary>
    public string ConnectionString => string.Join(',', _config.Nodes.Select(node => $"kv://{node.Binary}"));

    private IEnumerable<NodeHost> Hosts => _nodes.Values.OfType<NodeHost>();

    /// <summary>Starts a cluster in memory and waits until every node is ready.</summary>
    /// <param name="nodes">1 to 9.</param>
    /// <param name="cancellationToken">Ends the waiting, and what has been started.</param>
    public static Task<KvTestCluster> StartAsync(int nodes = 3, CancellationToken cancellationToken = default) =>
        StartAsync(new KvTestClusterOptions { Nodes = nodes }, cancellationToken);

    /// <summary>Starts a cluster and waits until every node is ready.</summary>
    /// <exception cref="ArgumentException">The options ask for what is not possible.</exception>
    /// <exception cref="TimeoutException">The nodes are not ready within <see cref="KvTestClusterOptions.Patience"/>.</exception>
    public static async Task<KvTestCluster> StartAsync(KvTestClusterOptions options, CancellationToken cancellationToken = default)
    {
        Check(options);
        var cluster = new KvTestCluster(options);
        try
        {
            NodeHost[] hosts = [.. cluster._config.Nodes.Select(node => cluster.Make(node.Id))];
            foreach (NodeHost host in hosts)
            {
                cluster._nodes[host.Name] = host;
                await host.OpenPortsAsync(cancellationToken).ConfigureAwait(false);
            }

            // From here on the ports are known, and they stay.
            cluster._config = cluster._config with { Nodes = [.. hosts.Select(host => host.Endpoints)] };
            await Task.WhenAll(hosts.Select(host => Task.Run(() => host.Start(cluster._config.Nodes), cancellationToken))).ConfigureAwait(false);
            await cluster.UntilReadyAsync(cancellationToken).ConfigureAwait(false);
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>A client of the cluster; the caller disposes it.</summary>
    /// <param name="configure">What is different from the defaults.</param>
    public KvClient CreateClient(Action<KvClientOptions>? configure = null)
    {
        KvClientOptions options = KvClientOptions.Parse(ConnectionString);
        configure?.Invoke(options);
        return new KvClient(options);
    }

    /// <summary>Where a node answers HTTP, running or not.</summary>
    /// <exception cref="ArgumentException">There is no such node.</exception>
    public Uri HttpOf(string node) => new($"http://{_config.Node(Known(node)).Http}");

    /// <summary>The node that leads the group of a key now.</summary>
    /// <exception cref="InvalidOperationException">None that runs does: an election is going on, or a majority is missing.</exception>
    public string LeaderOf(KvKey key) => FindLeader(key)
        ?? throw new InvalidOperationException($"no node that runs leads the group of '{key}' now; {nameof(UntilReadyAsync)} waits for leaders");

    /// <summary>
    /// Ends a node as a power cut does: connections break, nothing is handed over or answered any more, what is in memory is lost and, on a disk
    /// in memory, what was not synced as well. In a <see cref="KvTestClusterOptions.Folder"/> files stay as they are, as after <c>kill -9</c>.
    /// </summary>
    /// <exception cref="ArgumentException">There is no such node.</exception>
    /// <exception cref="InvalidOperationException">It does not run.</exception>
    public async Task KillAsync(string node)
    {
        NodeHost host = TakeRunning(node);
        await host.KillAsync(() => _disks[node].Crash(CrashMode.LoseUnsynced)).ConfigureAwait(false);
    }

    /// <summary>Ends a node in an orderly way, as SIGTERM does: leadership is handed over, requests are answered.</summary>
    /// <exception cref="ArgumentException">There is no such node.</exception>
    /// <exception cref="InvalidOperationException">It does not run.</exception>
    public async Task StopAsync(string node)
    {
        bool othersGoOn = Hosts.Count() > 1;
        await TakeRunning(node).StopAsync(othersGoOn).ConfigureAwait(false);
    }

    /// <summary>Starts a node that is down, with what its disk has kept and at the addresses it had. <see cref="UntilReadyAsync"/> waits for it.</summary>
    /// <exception cref="ArgumentException">There is no such node.</exception>
    /// <exception cref="InvalidOperationException">It runs.</exception>
    public async Task RestartAsync(string node, CancellationToken cancellationToken = default)
    {
        if (_nodes[Known(node)] is not null)
        {
            throw new InvalidOperationException($"{node} runs; kill it or stop it first");
        }

        long until = Environment.TickCount64 + (long)PortPatience.TotalMilliseconds;
        while (true)
        {
            NodeHost host = Make(node);
            try
            {
                await host.OpenPortsAsync(cancellationToken).ConfigureAwait(false);
                await Task.Run(() => host.Start(_config.Nodes), cancellationToken).ConfigureAwait(false);
                _nodes[node] = host;
                return;
            }
            catch (ConfigurationException) when (host.Store is null && Environment.TickCount64 < until)
            {
                await host.DisposeAsync().ConfigureAwait(false);
                await Task.Delay(Poll, cancellationToken).ConfigureAwait(false);
            }
            catch
            {
                await host.DisposeAsync().ConfigureAwait(false);
                throw;
            }
        }
    }

    /// <summary>
    /// Cuts these nodes off from all others, running or not, until <see cref="Heal"/>: nothing that a node sends gets through, and nobody is told.
    /// Clients reach every node all the same. Cuts add up.
    /// </summary>
    /// <exception cref="ArgumentException">There is no such node.</exception>
    public void Partition(params string[] nodes)
    {
        NodeId[] side = [.. nodes.Select(node => _config.NumberOf(Known(node)))];
        _network.Cut(side, [.. _nodes.Keys.Select(_config.NumberOf).Except(side)]);
    }

    /// <summary>Ends all cuts.</summary>
    public void Heal() => _network.Heal();

    /// <summary>Waits until every node that runs is ready and every group has a leader among them.</summary>
    /// <exception cref="TimeoutException">Not within <see cref="KvTestClusterOptions.Patience"/>.</exception>
    /// <exception cref="InvalidOperationException">A node has failed.</exception>
    public async Task UntilReadyAsync(CancellationToken cancellationToken = default)
    {
        long until = Environment.TickCount64 + (long)_options.Patience.TotalMilliseconds;
        while (!IsReady())
        {
            if (Hosts.FirstOrDefault(host => host.Failed.IsCompleted) is { } failed)
            {
                throw new InvalidOperationException($"{failed.Name} has failed; {nameof(KvTestClusterOptions.Logs)} says why");
            }

            if (Environment.TickCount64 > until)
            {
                string why = string.Join("; ", Hosts.Select(host => host.Store?.Readiness.Detail).OfType<string>());
                throw new TimeoutException($"the cluster is not ready after {_options.Patience}: {(why.Length > 0 ? why : "a group has no leader")}");
            }

            await Task.Delay(Poll, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Stops all nodes. A disk in memory is gone then.</summary>
    public async ValueTask DisposeAsync()
    {
        NodeHost[] hosts = [.. Hosts];
        foreach (NodeHost host in hosts)
        {
            _nodes[host.Name] = null;
        }

        // In memory nobody reads again what a drain would save.
        await Task.WhenAll(hosts.Select(host => _options.Folder is null ? host.KillAsync(() => { }) : host.StopAsync(handOver: false)))
            .ConfigureAwait(false);
    }

    private static void Check(KvTestClusterOptions options)
    {
        int replicas = options.ReplicationFactor;
        string? wrong = options.Nodes is < 1 or > MaxNodes ? $"a cluster for tests has 1 to {MaxNodes} nodes, not {options.Nodes}"
            : replicas < 0 || replicas > options.Nodes ? $"{options.Nodes} nodes cannot hold {replicas} replicas of a group"
            : options.Groups is < 1 or > MaxGroups ? $"a cluster for tests has 1 to {MaxGroups} groups, not {options.Groups}"
            : options.ElectionTimeout < TimeSpan.FromMilliseconds(100) ? "an election timeout is at least 100 ms"
            : null;
        if (wrong is not null)
        {
            throw new ArgumentException(wrong, nameof(options));
        }
    }

    private NodeHost Make(string node)
    {
        bool inMemory = _options.Folder is null;
        return new NodeHost(
            _config, node, _options.Folder ?? "/memory", _options.Logs, inMemory ? _disks[node] : new OsFileSystem(),
            real => _network.Of(_config.NumberOf(node), real));
    }

    private bool IsReady()
    {
        StoreNode[] stores = [.. Hosts.Select(host => host.Store).OfType<StoreNode>()];
        return stores.Length == Hosts.Count()
            && stores.All(store => store.IsReady)
            && Enumerable.Range(1, _config.Groups).All(group => LeaderOf(new GroupId((uint)group)) is not null)

            // The first raise of a folder's life marks it on the way: not in the middle of what a test measures.
            && (stores.Length < _nodes.Count || stores.All(store => store.Groups.All(group => group.Level >= FeatureLevel.Max)));
    }

    private string? FindLeader(KvKey key) =>
        Hosts.Select(host => host.Store).OfType<StoreNode>().FirstOrDefault() is { } any ? LeaderOf(any.Routing.GroupOf(key.Bytes.Span)) : null;

    // Of two that believe it the one with the higher term is right.
    private string? LeaderOf(GroupId group) => Hosts
        .Where(host => host.Store is not null)
        .Select(host => (host.Name, host.Store!.Self, Status: host.Store.Groups.FirstOrDefault(status => status.Group == group)))
        .Where(one => one.Status is not null && one.Status.Leader == one.Self)
        .OrderByDescending(one => one.Status!.Term)
        .Select(one => one.Name)
        .FirstOrDefault();

    private string Known(string node) => _nodes.ContainsKey(node)
        ? node
        : throw new ArgumentException($"there is no node '{node}'; there are {string.Join(", ", _nodes.Keys)}", nameof(node));

    private NodeHost TakeRunning(string node)
    {
        NodeHost host = _nodes[Known(node)] ?? throw new InvalidOperationException($"{node} does not run");
        _nodes[node] = null;
        return host;
    }
}
