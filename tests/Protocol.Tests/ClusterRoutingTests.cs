namespace KvStore.Protocol.Tests;

public sealed class ClusterRoutingTests
{
    private static readonly RoutingTable Table = new(
        7, [new GroupId(1), new GroupId(2), new GroupId(2), new GroupId(1)],
        [[], [new ReplicaPlacement(11, new NodeId(1))], [new ReplicaPlacement(12, new NodeId(2)), new ReplicaPlacement(13, new NodeId(1))]]);

    [Fact]
    public void The_table_that_is_read_places_every_key_as_the_one_that_was_written()
    {
        var read = ClusterRouting.Of(Table, 0, [], []).ToTable()!;
        Assert.Equal((7UL, 4, 2), (read.Epoch, read.VirtualNodeCount, read.GroupCount));
        Assert.Equal(Table.ReplicasOf(new GroupId(2)), read.ReplicasOf(new GroupId(2)));
        foreach (string key in new[] { "a", "b", "foo", "{user}.x" })
        {
            byte[] bytes = System.Text.Encoding.UTF8.GetBytes(key);
            Assert.Equal(Table.GroupOf(bytes), read.GroupOf(bytes));
        }
    }

    [Theory]
    [InlineData(6, true)]
    [InlineData(7, false)]
    [InlineData(8, false)]
    public void Who_has_this_table_or_a_newer_one_is_not_sent_it_again(ulong sinceEpoch, bool sent) =>
        Assert.Equal(sent, ClusterRouting.Of(Table, sinceEpoch, [], []).ToTable() is not null);

    [Fact]
    public void A_table_that_contradicts_itself_is_none()
    {
        IReadOnlyList<IReadOnlyList<ReplicaPlacement>> replicas = [[], []];
        Assert.NotNull(new ClusterRouting(1, [], [new GroupId(1)], replicas, []).ToTable());
        Assert.Null(new ClusterRouting(1, [], [new GroupId(2)], replicas, []).ToTable());
        Assert.Null(new ClusterRouting(1, [], [new GroupId(0)], replicas, []).ToTable());
        Assert.Null(new ClusterRouting(1, [], [new GroupId(1), new GroupId(1), new GroupId(1)], replicas, []).ToTable());
        Assert.Null(new ClusterRouting(1, [], [], replicas, []).ToTable());
    }
}
