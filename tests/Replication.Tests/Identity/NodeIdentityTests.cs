using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.Replication.Tests.Identity;

public class NodeIdentityTests
{
    private const string Folder = "/data/n2";
    private static readonly ClusterLayout Layout = new("local", 64, 4, 3, ["n1", "n2", "n3"]);
    private static readonly Guid First = new("11111111-1111-1111-1111-111111111111");
    private static readonly Guid Second = new("22222222-2222-2222-2222-222222222222");

    [Fact]
    public void The_first_start_chooses_and_later_starts_keep_and_count()
    {
        var files = Disk();
        var first = Open(files, First);
        Assert.Equal((First, 1ul, new NodeId(2), false), (first.Uuid, first.Incarnation, first.Number, first.LogCreated));

        files.Crash(CrashMode.LoseUnsynced);
        var second = Open(files, Second);
        Assert.Equal((First, 2ul), (second.Uuid, second.Incarnation));
        Assert.Equal(Layout.Hash(), second.Layout.Hash());
    }

    [Fact]
    public void B2_a_level_that_the_disk_had_no_room_for_is_not_marked_until_it_has()
    {
        var files = Disk();
        var identity = Open(files, First);
        files.Delete($"{Folder}/identity.spare");
        files.FillUp();
        Assert.True(Assert.Throws<StorageException>(() => identity.RaiseLevel(FeatureLevel.Max)).IsFull);
        Assert.True(Assert.Throws<StorageException>(() => identity.RaiseLevel(FeatureLevel.Max)).IsFull);
        files.CapacityBytes = long.MaxValue;
        identity.RaiseLevel(FeatureLevel.Max);
        Assert.Equal(FeatureLevel.Max, Open(files, First).Level);
    }

    [Fact]
    public void B2_a_full_disk_takes_any_number_of_starts()
    {
        var files = Disk();
        Open(files, First);
        files.FillUp();
        for (var start = 2; start < 100; start++)
        {
            files.Crash(CrashMode.LoseUnsynced);
            var identity = Open(files, Second);
            identity.SayHello();
            identity.LetInBy(new NodeId(1));
            Assert.Equal((First, (ulong)start), (identity.Uuid, identity.Incarnation));
        }
    }

    [Fact]
    public void A_power_cut_at_any_step_leaves_the_old_identity_or_the_new_one()
    {
        for (var seed = 0; seed < 20; seed++)
        {
            for (var step = 1; ; step++)
            {
                var files = Disk(seed);
                var before = Open(files, First).Incarnation;
                files.CrashIn = step;
                try
                {
                    Open(files, Second);
                }
                catch (SimulatedCrashException)
                {
                    files.Crash();
                    var after = Open(files, Second);
                    Assert.True(after.Uuid == First, $"seed {seed}, step {step}");
                    Assert.True(after.Incarnation > before && after.Incarnation <= before + 2, $"seed {seed}, step {step}");
                    continue;
                }

                Assert.True(step > 3, "a replacement writes, syncs, renames and syncs the directory");
                break;
            }
        }
    }

    [Fact]
    public void An_incarnation_that_was_given_out_is_never_given_out_again()
    {
        var files = Disk();
        var given = Open(files, First).Incarnation;
        files.Crash(CrashMode.LoseUnsynced);
        Assert.True(Open(files, First).Incarnation > given);

        // The control: on a disk whose syncs do nothing the same number comes back.
        var lying = Disk();
        lying.SyncsLie = true;
        given = Open(lying, First).Incarnation;
        lying.Crash(CrashMode.LoseUnsynced);
        lying.CreateDirectory(Folder);
        Assert.Equal(given, Open(lying, First).Incarnation);
    }

    [Fact]
    public void A_start_that_cannot_raise_the_incarnation_does_not_start()
    {
        var files = Disk();
        Open(files, First);
        files.FailSyncIn = 1;
        Assert.Throws<StorageException>(() => Open(files, First));
        files.FailDirectorySyncIn = 1;
        Assert.Throws<StorageException>(() => Open(files, First));
    }

    [Theory]
    [InlineData("clusterId was fixed as local at the first start but is configured as other")]
    [InlineData("virtualNodes was fixed as 64 at the first start but is configured as 128")]
    [InlineData("groups was fixed as 4 at the first start but is configured as 8")]
    [InlineData("replicationFactor was fixed as 3 at the first start but is configured as 1")]
    [InlineData("the set of nodes was fixed as n1 n2 n3 at the first start but is configured as n1 n2 n4")]
    public void Another_layout_is_refused_with_both_values_and_nothing_changes(string expected)
    {
        var files = Disk();
        Open(files, First);
        var before = files.ReadAll($"{Folder}/identity");
        var changed = expected.Split(' ')[0] switch
        {
            "clusterId" => Layout with { ClusterId = "other" },
            "virtualNodes" => Layout with { VirtualNodes = 128 },
            "groups" => Layout with { Groups = 8 },
            "replicationFactor" => Layout with { ReplicationFactor = 1 },
            _ => Layout with { NodeNames = ["n1", "n2", "n4"] },
        };
        var error = Assert.Throws<IdentityException>(() => NodeIdentity.Open(files, Folder, "n2", changed, Second, process: 1));
        Assert.Contains(expected, error.Message);
        Assert.Contains(Folder, error.Message);
        Assert.Equal(before, files.ReadAll($"{Folder}/identity"));
        Assert.NotEqual(Layout.Hash(), changed.Hash());
    }

