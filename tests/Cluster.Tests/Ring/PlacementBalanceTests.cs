using KvStore.Protocol;

namespace KvStore.Cluster.Tests.Ring;

public sealed class PlacementBalanceTests
{
    // Groups 1…16 of cluster.json, the preferred leader first. The plain ring walk, computed apart from this code, gives the same
    // with 213 for group 4: one lead goes from n2 to n1. Nodes derive the table for themselves: it must never change.
    private const string ThreeNodes = "312 132 321 123 231 123 231 321 231 132 213 213 132 312 312 321";

    [Fact]
    public void The_table_of_the_three_node_example_is_pinned()
    {
        var table = Plan(3, zones: 3, groups: 16, replicationFactor: 3, clusterId: "local");
        Assert.Equal(1ul, table.Epoch);
        string actual = string.Join(' ', Groups(table).Select(replicas => string.Concat(replicas.Select(replica => replica.Node.Value))));
        Assert.Equal(ThreeNodes, actual);
    }

    [Fact]
    public void Each_of_three_nodes_leads_five_or_six_of_sixteen_groups()
    {
        foreach (string clusterId in new[] { "local", "prod", "a", "b", "c" })
        {
            var table = Plan(3, zones: 3, groups: 16, replicationFactor: 3, clusterId);
            Assert.Equal([5, 5, 6], Leaders(table, 3).Order());
        }
    }

    [Theory]
    [InlineData(4, 2, 64, 3)]
    [InlineData(5, 5, 64, 5)]
    [InlineData(6, 3, 64, 3)]
    [InlineData(7, 3, 256, 3)]
    [InlineData(9, 3, 256, 3)]
    [InlineData(30, 3, 64, 3)]
    [InlineData(30, 5, 1024, 3)]
    public void Replicas_and_preferred_leaders_are_even_to_one_whatever_the_cluster_id(
        int nodes, int zones, int groups, int replicationFactor)
    {
        foreach (string clusterId in new[] { "local", "prod", "eu-1" })
        {
            var table = Plan(nodes, zones, groups, replicationFactor, clusterId);
            int[] replicas = Counts(Groups(table).SelectMany(group => group), nodes);
            int[] leaders = Leaders(table, nodes);

            // With as many zones as replicas each zone holds one replica of every group: zones of different size are then even
            // only within themselves.
            bool unevenZones = zones == replicationFactor && nodes % zones != 0;
            foreach (var equals in Enumerable.Range(0, nodes).GroupBy(node => unevenZones ? node % zones : 0))
            {
                int spread = equals.Max(node => replicas[node]) - equals.Min(node => replicas[node]);
                Assert.True(spread <= 1, $"{clusterId}: replicas {string.Join(' ', replicas)}");
            }

            Assert.True(leaders.Max() - leaders.Min() <= 1, $"{clusterId}: leaders {string.Join(' ', leaders)}");
        }
    }

    private static RoutingTable Plan(int nodes, int zones, int groups, int replicationFactor, string clusterId)
    {
        var members = Enumerable.Range(1, nodes).Select(i => new RingMember(new NodeId((uint)i), $"{(char)('a' + ((i - 1) % zones))}", 1));
        return InitialPlacement.Plan(new HashRing(clusterId, members), 1024, groups, replicationFactor);
    }

    private static IEnumerable<IReadOnlyList<ReplicaPlacement>> Groups(RoutingTable table) =>
        Enumerable.Range(1, table.GroupCount).Select(group => table.ReplicasOf(new GroupId((uint)group)));

    private static int[] Leaders(RoutingTable table, int nodes) => Counts(Groups(table).Select(group => group[0]), nodes);

    private static int[] Counts(IEnumerable<ReplicaPlacement> replicas, int nodes)
    {
        var counts = new int[nodes];
        foreach (var replica in replicas)
        {
            counts[replica.Node.Value - 1]++;
        }

        return counts;
    }
}
