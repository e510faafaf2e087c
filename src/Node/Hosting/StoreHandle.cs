using KvStore.Node.Config;
using KvStore.Replication;

namespace KvStore.Node.Hosting;

/// <summary>
/// Where the front doors find the store. Ports are bound before the log is recovered, so for a while there is none: the doors
/// answer Starting until <see cref="Current"/> is set. It is set once and never taken back.
/// </summary>
public sealed class StoreHandle
{
    private volatile StoreNode? _current;

    public StoreNode? Current => _current;

    /// <summary>
    /// All nodes by number - 1 with the ports they really have (port 0 replaced). Empty until <see cref="Current"/> is set.
    /// </summary>
    public IReadOnlyList<NodeConfig> Nodes { get; private set; } = [];

    public void Set(StoreNode store, IReadOnlyList<NodeConfig> nodes)
    {
        Nodes = nodes;
        _current = store; // the volatile write publishes Nodes as well
    }
}
