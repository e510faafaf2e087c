using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication;

/// <summary>Whoever is told what happens in a node. The three hooks are the simulator's and set before the first turn.</summary>
internal sealed class NodeEvents(Action<NodeEvent> report)
{
    /// <summary>Every entry a local replica applies, in order, and the replica's term.</summary>
    public Action<GroupId, ulong, Entry>? Applied { get; set; }

    /// <summary>A local replica continues from a fetched snapshot up to this index.</summary>
    public Action<GroupId, ulong>? Installed { get; set; }

    /// <summary>
    /// Called between the steps of a read on its caller's thread, where other threads may run and the process may stand still.
    /// </summary>
    public Action? BetweenReadSteps { get; set; }

    public void Report(NodeEvent nodeEvent) => report(nodeEvent);
}
