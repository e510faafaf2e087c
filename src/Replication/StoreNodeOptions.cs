using System.Numerics;
using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>What a node is told about itself. Times in milliseconds, limits in bytes unless their name says otherwise.</summary>
public sealed record StoreNodeOptions
{
    public required string ClusterId { get; init; }
    public required NodeId Self { get; init; }

    /// <summary>Name of each node, index = NodeId.Value - 1 (sorted).</summary>
    public required IReadOnlyList<string> NodeNames { get; init; }
    public required RoutingTable Routing { get; init; }

    /// <summary>How clients reach the nodes; what they are told when they ask.</summary>
    public IReadOnlyList<AdvertisedNode> Addresses { get; init; } = [];

    /// <summary>Folder of this node: wal/ and snap/ live in it.</summary>
    public required string Directory { get; init; }

    /// <summary>From the identity file, raised at every start; at most 2^24.</summary>
    public required ulong Incarnation { get; init; }
    public required Guid Uuid { get; init; }
    public required ulong Seed { get; init; }

    /// <summary>
    /// Client id under which this process writes what comes without an id: drawn anew for every process, 128 bits that nobody can guess, and
    /// told to nodes alone. A client that knew it could have its own requests taken for copies of other clients' writes.
    /// </summary>
    public required UInt128 Writer { get; init; }
    public int Workers { get; init; } = 1;
    public int TickMs { get; init; } = 50;
    public int HeartbeatMs { get; init; } = 100;
    public int ElectionTimeoutMs { get; init; } = 1000;

    /// <summary>
    /// A voter of this node votes for nobody for one election timeout after its start (see
    /// <see cref="RaftConfig.HoldsVoteAfterStart"/>).
    /// </summary>
    public bool HoldsVoteAfterStart { get; init; }

    /// <summary>A new cluster begins although its nodes' wall clocks are far apart (<see cref="StoreNode.OnPeerHello"/>).</summary>
    public bool AcceptClockSkew { get; init; }
    public WalOptions Wal { get; init; } = new();

    /// <summary>Requests submitted and not answered; beyond it <see cref="StoreNode.Submit"/> answers Overloaded.</summary>
    public int MaxInFlightRequests { get; init; } = 16_384;

    /// <summary>
    /// Of these, requests that are with one other node; one more is answered Overloaded. A quarter, so that a node which does not answer
    /// leaves room for what others answer. Both numbers are shared fairly between connections (<see cref="FairShare"/>).
    /// </summary>
    public int MaxForwardsPerNode { get; init; } = 4096;

    /// <summary>Key and value bytes of those requests; beyond it Overloaded.</summary>
    public long MaxInFlightBytes { get; init; } = 128L << 20;

    /// <summary>
    /// Bounded and session reads of one loop that wait because their level could not be proved at once; one more is answered
    /// TooStale. A leader that is slow already is not finished off by everybody else's readers.
    /// </summary>
    public int MaxUnmetReads { get; init; } = 4096;

    /// <summary>Peer payload bytes a loop has been handed and not looked at; beyond it payloads are dropped and counted.</summary>
    public long MaxPeerInboxBytes { get; init; } = 64L << 20;

    /// <summary>A group is snapshotted when its log has grown by this much, or by half its table if that is more.</summary>
    public long SnapshotMinLogBytes { get; init; } = 16L << 20;

    /// <summary>... or by so many entries.</summary>
    public ulong SnapshotMinEntries { get; init; } = 50_000;

    /// <summary>
    /// Entries in front of a snapshot that are kept for voters that do not have them; who needs older ones fetches the
    /// snapshot.
    /// </summary>
    public ulong MaxTrailingEntries { get; init; } = 10_000;

    /// <summary>A group's log that is larger keeps none.</summary>
    public long MaxTrailingLogBytes { get; init; } = 64L << 20;

    /// <summary>
    /// Memory for tables, idempotency records, entries kept in memory and requests: near it what grows is refused
    /// (<see cref="MemoryRoom"/>), and the other limits in bytes are at most the shares of it that <see cref="WithinMemory"/> gives them.
    /// </summary>
    public long MemoryBytes { get; init; } = long.MaxValue;

