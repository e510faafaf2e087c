namespace KvStore.Protocol;

/// <summary>One replica of a group and where it lives. ReplicaId is KvStore.Raft's number: one incarnation, never reused.</summary>
public readonly record struct ReplicaPlacement(ulong ReplicaId, NodeId Node);

/// <summary>
/// Who owns what at one epoch: slot → virtual node → group → replicas. Immutable; replaced as a whole by one reference swap.
/// </summary>
public sealed class RoutingTable
{
    /// <summary>The table a cluster starts with.</summary>
    public const ulong FirstEpoch = 1;

    private readonly GroupId[] _groupOfVirtualNode;
    private readonly IReadOnlyList<ReplicaPlacement>[] _replicas;

    /// <param name="epoch">Raised by every change; the static bootstrap table is epoch 1.</param>
    /// <param name="groupOfVirtualNode">A power of two entries, at most 16,384.</param>
    /// <param name="replicas">Index = group number; index 0 (the meta group) may be empty. The first replica is the preferred leader.</param>
    public RoutingTable(ulong epoch, IReadOnlyList<GroupId> groupOfVirtualNode, IReadOnlyList<IReadOnlyList<ReplicaPlacement>> replicas)
    {
        Epoch = epoch;
        _groupOfVirtualNode = [.. groupOfVirtualNode];
        _replicas = [.. replicas];
    }

    public ulong Epoch { get; }

    public int VirtualNodeCount => _groupOfVirtualNode.Length;

    /// <summary>Data groups are 1…GroupCount.</summary>
    public int GroupCount => _replicas.Length - 1;

    public int VirtualNodeOf(ReadOnlySpan<byte> key) => Slot.Of(key) / (Limits.SlotCount / _groupOfVirtualNode.Length);

    public GroupId GroupOf(int virtualNode) => _groupOfVirtualNode[virtualNode];

    public GroupId GroupOf(ReadOnlySpan<byte> key) => GroupOf(VirtualNodeOf(key));

    public IReadOnlyList<ReplicaPlacement> ReplicasOf(GroupId group) => _replicas[group.Value];

    /// <summary>The group's replica on a node; 0 when there is none. At most one: two of them would fail together.</summary>
    public ulong ReplicaOn(GroupId group, NodeId node) => _replicas[group.Value].FirstOrDefault(p => p.Node == node).ReplicaId;

    /// <summary>Virtual nodes of a group, ascending.</summary>
    public int[] VirtualNodesOf(GroupId group) =>
        [.. Enumerable.Range(0, VirtualNodeCount).Where(v => _groupOfVirtualNode[v] == group)];
}
