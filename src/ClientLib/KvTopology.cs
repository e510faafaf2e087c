using KvStore.Protocol;

namespace KvStore.Client;

/// <param name="Name">In the configuration.</param>
/// <param name="Http">host:port of its HTTP door.</param>
/// <param name="Binary">host:port of its binary door.</param>
/// <param name="Zone">Failure zone; empty when it has none.</param>
public sealed record KvNode(string Name, string Http, string Binary, string Zone);

/// <param name="Number">From 1.</param>
/// <param name="Leader">Name of the node that leads; null where the answering node knows of none.</param>
/// <param name="Replicas">Names of the nodes; the first is the preferred leader.</param>
public sealed record KvGroup(uint Number, string? Leader, IReadOnlyList<string> Replicas);

/// <param name="Slot">Of the key's hash tag, or of the whole key; 0 to 16,383.</param>
/// <param name="VirtualNode">The arc of the ring that holds the slot.</param>
/// <param name="Group">The Raft group that owns the arc.</param>
public sealed record KvLocation(int Slot, int VirtualNode, KvGroup Group);

/// <summary>The cluster as one node described it.</summary>
/// <param name="ClusterId">In the configuration.</param>
/// <param name="Epoch">Of the table; raised by every change of it.</param>
/// <param name="VirtualNodes">Arcs of the ring.</param>
/// <param name="Nodes">By number.</param>
/// <param name="Groups">By number.</param>
public sealed record KvTopology(
    string ClusterId, ulong Epoch, int VirtualNodes, IReadOnlyList<KvNode> Nodes, IReadOnlyList<KvGroup> Groups)
{
    internal RoutingTable Table { get; init; } = null!;
}