    [Fact]
    public void Another_nodes_folder_is_refused()
    {
        var files = Disk();
        Open(files, First);
        var error = Assert.Throws<IdentityException>(() => NodeIdentity.Open(files, Folder, "n3", Layout, Second, process: 1));
        Assert.Contains("belongs to node n2 but n3", error.Message);
    }

    [Fact]
    public void A_log_that_is_gone_after_it_was_created_is_a_loss()
    {
        var files = Disk();
        Open(files, First).MarkLogCreated();
        Assert.Contains("its log is gone", Assert.Throws<IdentityException>(() => Open(files, First)).Message);

        // A spare holds nothing that was promised, whatever its name.
        files.Put($"{Folder}/wal/spare-0000000000000001.log", new byte[8]);
        Assert.Contains("its log is gone", Assert.Throws<IdentityException>(() => Open(files, First)).Message);

        files.Put($"{Folder}/wal/wal-0000000000000001.log", new byte[8]);
        Assert.True(Open(files, First).LogCreated);
    }

    [Fact]
    public void Without_the_mark_a_missing_log_is_an_unfinished_first_start()
    {
        var files = Disk();
        Open(files, First);
        Assert.Equal(2ul, Open(files, First).Incarnation);
    }

    [Fact]
    public void A_log_without_an_identity_belongs_to_nobody()
    {
        var files = Disk();
        files.Put($"{Folder}/wal/wal-0000000000000001.log", new byte[8]);
        Assert.Contains("no identity file", Assert.Throws<IdentityException>(() => Open(files, First)).Message);
    }

    [Fact]
    public void Every_flipped_bit_is_noticed()
    {
        var files = Disk();
        Open(files, First);
        var path = $"{Folder}/identity";
        var intact = files.ReadAll(path);
        for (var offset = 0; offset < intact.Length; offset++)
        {
            files.FlipBit(path, offset, offset % 8);
            var error = Assert.Throws<CorruptStorageException>(() => Open(files, First));
            Assert.Equal(path, error.Path);
            files.FlipBit(path, offset, offset % 8);
        }

        Open(files, First);
    }

    [Fact]
    public void The_format_is_the_one_that_is_drawn()
    {
        // Version 1, written by hand from the drawing: this content must be readable for ever.
        var files = Disk();
        Open(files, First);
        var golden =
            "4B564944454E5400" + "0100" + "0000" + "4E000000" // magic, version, zero, length 78
            + "00" + "02000000" + "11111111111111111111111111111111" + "0100000000000000" // mark, number, uuid, incarnation
            + "02000000" + "6E32" // n2
            + "05000000" + "6C6F63616C" + "40000000" + "04000000" + "03000000" // local, 64, 4, 3
            + "03000000" + "02000000" + "6E31" + "02000000" + "6E32" + "02000000" + "6E33";
        var actual = Convert.ToHexString(files.ReadAll($"{Folder}/identity"));
        Assert.Equal(golden, actual[..^8]);
    }

    [Fact]
    public void A_folder_is_marked_for_a_level_by_the_version_of_its_identity_and_keeps_the_mark()
    {
        var files = Disk();
        var identity = Open(files, First);
        Assert.Equal(1, files.ReadAll($"{Folder}/identity")[VersionAt]);
        identity.RaiseLevel(2);
        Assert.Equal(2, files.ReadAll($"{Folder}/identity")[VersionAt]);
        files.Crash(CrashMode.LoseUnsynced);
        var again = Open(files, First);
        Assert.Equal((2, 2ul, First), (again.Level, again.Incarnation, again.Uuid));
        Assert.Equal(2, files.ReadAll($"{Folder}/identity")[VersionAt]);
        var actual = Convert.ToHexString(files.ReadAll($"{Folder}/identity"));
        Assert.Equal("50000000", actual[24..32]); // two bytes more than version 1
        Assert.Equal("0200", actual[^12..^8]);
    }

    [Fact]
    public void A_build_that_does_not_know_the_level_of_a_folder_does_not_start_in_it()
    {
        var files = Disk();
        Open(files, First).RaiseLevel(2);
        var before = files.ReadAll($"{Folder}/identity");
        var error = Assert.Throws<IdentityException>(() => NodeIdentity.Open(files, Folder, "n2", Layout, Second, process: 1, maxLevel: 1));
        Assert.Contains("start a newer program", error.Message);
        Assert.Equal(before, files.ReadAll($"{Folder}/identity"));

        // What a build without levels does: it knows version 1 of the file and nothing else.
        var old = Assert.Throws<StorageException>(() => SmallFile.Read(files, $"{Folder}/identity", "KVIDENT\0"u8, 1, 1));
        Assert.Contains("version 2 of this file is not known to this program (it knows 1); start a newer program", old.Message);
    }

    [Fact]
    public void A_power_cut_while_the_folder_is_marked_leaves_it_marked_or_as_it_was()
    {
        for (var step = 1; ; step++)
        {
            var files = Disk(step);
            var identity = Open(files, First);
            files.CrashIn = step;
            try
            {
                identity.RaiseLevel(2);
            }
            catch (SimulatedCrashException)
            {
                files.Crash();
                Assert.InRange(Open(files, First).Level, 1, 2);
                continue;
            }

            Assert.True(step > 3, "a replacement writes, syncs, renames and syncs the directory");
            break;
        }
    }

    private const int VersionAt = 8;

    private static NodeIdentity Open(MemoryFileSystem files, Guid freshUuid) =>
        NodeIdentity.Open(files, Folder, "n2", Layout, freshUuid, process: 1);

    private static MemoryFileSystem Disk(int seed = 1)
    {
        var files = new MemoryFileSystem(seed);
        files.CreateDirectory(Folder);
        files.SyncAllNames();
        return files;
    }
}
