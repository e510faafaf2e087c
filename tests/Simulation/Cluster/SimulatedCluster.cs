using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Replication;
using KvStore.Storage;

namespace KvStore.Simulation;

/// <summary>What a run is made of. Everything not said here is drawn from the seed.</summary>
public sealed record ClusterOptions
{
    public required ulong Seed { get; init; }
    public int Nodes { get; init; } = 3;
    public int Groups { get; init; } = 16;
    public int VirtualNodes { get; init; } = 64;
    public NetworkOptions Network { get; init; } = new();

    /// <summary>Small segments, so that a short run rolls, frees and recovers several.</summary>
    public WalOptions Wal { get; init; } = new() { SegmentBytes = 256 * 1024, MaxBatchBytes = 64 * 1024 };

    /// <summary>Changes of configuration say the epoch of their table and the nodes of newcomers.</summary>
    public bool ChangesFollowEpochs { get; init; }

    public Func<StoreNodeOptions, StoreNodeOptions> Adjust { get; init; } = o => o;
}

/// <summary>A whole cluster on one thread: real cores, logs, tables and request handling over simulated machines.</summary>
public sealed class SimulatedCluster
{
    public const string ClusterId = "simulated";

    private readonly ClusterOptions _options;
    private readonly SimulatedNode[] _nodes;
    private readonly RoutingTable _routing;
    private readonly Dictionary<(GroupId Group, ulong Term), NodeId> _leaders = [];
    private readonly Dictionary<(GroupId Group, ulong Applied), (NodeId Node, ulong Hash)> _hashes = [];
    private readonly Dictionary<(GroupId Group, ushort Level), ulong> _raisedIn = [];
    private readonly Promises _promises = new();
    private readonly CommitSurvival _survival;

    public SimulatedCluster(ClusterOptions options)
    {
        _options = options;
        Random = new SimulatedRandom(options.Seed);
        Scheduler = new Scheduler();
        _routing = Route(options);
        Network = new SimulatedNetwork(Scheduler, Random.Fork(), options.Network, id => _nodes![id.Value - 1])
        {
            OnSend = (from, _, payload) => _promises.OnSend(from, payload),
            OnForward = (from, request) => Forwards!.OnForwarded(from, request),
        };
        string[] names = [.. Enumerable.Range(1, options.Nodes).Select(n => $"n{n}")];
        _nodes = [.. Enumerable.Range(1, options.Nodes).Select(n => MakeNode(new NodeId((uint)n), names))];
        GroupTime = new GroupTime(Scheduler);
        Forwards = new Forwards(Scheduler, _routing, Marks);
        Configurations = new ConfigurationHistory(_routing, Marks);
        _survival = new CommitSurvival(Configurations, _nodes);
        Placement = new PlacementDriver(this, _routing, Random.Fork(), options.ChangesFollowEpochs);
        Network.KeepConnected(_nodes);
    }

    public Scheduler Scheduler { get; }

    public SimulatedRandom Random { get; }

    public SimulatedNetwork Network { get; }

    public IReadOnlyList<SimulatedNode> Nodes => _nodes;

    /// <summary>As at the first start; which key belongs to which group never changes.</summary>
    public RoutingTable Routing => _routing;

    /// <summary>What the nodes reported, newest last; for the story of a failed run.</summary>
    public List<string> Story { get; } = [];

    /// <summary>Told of every election, in the middle of the new leader's turn: nothing it says as a leader has left yet.</summary>
    public Action<SimulatedNode>? Elected { get; set; }

    public CommittedHistory Committed { get; } = new();

    public CoverageMarks Marks { get; } = new();

    public ConfigurationHistory Configurations { get; }

    public PlacementDriver Placement { get; }

    public GroupTime GroupTime { get; }

    public Forwards Forwards { get; }

    public void StartAll()
    {
        foreach (SimulatedNode node in _nodes)
        {
            Start(node);
        }
    }

