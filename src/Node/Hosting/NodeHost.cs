using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using KvStore.Cluster;
using KvStore.Node.Binary;
using KvStore.Node.Config;
using KvStore.Node.Http;
using KvStore.Node.Logging;
using KvStore.Node.Peers;
using KvStore.Protocol;
using KvStore.Replication;
using KvStore.Storage;

namespace KvStore.Node.Hosting;

/// <summary>
/// One node: its folder, its ports, its store and the threads that turn it. Several hosts in one process share nothing but the
/// process, so stopping one is no event for the others. Started in two steps, because ports are bound before the identity is
/// written and, with port 0, known only then: <see cref="OpenPortsAsync"/>, then <see cref="Start"/>.
/// </summary>
public sealed class NodeHost : IAsyncDisposable
{
    /// <summary>How long requests in flight may take to be answered once the node drains.</summary>
    private const int DrainLimitMs = 2000;

    /// <summary>For the peer connections, and again for the threads. With the two others a stop stays within five seconds.</summary>
    private const int EndLimitMs = 750;

    /// <summary>How long the last replies may take to leave.</summary>
    private const int DoorLimitMs = 1000;
    private const int DrainPollMs = 10;
    private const int PeerBacklog = 128;

    private readonly ClusterConfig _config;
    private readonly NodeConfig _configured;
    private readonly string _directory;
    private readonly ILoggerFactory _logs;
    private readonly ILogger _log;
    private readonly IFileSystem _files;
    private readonly Func<ITransport, ITransport>? _network;
    private readonly TimeProvider _time;
    private readonly StoreHandle _handle = new();
    private readonly TaskCompletionSource<int> _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private IDisposable? _lock;
    private WebApplication? _door;
    private Socket? _peerPort;
    private NodeEventLog? _events;
    private PeerTransport? _transport;
    private NodeThreads? _threads;
    private StoreNode? _store;
    private int _failing;
    private volatile bool _killed;
    private bool _disposed;

    public NodeHost(ClusterConfig config, string name, string dataRoot, ILoggerFactory logs)
        : this(config, name, dataRoot, logs, new OsFileSystem())
    {
    }

    /// <param name="config">Of the whole cluster.</param>
    /// <param name="name">Which of its nodes this is.</param>
    /// <param name="dataRoot">Its folder is made below it.</param>
    /// <param name="logs">Where it logs to.</param>
    /// <param name="files">Its disk.</param>
    /// <param name="network">What lies between the store and the peer connections, for who loses messages on purpose; null: nothing.</param>
    /// <param name="time">Its clocks; null: those of the machine.</param>
    internal NodeHost(
        ClusterConfig config, string name, string dataRoot, ILoggerFactory logs, IFileSystem files, Func<ITransport, ITransport>? network = null,
        TimeProvider? time = null)
    {
        _time = time ?? new BootTimeProvider();
        _files = files;
        _network = network;
        _config = config;
        _configured = config.Node(name);
        _directory = $"{Path.GetFullPath(dataRoot)}/{name}";
        _logs = logs;
        _log = logs.CreateLogger("KvStore.Node");
        Endpoints = _configured;
    }

    public string Name => _configured.Id;

    /// <summary>Where the node listens; after <see cref="OpenPortsAsync"/> with the ports it really has.</summary>
    public NodeConfig Endpoints { get; private set; }

    /// <summary>The highest feature level this node says it knows.</summary>
    internal ushort MaxLevel => _config.Upgrade.MaxLevel;

    /// <summary>Null until started.</summary>
    public StoreNode? Store => _handle.Current;

    public PeerCounters PeerCounters => _transport?.Counters ?? default;

    /// <summary>Completes when the node cannot go on, with the exit code it deserves; the owner then disposes it.</summary>
    public Task<int> Failed => _failed.Task;

