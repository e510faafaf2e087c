using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using KvStore.Raft;

namespace KvStore.Storage.Tests;

/// <summary>
/// Pins the bytes of the format that is written; those of earlier versions stay readable. UPDATE_GOLDEN=1 writes the files of the newest
/// one anew; a difference in them is a new format version, not a test to adapt.
/// </summary>
public sealed class WalGoldenTests
{
    private const int BytesPerLine = 32;

    private static readonly SnapshotMetadata Snapshot = new(7, 6, 0x1_0000_0007,
        new ConfState([new(1), new(2)], [new(1), new(3)], [new(4)], [new(3)], AutoLeave: true));

    [Fact]
    public void The_bytes_of_a_segment_are_the_golden_ones()
    {
        MemoryFileSystem disk = WriteAll();
        string dump = Dump(disk.ReadAll(LogFiles.Path(1)));
        if (Environment.GetEnvironmentVariable("UPDATE_GOLDEN") == "1")
        {
            File.WriteAllText(GoldenPath(), dump);
        }

        Assert.Equal(File.ReadAllText(GoldenPath()), dump);
    }

    [Theory]
    [InlineData("wal-v1-segment.txt")]
    [InlineData("wal-v2-segment.txt")]
    public void A_golden_segment_is_read_as_what_was_written(string golden)
    {
        MemoryFileSystem disk = new(1);
        disk.Put(LogFiles.Path(1), Undump(File.ReadAllLines(GoldenPath(golden))));
        using WriteAheadLog log = LogFiles.Open(disk);
        GroupLog group = log.OpenGroup(9, ModelGroup.StartingMark);
        Assert.Equal(new HardState(6, new ReplicaId(2), 7), group.RecoveredHardState);
        Assert.Equal(Snapshot, group.Snapshot);
        Assert.Equal("7-6.snap", group.SnapshotFile);
        Assert.Equal((7UL, 5UL), (group.FirstIndex, group.Term(6)));
        IReadOnlyList<Entry> entries = group.Entries(7, 10, long.MaxValue);
        Assert.Equal((ulong[])[7, 8, 9], entries.Select(e => e.Index));
        Assert.Equal("hello, log", Encoding.UTF8.GetString(entries[0].Payload.Span));
        Assert.Equal((6UL, EntryKind.ConfChange, (ushort)3, 0x1_0000_0008UL, 2U),
            (entries[1].Term, entries[1].Kind, entries[1].FeatureLevel, entries[1].Clock, entries[1].Count));
        Assert.Equal((7UL, EntryKind.NoOp, 0), (entries[2].Term, entries[2].Kind, entries[2].Payload.Length));
    }

    /// <summary>The one kind of record that a group writes only when its segment is to go.</summary>
    [Fact]
    public void The_bytes_of_a_rewritten_record_are_the_golden_ones()
    {
        MemoryFileSystem disk = WriteAll(rewrite: true);
        (long from, BatchFormat batch) = LogFiles.Batches(disk, 1)[^1];
        string dump = Dump(disk.ReadAll(LogFiles.Path(1)).AsSpan((int)from, (int)BatchFormat.RoundToBlock(batch.Length)));
        if (Environment.GetEnvironmentVariable("UPDATE_GOLDEN") == "1")
        {
            File.WriteAllText(GoldenPath("wal-v2-rewritten.txt"), dump);
        }

        Assert.Equal(File.ReadAllText(GoldenPath("wal-v2-rewritten.txt")), dump);
        using WriteAheadLog log = LogFiles.Open(disk);
        IReadOnlyList<Entry> entries = log.OpenGroup(9, ModelGroup.StartingMark).Entries(7, 10, long.MaxValue);
        Assert.Equal("hello, log", Encoding.UTF8.GetString(entries[0].Payload.Span));
        Assert.Equal(3, entries.Count);
    }

    /// <summary>A snapshot mark of a group whose changes have said tables and nodes; flag 4 tells it from the others.</summary>
    [Fact]
    public void The_bytes_of_a_mark_with_an_epoch_are_the_golden_ones()
    {
        ConfState configuration = Snapshot.Configuration with { Epoch = 0x1234, Nodes = [new(new(2), 7), new(new(4), 0x10009)] };
        SnapshotMetadata snapshot = Snapshot with { Configuration = configuration };
        byte[] item = new byte[ItemFormat.MarkBytes(snapshot, "7-6.snap")];
        ItemFormat.WriteMark(item, 9, snapshot, "7-6.snap");
        Assert.Equal(
            "0300070009000000980000000800000007000000000000000600000000000000070000000100000002000200010001000100000000000000"
            + "020000000000000001000000000000000300000000000000040000000000000003000000000000003412000000000000"
            + "02000000000000000200000000000000070000000000000004000000000000000900010000000000372d362e736e6170",
            Convert.ToHexStringLower(item));

        MemoryFileSystem disk = new(1);
        using (WriteAheadLog log = LogFiles.Open(disk))
        {
            GroupLog group = log.OpenGroup(9, ModelGroup.StartingMark);
            Submit(log, group, s => s.Append(group, new HardState(6, new ReplicaId(2), 7),
            [
                new Entry(5, 6, EntryKind.Command, 1, 0x1_0000_0001, 6, default), new Entry(6, 7, EntryKind.Command, 1, 0x1_0000_0007, 1, default),
            ]));
            Submit(log, group, s => s.Compact(group, snapshot, "7-6.snap", keepFrom: 8));
        }

        // Twice: the second start reads what the checkpoint of the first one repeats.
        for (int start = 0; start < 2; start++)
        {
            using WriteAheadLog log = LogFiles.Open(disk);
            GroupLog group = log.OpenGroup(9, ModelGroup.StartingMark);
            Assert.Equal(snapshot, group.Snapshot);
            Assert.Equal("7-6.snap", group.SnapshotFile);
        }
    }

