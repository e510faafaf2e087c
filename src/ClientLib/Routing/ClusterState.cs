using KvStore.Protocol;

namespace KvStore.Client.Routing;

/// <summary>What the client knows of the cluster at one moment: immutable, replaced as a whole; who leads is a hint, and is corrected in place.</summary>
internal sealed class ClusterState
{
    public static readonly ClusterState Nothing = new(null, null, []);

    private readonly NodeLink[][] _byGroup;
    private readonly NodeId[] _leaders;
    private readonly ulong[] _terms;

    public ClusterState(ClusterState? before, RoutingTable? table, NodeLink[] links)
    {
        Table = table;
        Links = links;
        int groups = table is null ? 0 : table.GroupCount + 1;
        _byGroup = new NodeLink[groups][];
        for (int group = 0; group < groups; group++)
        {
            IReadOnlyList<ReplicaPlacement> replicas = table!.ReplicasOf(new GroupId((uint)group));
            _byGroup[group] = [.. links.Where(link => replicas.Any(replica => replica.Node == link.Node.Node))];
        }

        bool same = before is not null && before._leaders.Length == groups;
        _leaders = same ? before!._leaders : new NodeId[groups];
        _terms = same ? before!._terms : new ulong[groups];
    }

    public RoutingTable? Table { get; }

    public NodeLink[] Links { get; }

    public ulong Epoch => Table?.Epoch ?? 0;

    /// <summary>Group 0, which holds no key, while there is no table.</summary>
    public GroupId GroupOf(ReadOnlySpan<byte> key) => Table is null || key.IsEmpty ? default : Table.GroupOf(key);

    /// <summary>Links to the nodes with a replica of the group; all links where that is not known.</summary>
    public NodeLink[] LinksOf(GroupId group) =>
        group.Value < _byGroup.Length && _byGroup[group.Value].Length > 0 ? _byGroup[group.Value] : Links;

    public NodeId LeaderOf(GroupId group)
    {
        lock (_leaders)
        {
            return group.Value < _leaders.Length ? _leaders[group.Value] : NodeId.None;
        }
    }

    /// <summary>A leader of an older term than the known one is yesterday's.</summary>
    public void Learn(GroupId group, NodeId leader, ulong term)
    {
        lock (_leaders)
        {
            if (group.Value < _leaders.Length && term >= _terms[group.Value])
            {
                _leaders[group.Value] = leader;
                _terms[group.Value] = term;
            }
        }
    }

    public NodeLink? LinkTo(NodeId node)
    {
        foreach (NodeLink link in Links)
        {
            if (link.Node.Node == node)
            {
                return link;
            }
        }

        return null;
    }

    public string NameOf(NodeId node) => LinkTo(node)?.Node.Name ?? node.ToString();
}
