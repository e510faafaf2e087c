using KvStore.Protocol;

namespace KvStore.Cluster.Tests.Ring;

public sealed class HashRingTests
{
    // Computed apart from this code: the top 14 bits of SHA-256("local/1/0") and so on, sorted.
    [Theory]
    [InlineData(0, new uint[] { 3, 1, 2 })]
    [InlineData(8192, new uint[] { 2, 3, 1 })]
    [InlineData(4096, new uint[] { 2, 3, 1 })]
    [InlineData(16383, new uint[] { 3, 1, 2 })]
    public void The_walk_meets_the_tokens_that_the_hash_function_says(int slot, uint[] nodes)
    {
        var ring = new HashRing("local", [new(new NodeId(1), "a", 1), new(new NodeId(2), "b", 1), new(new NodeId(3), "c", 1)]);
        Assert.Equal(nodes, ring.Walk(slot, 3).Select(member => member.Node.Value));
    }

    [Fact]
    public void Every_walk_names_each_node_once_and_spends_every_zone_before_it_repeats_one()
    {
        // Zone a has four nodes, b two, c one.
        string[] zones = ["a", "a", "b", "a", "c", "b", "a"];
        var ring = new HashRing("x", zones.Select((zone, i) => new RingMember(new NodeId((uint)i + 1), zone, 1)));
        for (int slot = 0; slot < Limits.SlotCount; slot += 37)
        {
            var walk = ring.Walk(slot, zones.Length);
            Assert.Equal(zones.Length, walk.Select(member => member.Node).Distinct().Count());
            Assert.Equal(3, walk.Take(3).Select(member => member.Zone).Distinct().Count());
            Assert.Equal(["a", "b"], walk.Skip(3).Take(2).Select(member => member.Zone).Order());
            Assert.Equal(walk.Take(3), ring.Walk(slot, 3));
        }
    }

    [Fact]
    public void More_replicas_than_nodes_are_as_many_as_there_are_nodes()
    {
        var ring = new HashRing("x", [new(new NodeId(1), "a", 1), new(new NodeId(2), "a", 1)]);
        Assert.Equal(2, ring.Walk(0, 5).Count);
    }

    [Fact]
    public void A_node_that_joins_changes_the_first_choice_of_about_its_share_of_the_slots_and_only_to_itself()
    {
        var before = new HashRing("x", Members(9));
        var after = new HashRing("x", Members(10));
        int changed = 0;
        for (int slot = 0; slot < Limits.SlotCount; slot++)
        {
            var was = before.Walk(slot, 1)[0].Node;
            var now = after.Walk(slot, 1)[0].Node;
            if (was != now)
            {
                Assert.Equal(new NodeId(10), now);
                changed++;
            }
        }

        // 64 random tokens scatter around the fair tenth.
        Assert.InRange(changed / (double)Limits.SlotCount, 0.06, 0.14);
    }

    [Fact]
    public void The_cluster_id_decides_the_tokens()
    {
        var here = new HashRing("here", Members(5));
        var there = new HashRing("there", Members(5));
        int different = Enumerable.Range(0, Limits.SlotCount / 64).Count(i => here.Walk(i * 64, 1)[0] != there.Walk(i * 64, 1)[0]);
        Assert.InRange(different, 150, 256);
    }

    private static RingMember[] Members(int count) =>
        [.. Enumerable.Range(1, count).Select(i => new RingMember(new NodeId((uint)i), "z", 1))];
}