    [Fact]
    public void No_prefix_of_a_mark_with_an_epoch_is_a_mark()
    {
        ConfState configuration = Snapshot.Configuration with { Epoch = 5, Nodes = [new(new(2), 7)] };
        byte[] item = new byte[ItemFormat.MarkBytes(Snapshot with { Configuration = configuration }, "7-6.snap")];
        ItemFormat.WriteMark(item, 9, Snapshot with { Configuration = configuration }, "7-6.snap");
        for (int length = 0; length < item.Length; length += 8)
        {
            Assert.False(ItemFormat.TryReadMark(item.AsSpan(0, length), out _, out _));
        }

        item.AsSpan(item.Length - 32, 8).Fill(0xFF);
        Assert.False(ItemFormat.TryReadMark(item, out _, out _));
    }

    [Fact]
    public void The_bytes_of_a_position_are_the_golden_ones()
    {
        MemoryFileSystem disk = WriteAll();
        string dump = Dump(disk.ReadAll(LogFiles.PositionPath));
        if (Environment.GetEnvironmentVariable("UPDATE_GOLDEN") == "1")
        {
            File.WriteAllText(GoldenPath("wal-v1-position.txt"), dump);
        }

        Assert.Equal(File.ReadAllText(GoldenPath("wal-v1-position.txt")), dump);
        disk.Put(LogFiles.PositionPath, Undump(File.ReadAllLines(GoldenPath("wal-v1-position.txt"))));
        Assert.Equal((1UL, 3UL), LogFiles.Position(disk));
    }

    private static MemoryFileSystem WriteAll(bool rewrite = false)
    {
        MemoryFileSystem disk = new(1);
        using WriteAheadLog log = LogFiles.Open(disk);
        GroupLog group = log.OpenGroup(9, ModelGroup.StartingMark);
        Submit(log, group, s => s.Append(group, new HardState(6, new ReplicaId(2), 5),
        [
            new Entry(5, 6, EntryKind.Command, 1, 0x1_0000_0001, 6, "cut soon"u8.ToArray()),
            new Entry(6, 7, EntryKind.Command, 1, 0x1_0000_0007, 1, "hello, log"u8.ToArray()),
        ]));
        Submit(log, group, s =>
        {
            s.Append(group, new HardState(6, new ReplicaId(2), 7),
                [new Entry(6, 8, EntryKind.ConfChange, 3, 0x1_0000_0008, 2, new byte[] { 1, 2, 3 })]);
            s.Compact(group, Snapshot, "7-6.snap", keepFrom: 7);
            s.Append(group, null, [new Entry(7, 9, EntryKind.NoOp, 0, 0x1_0000_000A, 1, default)]);
        });
        if (rewrite)
        {
            Submit(log, group, s => Assert.True(s.Rewrite(group, ulong.MaxValue, 10) > 0));
        }

        return disk;
    }

    private static void Submit(WriteAheadLog log, GroupLog group, Action<WalSubmission> fill)
    {
        WalSubmission submission = new(group.OnDurable);
        fill(submission);
        Assert.True(log.TrySubmit(submission));
        Assert.True(log.Gather());
        log.Write();
        log.Sync();
        log.Complete();
    }

    /// <summary>Offset and bytes per line; lines of zeros are left out.</summary>
    private static string Dump(ReadOnlySpan<byte> bytes)
    {
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"length {bytes.Length}\n");
        for (int at = 0; at < bytes.Length; at += BytesPerLine)
        {
            ReadOnlySpan<byte> line = bytes.Slice(at, BytesPerLine);
            if (line.IndexOfAnyExcept((byte)0) >= 0)
            {
                text.Append(CultureInfo.InvariantCulture, $"{at:x6} {Convert.ToHexStringLower(line)}\n");
            }
        }

        return text.ToString();
    }

    private static byte[] Undump(string[] lines)
    {
        byte[] bytes = new byte[int.Parse(lines[0].AsSpan("length ".Length), CultureInfo.InvariantCulture)];
        foreach (string line in lines.Skip(1))
        {
            int at = int.Parse(line.AsSpan(0, 6), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            Convert.FromHexString(line[7..]).CopyTo(bytes, at);
        }

        return bytes;
    }

    private static string GoldenPath(string name = "wal-v2-segment.txt", [CallerFilePath] string thisFile = "") =>
        Path.Combine(Path.GetDirectoryName(thisFile)!, "..", "Golden", name);
}
