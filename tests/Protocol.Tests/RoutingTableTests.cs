namespace KvStore.Protocol.Tests;

public sealed class RoutingTableTests
{
    [Fact]
    public void A_key_is_routed_by_its_slot_to_the_virtual_node_and_its_group()
    {
        // Four virtual nodes of 4,096 slots: the first two belong to group 1, the others to group 2.
        ReplicaPlacement[] first = [new(1, new NodeId(1))], second = [new(2, new NodeId(2))];
        var table = new RoutingTable(1, [new GroupId(1), new GroupId(1), new GroupId(2), new GroupId(2)], [[], first, second]);

        // foo has slot 12182, bar 5061.
        Assert.Equal(2, table.VirtualNodeOf("foo"u8));
        Assert.Equal(1, table.VirtualNodeOf("bar"u8));
        Assert.Equal(new GroupId(2), table.GroupOf("foo"u8));
        Assert.Equal(new GroupId(1), table.GroupOf("bar"u8));
        Assert.Equal(table.VirtualNodeOf("{user1}.a"u8), table.VirtualNodeOf("{user1}.b"u8));
        Assert.Equal(first, table.ReplicasOf(new GroupId(1)));
        Assert.Equal([2, 3], table.VirtualNodesOf(new GroupId(2)));
        Assert.Equal(2, table.GroupCount);
    }

    [Fact]
    public void Every_slot_has_a_virtual_node_even_when_each_is_one()
    {
        var table = new RoutingTable(1, [.. Enumerable.Repeat(new GroupId(1), Limits.SlotCount)], [[], []]);
        Assert.Equal(12_182, table.VirtualNodeOf("foo"u8));
        Assert.Equal(0, table.VirtualNodeOf(""u8));
    }

    [Fact]
    public void The_callers_arrays_may_change_afterwards()
    {
        GroupId[] groups = [new GroupId(1), new GroupId(1)];
        var table = new RoutingTable(1, groups, [[], []]);
        groups[0] = new GroupId(9);
        Assert.Equal(new GroupId(1), table.GroupOf(0));
    }
}