    /// <summary>Locks the folder and binds every port. Until <see cref="Start"/> the doors answer Starting.</summary>
    public async Task OpenPortsAsync(CancellationToken cancellation)
    {
        LockFolder();
        var http = await _configured.Http.ResolveListenAsync(cancellation).ConfigureAwait(false);
        var binary = await _configured.Binary.ResolveListenAsync(cancellation).ConfigureAwait(false);
        var peer = await _configured.Peer.ResolveListenAsync(cancellation).ConfigureAwait(false);
        _door = HttpFrontDoor.Create(new FrontDoorOptions(_config, Name, http, binary) { Peers = () => PeerCounters }, _handle, _logs);
        try
        {
            await _door.StartAsync(cancellation).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            throw CannotListen($"http {http} or binary {binary}", e);
        }

        try
        {
            _peerPort = new Socket(peer.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            _peerPort.Bind(peer);
            _peerPort.Listen(PeerBacklog);
        }
        catch (SocketException e)
        {
            throw CannotListen($"peer {peer}", e);
        }

        // In the order in which the front door was told to listen: http, then binary.
        var bound = _door.Urls.Select(url => new Uri(url).Port).ToArray();
        Endpoints = _configured with
        {
            Http = _configured.Http with { Port = bound[0] },
            Binary = _configured.Binary with { Port = bound.Length > 1 ? bound[1] : _configured.Binary.Port },
            Peer = _configured.Peer with { Port = ((IPEndPoint)_peerPort.LocalEndPoint!).Port },
        };
    }

    /// <summary>Identity, log, threads, peers, in this order. Blocks while the log is recovered.</summary>
    /// <param name="nodes">All nodes of the cluster by number - 1, with the ports they really have.</param>
    public void Start(IReadOnlyList<NodeConfig> nodes)
    {
        var started = Stopwatch.GetTimestamp();
        var layout = new ClusterLayout(
            _config.ClusterId, _config.VirtualNodes, _config.Groups, _config.ReplicationFactor, [.. _config.Nodes.Select(node => node.Id)]);
        var identity = NodeIdentity.Open(_files, _directory, Name, layout, Guid.NewGuid(), (ulong)Random.Shared.NextInt64(1, long.MaxValue), MaxLevel);
        SayWhoWeAre(identity);

        var routing = RoutingFile.Open(_files, _directory, identity, PlanPlacement);
        var gate = new PeerGate(identity, PeerBook.Open(_files, _directory), routing, MaxLevel, _config.Security.ClusterSecret, _time);
        _events = new NodeEventLog(_log);
        _transport = new PeerTransport(
            nodes, identity.Number, gate, _peerPort!, _config.Raft.HeartbeatMs, _log, OnFailed, refused => OnRefusedByCluster(identity, refused))
        {
            Places = _door!.Services.GetRequiredService<FrontDoor>().PeerPlaces,
            HelloMs = _config.Doors.HelloMs,
        };
        _peerPort = null; // the transport's from here on
        _store = StoreNode.Open(StoreOptions(identity, routing, nodes), _files, _network?.Invoke(_transport) ?? _transport, _time, _events.Add);

        // The log's first segment is durable now. The mark has to be as well before a vote or an answer leaves: without it a
        // lost log would pass for a first start.
        identity.MarkLogCreated();

        // From here on somebody may know this start.
        identity.SayHello();

        _threads = new NodeThreads(Name, _store, OnFailed);
        _threads.Start();
        _transport.Start(_store);
        _handle.Set(_store, nodes);
        NodeLog.Started(
            _log, $"{Endpoints.Http}", $"{Endpoints.Peer}", $"{Endpoints.Binary}", _store.Groups.Count,
            (long)Stopwatch.GetElapsedTime(started).TotalMilliseconds);
    }

    /// <summary>
    /// Refuses new requests, answers those in flight or says honestly what became of them, syncs, and ends within five seconds. A
    /// node that has failed is not drained: it may not answer anything any more. Also undoes a start that went half way.
    /// </summary>
    /// <param name="handOver">Whether others go on and shall lead what this node leads.</param>
    public Task StopAsync(bool handOver) => EndAsync(store => DrainAsync(store, handOver));

    /// <summary>
    /// Ends as a node whose machine loses its power: nothing is drained, handed over or answered, connections are cut. Threads still have to be
    /// waited for, and what they cannot do any more is no failure.
    /// </summary>
    /// <param name="cutDisk">Called first. What its disk keeps is the caller's affair.</param>
    internal Task KillAsync(Action cutDisk)
    {
        _killed = true;
        cutDisk();
        return EndAsync(_ => Task.CompletedTask);
    }

    private async Task EndAsync(Func<StoreNode, Task> drain)
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        var started = Stopwatch.GetTimestamp();
        if (_store is not null && !_failed.Task.IsCompleted)
        {
            await drain(_store).ConfigureAwait(false);
        }

        var unanswered = _store?.InFlight ?? 0;
        if (_transport is not null)
        {
            await WithinLimitAsync("the peer connections", _transport.DisposeAsync().AsTask()).ConfigureAwait(false);
        }

        var still = _threads is null || await WithinLimitAsync("the threads", _threads.StopAsync()).ConfigureAwait(false);
        if (still && !_killed && !_failed.Task.IsCompleted)
        {
            _store?.AbandonRequests();
        }

        // The doors last: what was abandoned is answered through them.
        if (_door is not null)
        {
            using var limit = new CancellationTokenSource(_killed ? 0 : DoorLimitMs);
            await _door.StopAsync(limit.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await _door.DisposeAsync().ConfigureAwait(false);
        }

        if (still)
        {
            // Only when nobody can touch them any more.
            _threads?.Dispose();
            _store?.Dispose();
        }

        if (_events is not null)
        {
            await _events.DisposeAsync().ConfigureAwait(false);
        }

        _peerPort?.Dispose();
        _lock?.Dispose();
        if (_store is not null)
        {
            NodeLog.Stopped(_log, (long)Stopwatch.GetElapsedTime(started).TotalMilliseconds, unanswered);
        }
    }

    public ValueTask DisposeAsync() => new(StopAsync(handOver: true));

    private void LockFolder()
    {
        try
        {
            DurableDirectory.Create(_files, _directory);
            CloseToOthers();
            _lock = _files.TryLock(_directory);
        }
        catch (StorageException e)
        {
            throw new ConfigurationException($"cannot use the data directory: {e.Message}; choose another with --data DIR", e);
        }

        if (_lock is null)
        {
            throw new ConfigurationException(
                $"{_directory} is in use by another process (it holds the lock on the folder and on {_directory}/LOCK); "
                + "stop that process or choose another data directory with --data DIR");
        }
    }

    /// <summary>A folder that an earlier build made is open to every user of the machine. What is in it is out of reach then, too.</summary>
    private void CloseToOthers()
    {
        const UnixFileMode owner = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
        try
        {
            if (!OperatingSystem.IsWindows() && Directory.Exists(_directory) && File.GetUnixFileMode(_directory) != owner)
            {
                File.SetUnixFileMode(_directory, owner);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            NodeLog.FolderOpen(_log, _directory, e.Message);
        }
    }

    private StoreNodeOptions StoreOptions(NodeIdentity identity, RoutingTable routing, IReadOnlyList<NodeConfig> nodes) => new()
    {
        ClusterId = identity.Layout.ClusterId,
        Self = identity.Number,
        NodeNames = identity.Layout.NodeNames,
        Routing = routing,
        Addresses =
            [.. nodes.Select(node => new AdvertisedNode(_config.NumberOf(node.Id), node.Id, $"{node.Http}", $"{node.Binary}", node.Zone))],
        Directory = _directory,
        Incarnation = identity.Incarnation,
        Uuid = identity.Uuid,
        Seed = (ulong)Random.Shared.NextInt64(),
        Writer = BinaryPrimitives.ReadUInt128LittleEndian(RandomNumberGenerator.GetBytes(16)),
        Workers = Math.Clamp(Environment.ProcessorCount / 2, 1, 16),
        TickMs = _config.Raft.TickMs,
        HeartbeatMs = _config.Raft.HeartbeatMs,
        ElectionTimeoutMs = _config.Raft.ElectionTimeoutMs,
        Limits = new RequestLimits
        {
            KeyBytes = _config.Limits.KeyBytes,
            ValueBytes = _config.Limits.ValueBytes,
            RequestBytes = _config.Limits.RequestBytes,
        },
        MemoryBytes = _config.Limits.MemoryBytes is > 0 and var bytes ? bytes : long.MaxValue,
        AcceptClockSkew = _config.Clocks.AcceptSkew,
        MaxLevel = MaxLevel,
        FolderLevel = identity.Level,
        MarkFolder = identity.RaiseLevel,
    };

    private RoutingTable PlanPlacement()
    {
        var members = _config.Nodes.Select(node => new RingMember(_config.NumberOf(node.Id), node.Zone, node.Weight));
        var ring = new HashRing(_config.ClusterId, members);
        return InitialPlacement.Plan(ring, _config.VirtualNodes, _config.Groups, _config.ReplicationFactor);
    }

    private void SayWhoWeAre(NodeIdentity identity)
    {
        if (identity.Incarnation == 1)
        {
            NodeLog.FirstStart(_log, identity.Uuid, _directory);
        }
        else
        {
            NodeLog.LaterStart(_log, identity.Incarnation, _directory);
        }

        var open = Endpoints.Addresses.Where(address => !address.ListensOnLoopback).ToArray();
        if (open.Length > 0)
        {
            NodeLog.Insecure(_log, string.Join(", ", open.Select(address => address.Listened)));
        }
    }

    private async Task DrainAsync(StoreNode store, bool handOver)
    {
        NodeLog.Draining(_log, store.InFlight);
        _door?.Services.GetRequiredService<BinaryDoor>().GoAway(GoAwayReason.Draining, DrainLimitMs);
        _door?.Services.GetRequiredService<FrontDoor>().BeginDrain();
        store.BeginDrain(handOver);
        var until = Environment.TickCount64 + DrainLimitMs;
        while (!store.IsDrained && Environment.TickCount64 < until && !_failed.Task.IsCompleted)
        {
            await Task.Delay(DrainPollMs).ConfigureAwait(false);
        }
    }

    private async Task<bool> WithinLimitAsync(string what, Task ending)
    {
        if (await Task.WhenAny(ending, Task.Delay(EndLimitMs)).ConfigureAwait(false) == ending)
        {
            await ending.ConfigureAwait(false);
            return true;
        }

        NodeLog.StopTookTooLong(_log, what, EndLimitMs);
        return false;
    }

    private void OnFailed(string where, Exception reason) => Fail(ExitCode.Failed, () => NodeLog.Failed(_log, where, reason));

    private void OnRefusedByCluster(NodeIdentity identity, HelloRefused refused) => Fail(ExitCode.BadInput, () =>
    {
        NodeLog.RefusedByCluster(_log, refused.Detail);
        if (refused.Reason is HelloRefusal.UuidChanged or HelloRefusal.IncarnationTooOld)
        {
            MarkRefused(identity, refused);
        }
    });

    // Without the mark the next start learns it from the cluster again.
    private static void MarkRefused(NodeIdentity identity, HelloRefused refused)
    {
        try
        {
            identity.MarkRefused(refused.Detail);
        }
        catch (StorageException full) when (full.IsFull)
        {
            // it ends with the refusal it was told, not with that of the disk
        }
    }

    // The first one counts. It is said before it is known: whoever learns of it may end the process, and the reason with it.
    private void Fail(int exitCode, Action say)
    {
        if (_killed || Interlocked.Exchange(ref _failing, 1) != 0)
        {
            return;
        }

        try
        {
            say();
        }
        finally
        {
            _failed.SetResult(exitCode);
        }
    }

    private ConfigurationException CannotListen(string which, Exception e)
    {
        var (cause, remedy) = (e as SocketException ?? e.InnerException as SocketException)?.SocketErrorCode switch
        {
            SocketError.AddressNotAvailable => (
                "that is not an address of this machine", "correct it in the configuration, or say in \"listen\" which of its addresses to use"),
            SocketError.AccessDenied => ("this user may not use the port", "choose one above 1023, or give the user the right"),
            SocketError.AddressFamilyNotSupported => ("this machine has no IPv6", "use an IPv4 address in the configuration"),
            SocketError.TooManyOpenSockets => ("the process has no file descriptors left", "raise its limit (ulimit -n)"),
            _ => (e.Message.TrimEnd('.'), "stop the program that uses the port, or change the address in the configuration"),
        };
        return new ConfigurationException($"node {Name} cannot listen on {which}: {cause}; {remedy}", e);
    }
}
