using System.Runtime.CompilerServices;
using System.Text;
using KvStore.Raft;

namespace KvStore.Storage.Tests;

public sealed class SnapshotFileTests
{
    private const string Directory = "node/snap/7";
    private static readonly int[] Nodes = [16, 17, 18, 19];

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 4096)]
    [InlineData(3, 1 << 22)]
    public void A_table_comes_back_as_it_was(int seed, int stepBytes)
    {
        GroupTable table = RandomTable(seed, rows: 3000);
        var disk = new MemoryFileSystem(seed);
        var large = new byte[(5 << 20) / 2];
        new Random(seed).NextBytes(large);
        SnapshotSection[] sections =
        [
            new(16, 2, "records"u8.ToArray()), new(16, 2, "more records"u8.ToArray()), new(17, 3, Array.Empty<byte>()), new(19, 2, large),
        ];

        string name = Write(disk, table, sections, stepBytes);
        disk.Crash(CrashMode.LoseUnsynced);

        using SnapshotReader reader = SnapshotReader.Open(disk, $"{Directory}/{name}");
        SnapshotHeader expected = HeaderOf(table);
        Assert.Equal(expected with { VirtualNodes = reader.Header.VirtualNodes }, reader.Header);
        Assert.Equal(Nodes, reader.Header.VirtualNodes);
        Assert.Equal(sections.Length, reader.Sections.Count);
        foreach ((SnapshotSection written, SnapshotSection read) in sections.Zip(reader.Sections))
        {
            Assert.Equal((written.VirtualNode, written.Kind), (read.VirtualNode, read.Kind));
            Assert.True(written.Data.Span.SequenceEqual(read.Data.Span));
        }

        var arena = new SlabArena();
        GroupTable restored = TableBuild.Now(arena, Nodes, reader.Header.Metadata.Index, reader.Header.GroupTime, reader);
        Assert.Equal(table.AppliedIndex, restored.AppliedIndex);
        Assert.Equal(table.GroupTime, restored.GroupTime);
        Assert.Equal(RowsOf(table), RowsOf(restored));
    }

    [Fact]
    public void The_moment_of_the_snapshot_is_written_whatever_happens_meanwhile()
    {
        GroupTable table = RandomTable(seed: 5, rows: 2000);
        List<string> before = RowsOf(table);
        var disk = new MemoryFileSystem(5);
        using TableSnapshot moment = table.Capture();
        using var writer = new SnapshotWriter(disk, Directory, HeaderOf(table), moment, []);
        ulong revision = 1_000_000;
        for (int i = 0; !writer.Step(2000); i++)
        {
            table.BeginBatch(table.AppliedIndex + 1);
            foreach (int node in Nodes)
            {
                table.Put(node, KeyOf(i), "changed"u8, ++revision);
                table.Delete(node, KeyOf(i * 7 % 2000), ++revision);
            }

            table.PublishBatch(table.GroupTime);
        }

        using SnapshotReader reader = SnapshotReader.Open(disk, $"{Directory}/{writer.Finish()}");
        GroupTable restored = TableBuild.Now(new SlabArena(), Nodes, moment.Index, moment.GroupTime, reader);
        Assert.Equal(before, RowsOf(restored));
    }

    [Fact]
    public void Records_that_expired_and_wait_to_be_deleted_are_in_the_file()
    {
        var table = new GroupTable(new SlabArena(), Nodes);
        table.BeginBatch(1);
        table.Put(16, "short"u8, "lived"u8, 1, expiresAt: 50);
        table.PublishBatch(1000);
        Assert.Empty(RowsOf(table));
        var disk = new MemoryFileSystem(1);
        string name = Write(disk, table, []);
        using SnapshotReader reader = SnapshotReader.Open(disk, $"{Directory}/{name}");
        GroupTable restored = TableBuild.Now(new SlabArena(), Nodes, 1, reader.Header.GroupTime, reader);
        Assert.Empty(RowsOf(restored));
        Assert.Equal(1, restored.KeyCount);
        restored.BeginBatch(2);
        Assert.True(restored.Delete(16, "short"u8, 2));
        restored.PublishBatch(1000);
    }

    [Fact]
    public void An_empty_table_has_a_snapshot_too()
    {
        var disk = new MemoryFileSystem(1);
        string name = Write(disk, new GroupTable(new SlabArena(), Nodes), []);
        using SnapshotReader reader = SnapshotReader.Open(disk, $"{Directory}/{name}");
        Assert.Empty(reader.Sections);
        Assert.False(reader.MoveNext());
    }

    [Fact]
    public void A_power_cut_before_the_end_leaves_no_snapshot_and_one_after_it_leaves_all()
    {
        GroupTable table = RandomTable(seed: 3, rows: 300);
        for (int seed = 0; seed < 20; seed++)
        {
            var disk = new MemoryFileSystem(seed);
            using TableSnapshot moment = table.Capture();
            var writer = new SnapshotWriter(disk, Directory, HeaderOf(table), moment, []);
            for (int steps = seed; steps > 0; steps--)
            {
                writer.Step(3000);
            }

            disk.Crash();
            Assert.DoesNotContain(disk.ListFiles(Directory), name => SnapshotName.TryParse(name, out _, out _));

            // What the dead writer may have left is no obstacle.
            string written = Write(disk, table, []);
            disk.Crash(CrashMode.LoseUnsynced);
            Assert.Equal([written], disk.ListFiles(Directory));
            ReadAll(disk, written);
        }
    }

    [Fact]
    public void A_writer_that_is_given_up_leaves_nothing()
    {
        GroupTable table = RandomTable(seed: 3, rows: 300);
        var disk = new MemoryFileSystem(1);
        using TableSnapshot moment = table.Capture();
        using (var writer = new SnapshotWriter(disk, Directory, HeaderOf(table), moment, []))
        {
            writer.Step(3000);
            Assert.Single(disk.ListFiles(Directory));
        }

        Assert.Empty(disk.ListFiles(Directory));
    }

    [Fact]
    public void A_failed_sync_gives_no_snapshot()
    {
        GroupTable table = RandomTable(seed: 3, rows: 10);
        var disk = new MemoryFileSystem(1);
        using TableSnapshot moment = table.Capture();
        using var writer = new SnapshotWriter(disk, Directory, HeaderOf(table), moment, []);
        Assert.True(writer.Step(1 << 20));
        disk.FailSyncIn = 1;
        Assert.Throws<StorageException>(writer.Finish);
        Assert.DoesNotContain(disk.ListFiles(Directory), name => SnapshotName.TryParse(name, out _, out _));
    }

    [Fact]
    public void Every_flipped_bit_of_a_small_file_is_found()
    {
        var disk = new MemoryFileSystem(1);
        string name = Write(disk, RandomTable(seed: 8, rows: 40), [new SnapshotSection(17, 2, "floors"u8.ToArray())]);
        byte[] intact = disk.ReadAll($"{Directory}/{name}");
        for (int offset = 0; offset < intact.Length; offset++)
        {
            byte[] damaged = [.. intact];
            damaged[offset] ^= (byte)(1 << (offset % 8));
            AssertDamaged(disk, damaged, $"a bit flipped at {offset}");
        }
    }

    [Fact]
    public void Every_damaged_block_is_found_and_no_row_of_it_seen()
    {
        var disk = new MemoryFileSystem(1);
        string name = Write(disk, RandomTable(seed: 9, rows: 150, valueBytes: 60_000), [new SnapshotSection(17, 2, new byte[3 << 20])]);
        byte[] intact = disk.ReadAll($"{Directory}/{name}");
        List<string> expected = [];
        using (SnapshotReader reader = SnapshotReader.Open(disk, $"{Directory}/{name}"))
        {
            while (reader.MoveNext())
            {
                expected.Add(Describe(reader.VirtualNode, reader.Key, reader.Value, reader.Meta));
            }
        }

        int blocks = 0;
        foreach ((long offset, int length) in BlocksOf(intact))
        {
            Assert.InRange(length, 1, (1 << 20) + 20);
            byte[] damaged = [.. intact];
            damaged[offset + length - 1] ^= 0x10;
            List<string> seen = AssertDamaged(disk, damaged, $"block {blocks} damaged");
            Assert.Equal(expected.Take(seen.Count), seen);
            blocks++;
        }

        Assert.True(blocks > 6, "the file has several blocks");
    }

    [Fact]
    public void Two_blocks_that_changed_places_are_found()
    {
        var disk = new MemoryFileSystem(1);
        var table = new GroupTable(new SlabArena(), Nodes);
        table.BeginBatch(1);
        table.Put(16, "a"u8, "one"u8, 1);
        table.Put(17, "b"u8, "two"u8, 2);
        table.PublishBatch(0);
        byte[] file = disk.ReadAll($"{Directory}/{Write(disk, table, [])}");
        (long Offset, int Length)[] blocks = [.. BlocksOf(file)];
        Assert.Equal(blocks[0].Length, blocks[1].Length);
        byte[] first = file.AsSpan((int)blocks[0].Offset, blocks[0].Length).ToArray();
        file.AsSpan((int)blocks[1].Offset, blocks[1].Length).CopyTo(file.AsSpan((int)blocks[0].Offset));
        first.CopyTo(file, blocks[1].Offset);
        AssertDamaged(disk, file, "blocks exchanged");
    }

    [Fact]
    public void A_file_that_lacks_its_end_is_found()
    {
        var disk = new MemoryFileSystem(1);
        string name = Write(disk, RandomTable(seed: 10, rows: 2000), [new SnapshotSection(17, 2, new byte[9000])]);
        byte[] intact = disk.ReadAll($"{Directory}/{name}");
        IEnumerable<int> lengths = Enumerable.Range(0, intact.Length / 4096 + 1).Select(i => i * 4096)
            .Concat(Enumerable.Range(1, 128).Select(i => intact.Length - i));
        foreach (int length in lengths)
        {
            AssertDamaged(disk, intact.AsSpan(0, length), $"cut to {length} of {intact.Length}");
        }

        AssertDamaged(disk, [.. intact, 0], "a byte too many");
    }

    [Fact]
    public void A_newer_format_is_refused_as_such()
    {
        var disk = new MemoryFileSystem(1);
        byte[] file = disk.ReadAll($"{Directory}/{Write(disk, RandomTable(seed: 1, rows: 1), [])}");
        int headerBytes = 20 + BitConverter.ToInt32(file, 12);
        file[8] = 3;
        BitConverter.TryWriteBytes(file.AsSpan(headerBytes - 4), Crc32C.Append(0, file.AsSpan(0, headerBytes - 4)));
        disk.Put("damaged/file", file);
        StorageException refusal = Assert.Throws<StorageException>(() => SnapshotReader.Open(disk, "damaged/file"));
        Assert.Contains("version 3", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_golden_file_of_version_1_is_read_and_still_written_like_that()
    {
        var disk = new MemoryFileSystem(1);
        byte[] written = disk.ReadAll($"{Directory}/{Write(disk, GoldenTable(), GoldenSections)}");
        if (Environment.GetEnvironmentVariable("UPDATE_GOLDEN") == "1")
        {
            File.WriteAllBytes(GoldenPath(), written);
        }

        byte[] golden = File.ReadAllBytes(GoldenPath());
        Assert.Equal(Convert.ToHexString(golden), Convert.ToHexString(written));
        disk.Put("golden/file", golden);
        using SnapshotReader reader = SnapshotReader.Open(disk, "golden/file");
        Assert.Equal(new ReplicaId[] { new(1), new(2), new(3) }, reader.Header.Metadata.Configuration.Voters);
        Assert.Equal((7u, 12ul, (ushort)1), (reader.Header.Group, reader.Header.Epoch, reader.Header.FeatureLevel));
        SnapshotMetadata metadata = reader.Header.Metadata;
        Assert.Equal((9ul, 3ul, 0x1_0000_0044ul), (metadata.Index, metadata.Term, metadata.LastClock));
        Assert.Equal("records", Encoding.ASCII.GetString(Assert.Single(reader.Sections).Data.Span));
        GroupTable table = TableBuild.Now(new SlabArena(), Nodes, 9, reader.Header.GroupTime, reader);
        Assert.Equal(["16 a 65 65 0 1", "16 b 66 65 0 22", "17 c 67 67 99999 333"], RowsOf(table));
    }

    /// <summary>Version 2 is version 1 and, at the end of the header, what the group's changes have said of tables and nodes.</summary>
    [Fact]
    public void The_golden_file_of_version_2_is_read_and_still_written_like_that()
    {
        var disk = new MemoryFileSystem(1);
        SnapshotHeader header = HeaderOf(GoldenTable());
        ConfState configuration = header.Metadata.Configuration with { Epoch = 0x1234, Nodes = [new(new(2), 7), new(new(4), 0x10009)] };
        header = header with { Metadata = header.Metadata with { Configuration = configuration } };
        byte[] written = disk.ReadAll($"{Directory}/{Write(disk, GoldenTable(), GoldenSections, header: header)}");
        if (Environment.GetEnvironmentVariable("UPDATE_GOLDEN") == "1")
        {
            File.WriteAllBytes(GoldenPath("snapshot-v2.snap"), written);
        }

        byte[] golden = File.ReadAllBytes(GoldenPath("snapshot-v2.snap"));
        Assert.Equal(Convert.ToHexString(golden), Convert.ToHexString(written));
        Assert.Equal(2, golden[8]);
        disk.Put("golden/file", golden);
        using SnapshotReader reader = SnapshotReader.Open(disk, "golden/file");
        Assert.Equal(configuration, reader.Header.Metadata.Configuration);
        GroupTable table = TableBuild.Now(new SlabArena(), Nodes, 9, reader.Header.GroupTime, reader);
        Assert.Equal(["16 a 65 65 0 1", "16 b 66 65 0 22", "17 c 67 67 99999 333"], RowsOf(table));
    }

    [Fact]
    public void Names_sort_by_index_and_nothing_else_is_taken_for_one()
    {
        string name = SnapshotName.Of(0x1234, 0xAB);
        Assert.Equal("0000000000001234-ab.snap", name);
        Assert.True(SnapshotName.TryParse(name, out ulong index, out ulong term));
        Assert.Equal((0x1234ul, 0xABul), (index, term));
        string[] others =
        [
            name + ".tmp", "1234-ab.snap", "0000000000001234-.snap", "000000000000123g-ab.snap", "0000000000001234-AB.snap", ".snap", "",
        ];
        foreach (string other in others)
        {
            Assert.False(SnapshotName.TryParse(other, out _, out _), other);
        }
    }

    private static readonly SnapshotSection[] GoldenSections = [new(17, 2, "records"u8.ToArray())];

    private static GroupTable GoldenTable()
    {
        var table = new GroupTable(new SlabArena(), Nodes);
        table.BeginBatch(8);
        table.Put(16, "a"u8, "1"u8, 65);
        table.Put(16, "b"u8, "2"u8, 65);
        table.PublishBatch(60_000);
        table.BeginBatch(9);
        table.Put(16, "b"u8, "22"u8, 66);
        table.Put(17, "c"u8, "333"u8, 67, expiresAt: 99_999);
        table.Put(17, "d"u8, "gone"u8, 67);
        table.Delete(17, "d"u8, 68);
        table.PublishBatch(70_000);
        return table;
    }

    private static string GoldenPath(string name = "snapshot-v1.snap", [CallerFilePath] string thisFile = "") =>
        Path.Combine(Path.GetDirectoryName(thisFile)!, "..", "Golden", name);

    private static SnapshotHeader HeaderOf(GroupTable table) => new(
        Group: 7,
        Epoch: 12,
        FeatureLevel: 1,
        new SnapshotMetadata(
            table.AppliedIndex, 3, 0x1_0000_0044, new ConfState([new(1), new(2), new(3)], [new(1)], [new(4)], [new(5)], AutoLeave: true)),
        table.GroupTime,
        Nodes);

    private static string Write(
        MemoryFileSystem disk, GroupTable table, IReadOnlyList<SnapshotSection> sections, int stepBytes = 1 << 16, SnapshotHeader? header = null)
    {
        using TableSnapshot moment = table.Capture();
        using var writer = new SnapshotWriter(disk, Directory, header ?? HeaderOf(table), moment, sections);
        while (!writer.Step(stepBytes))
        {
        }

        return writer.Finish();
    }

    private static void ReadAll(MemoryFileSystem disk, string name)
    {
        using SnapshotReader reader = SnapshotReader.Open(disk, $"{Directory}/{name}");
        while (reader.MoveNext())
        {
        }
    }

    private static List<string> AssertDamaged(MemoryFileSystem disk, ReadOnlySpan<byte> file, string what)
    {
        disk.Put("damaged/file", file);
        var seen = new List<string>();
        try
        {
            using SnapshotReader reader = SnapshotReader.Open(disk, "damaged/file");
            while (reader.MoveNext())
            {
                seen.Add(Describe(reader.VirtualNode, reader.Key, reader.Value, reader.Meta));
            }
        }
        catch (CorruptStorageException e)
        {
            Assert.Equal("damaged/file", e.Path);
            return seen;
        }

        Assert.Fail($"{what}: nothing noticed");
        return seen;
    }

    /// <summary>The places of the blocks, by the format's drawing and not by its code.</summary>
    private static IEnumerable<(long Offset, int Length)> BlocksOf(byte[] file)
    {
        int footer = file.Length - BitConverter.ToInt32(file, file.Length - 16);
        for (int at = 20 + BitConverter.ToInt32(file, 12); at < footer;)
        {
            int length = 20 + BitConverter.ToInt32(file, at + 12);
            yield return (at, length);
            at += length;
        }
    }

    private static GroupTable RandomTable(int seed, int rows, int valueBytes = 300)
    {
        var random = new Random(seed);
        var table = new GroupTable(new SlabArena(), Nodes);
        ulong revision = 1;
        for (int i = 0; i < rows; i++)
        {
            if (i % 50 == 0)
            {
                table.BeginBatch(table.AppliedIndex + 1);
            }

            byte[] value = new byte[random.Next(valueBytes)];
            random.NextBytes(value);
            ulong expiresAt = random.Next(5) == 0 ? 900 + (ulong)random.Next(200) : 0;

            // One virtual node stays empty.
            table.Put(Nodes[random.Next(3)], KeyOf(random.Next(rows)), value, ++revision, expiresAt);
            if (i % 50 == 49 || i == rows - 1)
            {
                table.PublishBatch(1000);
            }
        }

        return table;
    }

    private static byte[] KeyOf(int i) => Encoding.ASCII.GetBytes($"key/{i % 3}/{i:D9}");

    private static List<string> RowsOf(GroupTable table)
    {
        var rows = new List<string>();
        var page = new RowPage();
        using TableSnapshot snapshot = table.Capture();
        foreach (int node in Nodes)
        {
            byte[] from = [];
            do
            {
                snapshot.ReadPage(node, from, default, keysOnly: false, 100, 1 << 20, page);
                for (int row = 0; row < page.Count; row++)
                {
                    rows.Add(Describe(node, page.Key(row), page.Value(row), page.Meta(row)));
                }

                from = page.IsLast ? [] : page.ResumeFrom.ToArray();
            }
            while (!page.IsLast);
        }

        return rows;
    }

    private static string Describe(int node, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, RecordMeta meta) =>
        $"{node} {Encoding.ASCII.GetString(key)} {meta.ModRevision} {meta.CreateRevision} {meta.ExpiresAt} "
        + (value.Length < 8 ? Encoding.ASCII.GetString(value) : $"{value.Length}:{Crc32C.Append(0, value):x8}");
}
