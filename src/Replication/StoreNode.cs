using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>STUB: everything a node is, put together over the seams. Threads, sockets and configuration stay outside.</summary>
public sealed record StoreNodeOptions
{
    public required string ClusterId { get; init; }
    public required NodeId Self { get; init; }

    /// <summary>Name of each node, index = NodeId.Value - 1 (sorted).</summary>
    public required IReadOnlyList<string> NodeNames { get; init; }
    public required RoutingTable Routing { get; init; }

    /// <summary>Folder of this node: wal/ and snap/ live in it.</summary>
    public required string Directory { get; init; }

    /// <summary>From the identity file, raised at every start.</summary>
    public required ulong Incarnation { get; init; }
    public required Guid Uuid { get; init; }
    public required ulong Seed { get; init; }
    public int Workers { get; init; } = 1;
    public int TickMs { get; init; } = 50;
    public int HeartbeatMs { get; init; } = 100;
    public int ElectionTimeoutMs { get; init; } = 1000;
    public WalOptions Wal { get; init; } = new();
}

public sealed class StoreNode : IDisposable
{
    /// <summary>Recovers the node from its folder. Everything it then sends may be acted on: it is durable.</summary>
    public static StoreNode Open(StoreNodeOptions options, IFileSystem files, ITransport transport, TimeProvider time, Action<NodeEvent> events) => throw new NotSupportedException();

    public IReadOnlyList<ShardLoop> Loops => throw new NotSupportedException();
    public WriteAheadLog Log => throw new NotSupportedException();

    /// <summary>Snapshot work: RunOnce is called by Node's snapshot thread.</summary>
    public SnapshotQueue Snapshots => throw new NotSupportedException();

    /// <summary>True once every local group has known a leader since start (and not draining).</summary>
    public bool IsReady => throw new NotSupportedException();

    public RoutingTable Routing => throw new NotSupportedException();

    /// <summary>The front door behind every front door. Any thread. The sink is completed exactly once.</summary>
    public void Submit(KvRequest request, IReplySink sink) => throw new NotSupportedException();

    /// <summary>A payload from a peer whose handshake is finished. The memory is copied before returning. False: the inbox is full, the payload is dropped.</summary>
    public bool OnPeerPayload(NodeId from, ReadOnlyMemory<byte> payload) => throw new NotSupportedException();

    /// <summary>The connection to a peer is gone and could not be re-made within a heartbeat interval: evidence that its leaders are.</summary>
    public void OnPeerLost(NodeId peer) => throw new NotSupportedException();

    /// <summary>Refuses new requests with Draining; what is in flight is answered or fails honestly.</summary>
    public void BeginDrain() => throw new NotSupportedException();

    /// <summary>Requests submitted and not answered yet.</summary>
    public int InFlight => throw new NotSupportedException();

    /// <summary>One line per local group, ascending; a consistent copy, at most a turn old.</summary>
    public IReadOnlyList<GroupStatus> Groups => throw new NotSupportedException();

    public NodeCounters Counters => throw new NotSupportedException();

    public void Dispose() => throw new NotSupportedException();
}

public sealed record GroupStatus(
    GroupId Group, ulong ReplicaId, string Role, NodeId Leader, ulong Term, ulong Commit, ulong Applied, ulong FirstIndex, ulong LastIndex,
    long LogBytes, long Keys, ulong SnapshotIndex);

/// <summary>Totals since start, for /metrics and load reports.</summary>
public readonly record struct NodeCounters(
    long Requests, long Forwards, long Proposals, long EntriesApplied, long CommandsApplied, long ReadRounds, long StrongReads,
    long LocalReads, long Elections, long Overloaded, long PeerPayloadsDropped, long TableBytesReserved, long TableBytesLive, WalCounters Wal);

/// <summary>A step worth a log line: group, term and index where they mean something.</summary>
public sealed record NodeEvent(NodeEventKind Kind, GroupId Group, ulong Term, ulong Index, string Text);

public enum NodeEventKind
{
    Recovered,
    BecameLeader,
    LeaderChanged,
    LostLeadership,
    Campaigning,
    SnapshotTaken,
    LogCompacted,
    LogHeldBack,
    PeerLost,
}

/// <summary>STUB: the loop that owns some of the node's groups.</summary>
public sealed class ShardLoop
{
    /// <summary>Called (any thread) when work arrives while the loop may be asleep.</summary>
    public Action? Wake { get; set; }

    /// <summary>One turn. True: there is more to do at once. Otherwise sleep until Wake or NextDueMs.</summary>
    public bool RunOnce() => throw new NotSupportedException();

    /// <summary>Milliseconds from now until the next tick is due.</summary>
    public int NextDueMs => throw new NotSupportedException();
}

/// <summary>STUB: snapshots waiting to be written, one step at a time.</summary>
public sealed class SnapshotQueue
{
    public Action? Wake { get; set; }

    /// <summary>Writes about maxBytes of the snapshot in progress. False: nothing to do.</summary>
    public bool RunOnce(int maxBytes) => throw new NotSupportedException();
}