    /// <summary>Starts a process on a machine, and checks that it remembers what earlier ones told others.</summary>
    public void Start(SimulatedNode node)
    {
        try
        {
            node.Start();
        }
        catch (StorageException failure) when (node.OnDiskFailure is { } told)
        {
            told(node, failure);
            return;
        }
        catch (IdentityException refused)
        {
            if (node.OnFolderRefused?.Invoke(node, refused) == true)
            {
                return;
            }

            // As it must when the folder holds what the build would not understand, and never else.
            Tell($"n{node.Id} does not start: {refused.Message}");
            Marks.Hit(CoverageMarks.FolderRefused);
            if (node.MaxLevel == FeatureLevel.Max)
            {
                throw new SafetyViolationException("folder-refused", refused.Message);
            }

            return;
        }

        StoreNode store = node.Store!;
        foreach (Replica replica in store.LocalReplicas)
        {
            Committed.OnStart(node.Id, replica.Group, replica.SnapshotIndex);
            _promises.OnRecovered(node.Id, replica.Group, replica.Id, replica.RecoveredHardState, replica.DurableLastIndex);
        }

        _promises.OnAllRecovered(node.Id, (group, replica) =>
            store.LocalReplica(group)?.Id == replica || Placement.Current.ReplicasOf(group).All(p => p.ReplicaId != replica.Value));

        store.Shared.Events.Installed = (group, index) => Committed.OnStart(node.Id, group, index);
        store.Shared.Events.Applied = (group, term, entry) =>
        {
            if (Committed.OnApplied(node.Id, group, entry, term))
            {
                GroupTime.OnCommitted(group, entry);
                _survival.OnCommitted(group, entry);
                CheckRaise(group, entry);
                Configurations.OnCommitted(group, entry, store.LocalReplica(group)!);
            }

            Marks.Hit(CoverageMarks.EntryAtLaterLevel, entry.FeatureLevel > FeatureLevel.First ? 1 : 0);
            Marks.Hit(CoverageMarks.CappedNodeApplied, node.IsCapped && entry.Kind == EntryKind.Command ? 1 : 0);
        };
    }

    /// <summary>Nobody raises a group to what one of its members never said it knows.</summary>
    private void CheckRaise(GroupId group, Entry entry)
    {
        if (entry.Kind != EntryKind.NoOp || entry.Payload.IsEmpty)
        {
            return;
        }

        for (ushort level = FeatureLevel.First; level <= entry.NeededLevel; level++)
        {
            _raisedIn.TryAdd((group, level), entry.Term);
        }

        ConfState members = Configurations.Newest(group);
        foreach (ReplicaPlacement place in Placement.Current.ReplicasOf(group))
        {
            if (members.IsMember(new ReplicaId(place.ReplicaId)) && _nodes[place.Node.Value - 1].HighestLevelSaid < entry.NeededLevel)
            {
                throw new SafetyViolationException(
                    "level-unsaid", $"group {group} is raised to level {entry.NeededLevel} at index {entry.Index}, which n{place.Node} never said");
            }
        }
    }

    /// <summary>
    /// Somebody may rightly say that a group is below a level: it is, or a node of the older build is on the way to it, or a leader of a
    /// term in which it was does not know yet that its term is over. A newer leader knows better, once it has applied what was committed.
    /// </summary>
    public bool MayLackLevel(GroupId group, ushort level) =>
        level > FeatureLevel.First
        && (!_raisedIn.TryGetValue((group, level), out ulong term)
            || _nodes.Any(n => n.MaxLevel < level || n.Store?.Options.MaxLevel < level
                || n.Store?.Groups.Any(g => g.Group == group && g.Role == "leader" && g.Term <= term) == true));

    /// <summary>Replicas of a group at the same applied index hold the same state: rows, records and floors.</summary>
    public void CompareReplicas(GroupId group)
    {
        foreach (SimulatedNode node in _nodes)
        {
            if (node.Store?.LocalReplicas.FirstOrDefault(r => r.Group == group) is not { } replica)
            {
                continue;
            }

            (ulong applied, ulong hash) = replica.StateHash();
            if (!_hashes.TryAdd((group, applied), (node.Id, hash)) && _hashes[(group, applied)].Hash != hash)
            {
                throw new SafetyViolationException(
                    "replicas-equal", $"nodes {node.Id} and {_hashes[(group, applied)].Node} differ in group {group} at index {applied}");
            }
        }
    }

    public void Tell(string what) => Story.Add($"{Scheduler.NowMicros / 1000,8} ms  {what}");