    /// <summary>Checked for every request, whatever door it comes through.</summary>
    public RequestLimits Limits { get; init; } = new();

    /// <summary>
    /// Log kept for a follower that fetches a snapshot or catches up behind one, and makes progress. Larger, and it is cut all the
    /// same: the follower fetches again, for a full disk would stop this node.
    /// </summary>
    public long MaxCatchUpLogBytes { get; init; } = 512L << 20;

    /// <summary>
    /// Highest feature level that this node says it knows, takes and writes. Below <see cref="FeatureLevel.Max"/> it stands for an
    /// older build.
    /// </summary>
    public ushort MaxLevel { get; init; } = FeatureLevel.Max;

    /// <summary>What the folder is marked for already.</summary>
    public ushort FolderLevel { get; init; } = FeatureLevel.First;

    /// <summary>
    /// Marks the folder, durably, before it holds anything that needs this level. Called on the snapshot thread, with rising levels.
    /// Null: the folder needs no mark.
    /// </summary>
    public Action<ushort>? MarkFolder { get; init; }

    /// <summary>
    /// The same with limits that fit into the memory there is: queues and caches together take less than a third of it. None is
    /// so small that the largest request or payload would never pass.
    /// </summary>
    internal StoreNodeOptions WithinMemory() => this with
    {
        MaxInFlightBytes = Math.Min(MaxInFlightBytes, Math.Max(MemoryBytes / 8, Protocol.Limits.MaxRequestBytes)),
        MaxPeerInboxBytes = Math.Min(MaxPeerInboxBytes, Math.Max(MemoryBytes / 16 / Workers, Protocol.Limits.MaxPeerFrameBytes)),
        Wal = Wal with
        {
            EntryCacheBytes = Math.Min(Wal.EntryCacheBytes, MemoryBytes / 16),
            MaxQueuedBytes = Math.Min(Wal.MaxQueuedBytes, MemoryBytes / 16),
        },
    };

    /// <summary>
    /// The same with files that fit onto the disk: three segments and the reserve are a fifth of it at most, the log that is kept for others and
    /// the one that waits for compaction an eighth each. A disk of a gigabyte or more has what the options say.
    /// </summary>
    internal StoreNodeOptions WithinDisk(long totalBytes)
    {
        long segmentBytes = Math.Min(Wal.SegmentBytes, Math.Max(MinSegmentBytes, 1L << BitOperations.Log2((ulong)Math.Max(1, totalBytes / 16))));
        return this with
        {
            SnapshotMinLogBytes = Math.Min(SnapshotMinLogBytes, Math.Max(segmentBytes / 4, totalBytes / 64)),
            MaxTrailingLogBytes = Math.Min(MaxTrailingLogBytes, Math.Max(segmentBytes, totalBytes / 16)),
            MaxCatchUpLogBytes = Math.Min(MaxCatchUpLogBytes, Math.Max(segmentBytes, totalBytes / 8)),
            Wal = Wal with
            {
                SegmentBytes = segmentBytes,
                PurgeTriggerBytes = Math.Min(Wal.PurgeTriggerBytes, Math.Max(4 * segmentBytes, totalBytes / 8)),
            },
        };
    }

    /// <summary>The largest entries still fit.</summary>
    private const long MinSegmentBytes = 8L << 20;

    /// <summary>Chunks of the tables: a hundred size classes may each have one that is nearly empty.</summary>
    internal int TableChunkBytes => (int)Math.Clamp((long)BitOperations.RoundUpToPowerOf2((ulong)(MemoryBytes / Workers / 2048 + 1)), 128 << 10, 1 << 20);

    /// <summary>What the folder is marked for when the node opens it; one that needs no mark is marked for everything.</summary>
    internal uint LevelAtStart => MarkFolder is null ? ushort.MaxValue : FolderLevel;

    internal string NameOf(NodeId node) =>
        node.IsNone ? "nobody" : node.Value <= NodeNames.Count ? NodeNames[(int)node.Value - 1] : $"node {node}";

    internal string SnapshotDirectory(GroupId group) => $"{Directory}/snap/{group.Value}";

    internal int ElectionTicks => Math.Max(2, ElectionTimeoutMs / TickMs);
}
