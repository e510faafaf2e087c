using KvStore.Protocol;

namespace KvStore.Cluster.Tests.Ring;

public class InitialPlacementTests
{
    [Theory]
    [InlineData(1, 16, 1)]
    [InlineData(3, 16, 3)]
    [InlineData(3, 64, 1)]
    [InlineData(6, 64, 3)]
    [InlineData(9, 256, 5)]
    public void Replicas_and_preferred_leaders_differ_by_at_most_one_between_equal_nodes(int nodes, int groups, int replicationFactor)
    {
        var members = Members(nodes, zones: 3);
        var table = InitialPlacement.Plan(new HashRing("local", members), 1024, groups, replicationFactor);

        var all = Enumerable.Range(1, groups).Select(g => table.ReplicasOf(new GroupId((uint)g))).ToList();
        Assert.All(all, replicas => Assert.Equal(replicationFactor, replicas.Select(r => r.Node).Distinct().Count()));
        AssertEven(members.Select(m => all.Sum(replicas => replicas.Count(r => r.Node == m.Node))));
        AssertEven(members.Select(m => all.Count(replicas => replicas[0].Node == m.Node)));

        static void AssertEven(IEnumerable<int> counts) => Assert.InRange(counts.Max() - counts.Min(), 0, 1);
    }

    [Fact]
    public void Replicas_of_a_group_are_in_different_zones_while_there_are_enough()
    {
        var members = Members(9, zones: 3);
        var table = InitialPlacement.Plan(new HashRing("local", members), 1024, 64, 3);
        for (var g = 1u; g <= 64; g++)
        {
            var zones = table.ReplicasOf(new GroupId(g)).Select(r => members.Single(m => m.Node == r.Node).Zone);
            Assert.Equal(3, zones.Distinct().Count());
        }
    }

    [Fact]
    public void A_node_of_twice_the_weight_holds_about_twice_the_replicas()
    {
        RingMember[] members = [new(new NodeId(1), "a", 2), new(new NodeId(2), "b", 1), new(new NodeId(3), "c", 1)];
        var table = InitialPlacement.Plan(new HashRing("local", members), 1024, 64, 1);
        var ofHeavy = Enumerable.Range(1, 64).Count(g => table.ReplicasOf(new GroupId((uint)g))[0].Node == new NodeId(1));
        Assert.Equal(32, ofHeavy);
    }

    [Fact]
    public void The_order_in_which_members_are_known_does_not_matter()
    {
        var members = Members(6, zones: 3);
        var a = InitialPlacement.Plan(new HashRing("local", members), 1024, 64, 3);
        var b = InitialPlacement.Plan(new HashRing("local", members.Reverse()), 1024, 64, 3);
        for (var g = 1u; g <= 64; g++)
        {
            Assert.Equal(a.ReplicasOf(new GroupId(g)), b.ReplicasOf(new GroupId(g)));
        }
    }

    [Fact]
    public void Groups_own_contiguous_runs_of_virtual_nodes_and_replica_ids_are_unique()
    {
        var table = InitialPlacement.Plan(new HashRing("local", Members(3, zones: 3)), 1024, 16, 3);
        for (var g = 1u; g <= 16; g++)
        {
            Assert.Equal(Enumerable.Range(64 * ((int)g - 1), 64), table.VirtualNodesOf(new GroupId(g)));
        }

        var ids = Enumerable.Range(1, 16).SelectMany(g => table.ReplicasOf(new GroupId((uint)g))).Select(r => r.ReplicaId).ToList();
        Assert.Equal(Enumerable.Range(1, 48).Select(i => (ulong)i), ids);
    }

    private static RingMember[] Members(int count, int zones) =>
        [.. Enumerable.Range(1, count).Select(i => new RingMember(new NodeId((uint)i), $"z{i % zones}", 1))];
}
