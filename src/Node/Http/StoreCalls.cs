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
    public required Func<RoutingTable> Routing { get; init; }
    public required Func<IReadOnlyList<GroupStatus>> Groups { get; init; }
    public required Func<bool> IsReady { get; init; }
    public required Func<NodeCounters> Counters { get; init; }
    public required NodeDirectory Nodes { get; init; }

    /// <summary>The store behind a handle, or null while the node recovers.</summary>
    public static Func<StoreCalls?> Of(StoreHandle handle)
    {
        StoreCalls? calls = null;
        return () => calls ?? (handle.Current is { } store ? calls = Of(store, new NodeDirectory(handle.Nodes)) : null);
    }

    private static StoreCalls Of(StoreNode store, NodeDirectory nodes) => new()
    {
        Submit = store.Submit,
        Routing = () => store.Routing,
        Groups = () => store.Groups,
        IsReady = () => store.IsReady,
        Counters = () => store.Counters,
        Nodes = nodes,
    };
}
