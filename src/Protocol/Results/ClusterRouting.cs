namespace KvStore.Protocol;

/// <summary>A node as clients reach it. Number 0 is nobody's.</summary>
/// <param name="Node">Its number in tables and replies.</param>
/// <param name="Name">In the configuration.</param>
/// <param name="Http">host:port of its HTTP door.</param>
/// <param name="Binary">host:port of its binary door.</param>
/// <param name="Zone">Failure zone; empty when it has none.</param>
public readonly record struct AdvertisedNode(NodeId Node, string Name, string Http, string Binary, string Zone);

/// <summary>Who leads a group, as far as the answering node knows: a hint, and old the moment it is said.</summary>
public readonly record struct GroupLeader(GroupId Group, NodeId Leader, ulong Term);

/// <summary>
/// What a node knows of its cluster:
/// <c>[7, epoch, [[number, name, http, binary, zone], …], [group of virtual node, …], [[[replica, node], …] of group 0, …], [[group, leader, term], …]]</c>.
/// </summary>
/// <param name="Revision">Epoch of its table.</param>
/// <param name="Nodes">All nodes, by number.</param>
/// <param name="GroupOfVirtualNode">Empty, as the replicas are, when the asking side has this table or a newer one.</param>
/// <param name="Replicas">Index = group number; the first replica is the preferred leader.</param>
/// <param name="Leaders">Of the groups that have a replica on the answering node and know of a leader.</param>
public sealed record ClusterRouting(
    ulong Revision,
    IReadOnlyList<AdvertisedNode> Nodes,
    IReadOnlyList<GroupId> GroupOfVirtualNode,
    IReadOnlyList<IReadOnlyList<ReplicaPlacement>> Replicas,
    IReadOnlyList<GroupLeader> Leaders) : Result(Revision)
{
    /// <summary>Nodes, groups and replicas of a group that an answer may name; more are malformed.</summary>
    internal const int MaxNodes = 1024;

    internal const int MaxGroups = Limits.SlotCount + 1;
    private const int MaxReplicas = 64;
    private const int NodeFields = 5;
    private const int ReplicaFields = 2;
    private const int LeaderFields = 3;

    internal const byte ResultKind = 7;

    internal override byte Kind => ResultKind;

    internal override int Fields => 4;

    public override int HeldBytes => (64 * Nodes.Count) + (4 * GroupOfVirtualNode.Count) + (64 * Replicas.Count) + (16 * Leaders.Count);

    /// <summary>The answer of a node that has this table, to somebody who has that of another epoch.</summary>
    public static ClusterRouting Of(
        RoutingTable table, ulong sinceEpoch, IReadOnlyList<AdvertisedNode> nodes, IReadOnlyList<GroupLeader> leaders)
    {
        if (sinceEpoch >= table.Epoch)
        {
            return new ClusterRouting(table.Epoch, nodes, [], [], leaders);
        }

        return new ClusterRouting(
            table.Epoch,
            nodes,
            [.. Enumerable.Range(0, table.VirtualNodeCount).Select(table.GroupOf)],
            [.. Enumerable.Range(0, table.GroupCount + 1).Select(group => table.ReplicasOf(new GroupId((uint)group)))],
            leaders);
    }

    /// <summary>The table, or null when the answer holds none, or one that contradicts itself.</summary>
    public RoutingTable? ToTable()
    {
        int count = GroupOfVirtualNode.Count;
        bool isTable = count is >= 1 and <= Limits.SlotCount && (count & (count - 1)) == 0
            && GroupOfVirtualNode.All(group => group.Value >= 1 && group.Value < Replicas.Count);
        return isTable ? new RoutingTable(Revision, GroupOfVirtualNode, Replicas) : null;
    }

    internal override void WriteFields(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(Nodes.Count);
        foreach (AdvertisedNode node in Nodes)
        {
            writer.WriteArrayHeader(NodeFields);
            writer.Write(node.Node.Value);
            writer.Write(node.Name);
            writer.Write(node.Http);
            writer.Write(node.Binary);
            writer.Write(node.Zone);
        }

        writer.WriteArrayHeader(GroupOfVirtualNode.Count);
        foreach (GroupId group in GroupOfVirtualNode)
        {
            writer.Write(group.Value);
        }

        writer.WriteArrayHeader(Replicas.Count);
        foreach (IReadOnlyList<ReplicaPlacement> replicas in Replicas)
        {
            writer.WriteArrayHeader(replicas.Count);
            foreach (ReplicaPlacement replica in replicas)
            {
                writer.WriteArrayHeader(ReplicaFields);
                writer.Write(replica.ReplicaId);
                writer.Write(replica.Node.Value);
            }
        }

        writer.WriteArrayHeader(Leaders.Count);
        foreach (GroupLeader leader in Leaders)
        {
            writer.WriteArrayHeader(LeaderFields);
            writer.Write(leader.Group.Value);
            writer.Write(leader.Leader.Value);
            writer.Write(leader.Term);
        }
    }

    internal static bool TryReadFields(ref MessagePackReader reader, ulong revision, int fields, out Result? result)
    {
        result = null;
        if (fields < 4
            || !TryReadList(ref reader, MaxNodes, TryReadNode, out AdvertisedNode[] nodes)
            || !TryReadList(ref reader, Limits.SlotCount, TryReadGroup, out GroupId[] groups)
            || !TryReadList(ref reader, MaxGroups, TryReadReplicas, out ReplicaPlacement[][] replicas)
            || !TryReadList(ref reader, MaxGroups, TryReadLeader, out GroupLeader[] leaders)
            || !reader.TrySkip(fields - 4))
        {
            return false;
        }

        result = new ClusterRouting(revision, nodes, groups, replicas, leaders);
        return true;
    }

    private delegate bool ElementReader<T>(ref MessagePackReader reader, out T element);

    private static bool TryReadList<T>(ref MessagePackReader reader, int most, ElementReader<T> read, out T[] list)
    {
        list = [];
        if (!reader.TryReadArrayHeader(out int count) || count > most)
        {
            return false;
        }

        list = new T[count];
        for (int i = 0; i < count; i++)
        {
            if (!read(ref reader, out list[i]))
            {
                return false;
            }
        }

        return true;
    }

    private static bool TryReadNode(ref MessagePackReader reader, out AdvertisedNode node)
    {
        node = default;
        if (!reader.TryReadArrayHeader(out int fields) || fields < NodeFields || !reader.TryRead(out uint number)
            || !reader.TryReadString(Limits.MaxTextBytes, out string name) || !reader.TryReadString(Limits.MaxTextBytes, out string http)
            || !reader.TryReadString(Limits.MaxTextBytes, out string binary) || !reader.TryReadString(Limits.MaxTextBytes, out string zone)
            || !reader.TrySkip(fields - NodeFields))
        {
            return false;
        }

        node = new AdvertisedNode(new NodeId(number), name, http, binary, zone);
        return true;
    }

    private static bool TryReadGroup(ref MessagePackReader reader, out GroupId group)
    {
        bool read = reader.TryRead(out uint number);
        group = new GroupId(number);
        return read;
    }

    private static bool TryReadReplicas(ref MessagePackReader reader, out ReplicaPlacement[] replicas) =>
        TryReadList(ref reader, MaxReplicas, TryReadReplica, out replicas);

    private static bool TryReadReplica(ref MessagePackReader reader, out ReplicaPlacement replica)
    {
        replica = default;
        if (!reader.TryReadArrayHeader(out int fields) || fields < ReplicaFields || !reader.TryRead(out ulong id)
            || !reader.TryRead(out uint node) || !reader.TrySkip(fields - ReplicaFields))
        {
            return false;
        }

        replica = new ReplicaPlacement(id, new NodeId(node));
        return true;
    }

    private static bool TryReadLeader(ref MessagePackReader reader, out GroupLeader leader)
    {
        leader = default;
        if (!reader.TryReadArrayHeader(out int fields) || fields < LeaderFields || !reader.TryRead(out uint group)
            || !reader.TryRead(out uint node) || !reader.TryRead(out ulong term) || !reader.TrySkip(fields - LeaderFields))
        {
            return false;
        }

        leader = new GroupLeader(new GroupId(group), new NodeId(node), term);
        return true;
    }
}
