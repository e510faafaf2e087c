using KvStore.Protocol;

namespace KvStore.Node.Config;

/// <summary>
/// What cluster.json, the environment and the command line say together, checked. Every node of a cluster is given the same
/// one.
/// </summary>
public sealed record ClusterConfig
{
    public required string ClusterId { get; init; }
    public int ReplicationFactor { get; init; } = 3;
    public int VirtualNodes { get; init; } = 1024;
    public int Groups { get; init; } = 64;

    /// <summary>Sorted by id, ordinal: the position decides the number of a node.</summary>
    public required IReadOnlyList<NodeConfig> Nodes { get; init; }

    public RaftSettings Raft { get; init; } = new();
    public ReadSettings Reads { get; init; } = new();
    public LimitSettings Limits { get; init; } = new();
    public DoorSettings Doors { get; init; } = new();
    public UpgradeSettings Upgrade { get; init; } = new();
    public ClockSettings Clocks { get; init; } = new();
    public SecuritySettings Security { get; init; } = new();
    public LogSettings Log { get; init; } = new();

    public NodeConfig Node(string id) => Nodes.First(node => node.Id == id);

    public NodeConfig Node(NodeId id) => Nodes[(int)id.Value - 1];

    public NodeId NumberOf(string id) => new(1 + (uint)Nodes.ToList().FindIndex(node => node.Id == id));
}

/// <summary>One line of "nodes". A port may be 0 when all nodes run in one process: the system chooses it.</summary>
public sealed record NodeConfig(string Id, NodeAddress Http, NodeAddress Peer, NodeAddress Binary, string Zone, int Weight)
{
    public IReadOnlyList<NodeAddress> Addresses => [Http, Peer, Binary];
}

public sealed record RaftSettings
{
    public int TickMs { get; init; } = 50;
    public int HeartbeatMs { get; init; } = 100;
    public int ElectionTimeoutMs { get; init; } = 1000;
}

public sealed record ReadSettings
{
    /// <summary>Level of a read that names none.</summary>
    public ReadLevel Default { get; init; } = ReadLevel.Strong;

    /// <summary>Bound of a bounded read that names none.</summary>
    public int MaxStalenessMs { get; init; } = 5000;
    public bool Lease { get; init; }
}

/// <summary>
/// Bytes. Each may be lowered below what the protocol allows (<see cref="KvStore.Protocol.Limits"/>), never raised above it.
/// </summary>
public sealed record LimitSettings
{
    public int KeyBytes { get; init; } = KvStore.Protocol.Limits.MaxKeyBytes;
    public int ValueBytes { get; init; } = KvStore.Protocol.Limits.MaxValueBytes;
    public int RequestBytes { get; init; } = KvStore.Protocol.Limits.MaxRequestBytes;

    /// <summary>Memory the node may plan with; 0 in the file means 60 % of what is available to the process.</summary>
    public long MemoryBytes { get; init; }

    /// <summary>
    /// What a node's doors may hold of one kind (bodies, frames, answers) beside what its store counts: a sixteenth of its memory, where that
    /// is known. Three of them and the whole of its memory are less than three quarters of the machine.
    /// </summary>
    /// <param name="most">Of a node with much memory.</param>
    public long ShareOfDoors(long most) => MemoryBytes > 0 ? Math.Min(most, MemoryBytes / 16) : most;
}

public sealed record UpgradeSettings
{
    /// <summary>Highest feature level the node says it knows. Held at that of the build before, an upgrade can be taken back.</summary>
    public ushort MaxLevel { get; init; } = FeatureLevel.Max;
}

public sealed record ClockSettings
{
    /// <summary>A new cluster takes its time from wall clocks that are more than a minute apart, too.</summary>
    public bool AcceptSkew { get; init; }
}

public sealed record SecuritySettings
{
    /// <summary>Allows addresses other machines can reach although nothing authenticates them yet.</summary>
    public bool Insecure { get; init; }

    /// <summary>What the nodes prove to each other that they know; null: nothing, which is possible on loopback only.</summary>
    public ClusterSecret? ClusterSecret { get; init; }
}

public enum LogFormat
{
    Text,
    Json,
}

public sealed record LogSettings
{
    public Serilog.Events.LogEventLevel Level { get; init; } = Serilog.Events.LogEventLevel.Information;
    public LogFormat Format { get; init; } = LogFormat.Text;
}