    /// <summary>kill -9: the process is gone, what it wrote is in the page cache. The others see their connections break.</summary>
    public void Kill(SimulatedNode node)
    {
        node.StopProcess();
        node.Disk.CrashProcess();
        foreach (SimulatedNode other in _nodes)
        {
            if (other != node)
            {
                Scheduler.After(Random.Between(100, 5_000), "peer-lost", (int)other.Id.Value, () =>
                {
                    if (node.Store is null)
                    {
                        other.Store?.OnPeerLost(node.Id);
                    }
                });
            }
        }
    }

    public bool RunUntilReady(long limitMicros = 20_000_000) =>
        Scheduler.RunUntil(() => _nodes.All(n => n.Store is { IsReady: true }) && LeaderCount() == _options.Groups, limitMicros);

    /// <summary>Who was elected; none when nobody was.</summary>
    public NodeId LeaderOf(GroupId group, ulong term) => _leaders.GetValueOrDefault((group, term));

    /// <summary>Groups that have a leader now (among running nodes).</summary>
    public int LeaderCount() => _nodes
        .Where(n => n.Store is not null)
        .SelectMany(n => n.Store!.Groups)
        .Where(g => g.Role == "leader")
        .Select(g => g.Group)
        .Distinct()
        .Count();

    private static RoutingTable Route(ClusterOptions options)
    {
        int perGroup = options.VirtualNodes / options.Groups;
        GroupId[] groupOfVirtualNode = [.. Enumerable.Range(0, options.VirtualNodes).Select(v => new GroupId((uint)(1 + v / perGroup)))];
        var replicas = new List<IReadOnlyList<ReplicaPlacement>> { Array.Empty<ReplicaPlacement>() };
        ulong nextReplica = 1;
        int replication = Math.Min(3, options.Nodes);
        for (int g = 0; g < options.Groups; g++)
        {
            replicas.Add([.. Enumerable.Range(0, replication)
                .Select(r => new ReplicaPlacement(nextReplica++, new NodeId((uint)(1 + (g + r) % options.Nodes))))]);
        }

        return new RoutingTable(1, groupOfVirtualNode, replicas);
    }

    private SimulatedNode MakeNode(NodeId id, string[] names)
    {
        SimulatedRandom random = Random.Fork();
        ulong seed = random.Next();
        var clock = new SimulatedClock(Scheduler)
        {
            OriginMicros = random.Between(1, 1L << 40),
            WallOffsetMs = random.Between(-200, 200),
            DriftPpm = (int)random.Between(-500, 500),
        };
        var disk = new MemoryFileSystem(random.Below(int.MaxValue));
        Guid uuid = new((int)id.Value, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
        return new SimulatedNode(id, Scheduler, random, disk, clock, Network.TransportOf(id), life => _options.Adjust(new StoreNodeOptions
        {
            ClusterId = ClusterId,
            Self = id,
            NodeNames = names,
            Addresses = [.. names.Select((name, n) => new AdvertisedNode(new NodeId((uint)n + 1), name, $"{name}:80", $"{name}:81", ""))],
            Routing = Placement.TableAtStart(_nodes[id.Value - 1]),
            Directory = $"/data/{names[id.Value - 1]}",
            Incarnation = life,
            Uuid = uuid,
            Seed = seed ^ life,
            Writer = new UInt128(seed, life << 16),
            Wal = _options.Wal,
        }), OnEvent)
        {
            OnEnded = Marks.AddFrom,
        };
    }

    private void OnEvent(NodeId node, NodeEvent e)
    {
        Scheduler.Fold(e.Term ^ (e.Index << 20) ^ ((ulong)e.Kind << 60));
        Story.Add($"{Scheduler.NowMicros / 1000,8} ms  n{node}  group {e.Group} term {e.Term} index {e.Index}: {e.Text}");
        Marks.Hit(e.Kind.ToString());
        if (e.Kind != NodeEventKind.BecameLeader)
        {
            return;
        }

        if (!_leaders.TryAdd((e.Group, e.Term), node) && _leaders[(e.Group, e.Term)] != node)
        {
            throw new SafetyViolationException(
                "election-safety", $"nodes {_leaders[(e.Group, e.Term)]} and {node} both lead group {e.Group} in term {e.Term}");
        }

        Replica leader = _nodes[node.Value - 1].Store!.LocalReplicas.First(r => r.Group == e.Group);
        Committed.OnLeader(node, e.Group, e.Term, leader.SnapshotIndex, leader.TermAt);
        Elected?.Invoke(_nodes[node.Value - 1]);
    }
}
