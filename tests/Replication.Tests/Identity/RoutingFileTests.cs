using KvStore.Protocol;

namespace KvStore.Replication.Tests.Identity;

public sealed class RoutingFileTests
{
    private const string Folder = "/data/n1";

    private static readonly ClusterLayout Layout = new("c", 4, 2, 1, ["n1"]);

    private static RoutingTable Table(ulong firstReplica) => new(
        1,
        [new GroupId(1), new GroupId(1), new GroupId(2), new GroupId(2)],
        [[], [new ReplicaPlacement(firstReplica, new NodeId(1))], [new ReplicaPlacement(firstReplica + 1, new NodeId(1))]]);

    [Fact]
    public void The_table_of_the_first_start_is_kept_whatever_the_configuration_says_later()
    {
        (MemoryFileSystem disk, NodeIdentity identity) = FirstStart();
        RoutingTable first = RoutingFile.Open(disk, Folder, identity, () => Table(firstReplica: 1));
        RoutingTable later = RoutingFile.Open(disk, Folder, identity, () => Table(firstReplica: 77));
        Assert.Equal(RoutingFile.Hash(first), RoutingFile.Hash(later));
        Assert.Equal(1UL, later.ReplicasOf(new GroupId(1))[0].ReplicaId);
        Assert.Equal(new GroupId(2), later.GroupOf(3));
    }

    [Fact]
    public void The_table_is_durable_when_it_is_first_used()
    {
        (MemoryFileSystem disk, NodeIdentity identity) = FirstStart();
        RoutingFile.Open(disk, Folder, identity, () => Table(firstReplica: 1));
        disk.Crash(CrashMode.LoseUnsynced);
        RoutingTable later = RoutingFile.Open(disk, Folder, identity, () => Table(firstReplica: 77));
        Assert.Equal(1UL, later.ReplicasOf(new GroupId(1))[0].ReplicaId);
    }

    [Fact]
    public void A_table_that_is_lost_after_the_first_start_is_not_made_up_again()
    {
        (MemoryFileSystem disk, NodeIdentity identity) = FirstStart();
        RoutingFile.Open(disk, Folder, identity, () => Table(firstReplica: 1));
        identity.MarkLogCreated();
        disk.Delete($"{Folder}/{RoutingFile.FileName}");
        IdentityException refused = Assert.Throws<IdentityException>(
            () => RoutingFile.Open(disk, Folder, identity, () => Table(firstReplica: 1)));
        Assert.Contains("restore it", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Nodes_with_different_tables_do_not_take_each_other_for_the_same_cluster() =>
        Assert.NotEqual(RoutingFile.Hash(Table(1)), RoutingFile.Hash(Table(2)));

    private static (MemoryFileSystem Disk, NodeIdentity Identity) FirstStart()
    {
        var disk = new MemoryFileSystem(1);
        KvStore.Storage.DurableDirectory.Create(disk, Folder);
        return (disk, NodeIdentity.Open(disk, Folder, "n1", Layout, new Guid(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11), process: 1));
    }
}
