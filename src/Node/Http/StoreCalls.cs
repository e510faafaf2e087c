using KvStore.Node.Config;
using KvStore.Node.Hosting;
using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Node.Http;

/// <summary>
/// The calls of a <see cref="StoreNode"/> that the front doors make: delegates, so that tests script the answers of a store
/// that would need disks and peers to be real.
/// </summary>
internal sealed record StoreCalls
{
    public required Action<KvRequest, IReplySink> Submit { get; init; }

    /// <summary>Asks exactly this node's own replica; nobody passes it on.</summary>
    public required Action<NodeId, KvRequest, IReplySink> SubmitTo { get; init; }

    /// <summary>What the local replicas have applied now.</summary>
    public required Func<IEnumerable<KeyValuePair<GroupId, SessionPoint>>> SessionPoints { get; init; }
    public required Func<RoutingTable> Routing { get; init; }
    public required Func<IReadOnlyList<GroupStatus>> Groups { get; init; }
    public required Func<Readiness> Readiness { get; init; }
    public required Func<NodeCounters> Counters { get; init; }
    public required Func<RoomStatus> Room { get; init; }
    public required Func<DiskStatus> Disk { get; init; }
    public required Func<GroupId, Action<StateHash>, bool> TryHashState { get; init; }
    public required NodeDirectory Nodes { get; init; }

    /// <summary>What this node says of itself to binary clients; protocol, features and epoch are filled in per connection.</summary>
    public required HelloAck Introduction { get; init; }

    /// <summary>The store behind a handle, or null while the node recovers.</summary>
    public static Func<StoreCalls?> Of(StoreHandle handle, FrontDoorOptions options)
    {
        StoreCalls? calls = null;
        return () => calls ?? (handle.Current is { } store ? calls = Of(store, handle.Nodes, options) : null);
    }

    private static StoreCalls Of(StoreNode store, IReadOnlyList<NodeConfig> nodes, FrontDoorOptions options) => new()
    {
        Submit = store.Submit,
        SubmitTo = store.SubmitTo,
        SessionPoints = () => store.SessionPoints,
        Routing = () => store.Routing,
        Groups = () => store.Groups,
        Readiness = () => store.Readiness,
        Counters = () => store.Counters,
        Room = () => store.Room,
        Disk = () => store.DiskStatus,
        TryHashState = store.TryHashState,
        Nodes = new NodeDirectory(nodes),
        Introduction = new HelloAck
        {
            Protocol = ProtocolVersion.Max,
            ClusterId = options.Config.ClusterId,
            NodeName = options.NodeName,
            NodeId = store.Self,
            Uuid = store.Options.Uuid,
            Incarnation = store.Options.Incarnation,
            Level = store.Options.MaxLevel,
            LayoutHash = new ClusterLayout(
                options.Config.ClusterId, options.Config.VirtualNodes, options.Config.Groups, options.Config.ReplicationFactor,
                store.Options.NodeNames).Hash(),
        },
    };
}
