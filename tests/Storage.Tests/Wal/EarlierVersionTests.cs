
namespace KvStore.Storage.Tests;

/// <summary>Logs as earlier builds wrote them: headers of version 1, seals behind idle batches, no position.</summary>
public sealed class EarlierVersionTests
{
    private static readonly uint IdentitySeed = BatchFormat.IdentitySeed(LogBench.Identity);

    [Fact]
    public void A_segment_of_version_1_without_its_first_batch_is_damaged()
    {
        MemoryFileSystem disk = Version1(out ulong segment, out _, out _);
        byte[] bytes = disk.ReadAll(LogFiles.Path(segment));
        bytes.AsSpan(SegmentHeader.Bytes).Clear();
        disk.Put(LogFiles.Path(segment), bytes);
        CorruptStorageException found = Assert.Throws<CorruptStorageException>(() => LogFiles.Open(disk));
        Assert.Equal((LogFiles.Path(segment), (long)SegmentHeader.Bytes), (found.Path, found.Offset));
    }

    [Fact]
    public void A13_a_torn_or_damaged_seal_takes_nothing_with_it()
    {
        MemoryFileSystem disk = Version1(out ulong segment, out long seal, out _);
        Assert.Equal(8UL, LogFiles.FoundWithoutRewriting(disk).LastIndex);
        disk.FlipBit(LogFiles.Path(segment), seal + 8, 0);
        Assert.Equal(8UL, LogFiles.FoundWithoutRewriting(disk).LastIndex);

        // What was behind it is not known durable, so the start writes it again.
        string found = LogFiles.Found(disk);
        disk.Delete(LogFiles.PositionPath);
        Assert.Equal(found, LogFiles.Found(disk));
    }

    [Fact]
    public void A_valid_batch_behind_anything_else_tells_of_damage()
    {
        MemoryFileSystem disk = Version1(out ulong segment, out long seal, out _);
        (long offset, BatchFormat acknowledged) = LogFiles.Batches(disk, segment).Last(b => b.Offset < seal);
        disk.FlipBit(LogFiles.Path(segment), offset + acknowledged.Length - 1, 0);
        disk.FlipBit(LogFiles.Path(segment), seal + 8, 0);
        Assert.Equal(offset, Assert.Throws<CorruptStorageException>(() => LogFiles.Open(disk)).Offset);
    }

    [Fact]
    public void A_torn_batch_behind_a_seal_is_cut()
    {
        MemoryFileSystem disk = Version1(out ulong segment, out _, out long last);
        disk.FlipBit(LogFiles.Path(segment), last + 40, 0);
        Assert.Equal(7UL, LogFiles.FoundWithoutRewriting(disk).LastIndex);
    }

    [Fact]
    public void The_next_segment_has_every_witness_and_the_position_names_it()
    {
        MemoryFileSystem disk = Version1(out ulong segment, out _, out _);
        LogFiles.Found(disk);
        ulong next = LogFiles.Segments(disk)[^1];
        Assert.Equal(segment + 1, next);
        SegmentHeader header = LogFiles.Header(disk, next);
        Assert.Equal(disk.ReadAll(LogFiles.Path(next)).Length, header.FileBytes);
        Assert.Equal((next, header.DurableLsn), LogFiles.Position(disk));
    }

    /// <summary>
    /// What the segments of a folder that may yet go back say: all that those of version 2 do, where a build that reads version 1 only
    /// passes over it. The damage fuzz and the models write every second log so.
    /// </summary>
    [Fact]
    public void A2_A11_a_log_that_the_first_builds_open_has_the_same_witnesses()
    {
        LogBench bench = new(1, LogBench.Small, groups: 1);
        for (int i = 0; i < 20; i++)
        {
            bench.AppendDurably(0, 1, 5000);
        }

        List<ulong> segments = LogFiles.Segments(bench.Disk);
        Assert.True(segments.Count > 1);
        foreach (ulong segment in segments)
        {
            SegmentHeader header = LogFiles.Header(bench.Disk, segment);
            Assert.Equal(1, header.Version);
            Assert.Equal(bench.Disk.ReadAll(LogFiles.Path(segment)).Length, header.FileBytes);
            Assert.True(header.DurableLsn > header.PreviousLastLsn);
        }

        Assert.Equal(segments[^1], LogFiles.Position(bench.Disk).Segment);
        MemoryFileSystem cut = LogFiles.Copy(bench.Disk);
        cut.Put(LogFiles.Path(segments[^1]), bench.Disk.ReadAll(LogFiles.Path(segments[^1])).AsSpan(0, 60 << 10).ToArray());
        Assert.Contains("ends too early", Assert.Throws<CorruptStorageException>(() => LogFiles.Open(cut)).Message, StringComparison.Ordinal);
    }

    /// <summary>The build before goes on in a segment of its own and does not move the position; then this build is back.</summary>
    [Fact]
    public void A_position_that_an_earlier_build_has_left_behind_is_no_witness_against_its_segments()
    {
        LogBench bench = new(1, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 3, 10);
        byte[] position = bench.Disk.ReadAll(LogFiles.PositionPath);
        MemoryFileSystem disk = LogFiles.Copy(bench.Disk);
        LogFiles.Found(disk);
        disk.Put(LogFiles.PositionPath, position);
        Assert.True(LogFiles.Position(disk).Segment < LogFiles.Segments(disk)[^1]);
        Assert.Equal(bench.Model(0).Render(), LogFiles.Found(disk));
    }

    /// <summary>
    /// In builds before version 2 a replica that came could have its first snapshot before anything of it was in the log, and a kill could
    /// fall between the two.
    /// </summary>
    [Fact]
    public void A_snapshot_of_a_group_that_the_log_of_an_earlier_build_does_not_know_accuses_nobody()
    {
        Dictionary<uint, string> snapshots = new() { [0] = "n1/snap/0/a.snap", [5] = "n1/snap/5/b.snap" };
        MemoryFileSystem disk = Version1(out _, out _, out _);
        WriteAheadLog.Open(disk, LogBench.Directory, LogBench.Identity, LogBench.Small, snapshots, opensForFirstBuilds: true).Dispose();

        // That start has written a segment of its own.
        CorruptStorageException found = Assert.Throws<CorruptStorageException>(
            () => WriteAheadLog.Open(disk, LogBench.Directory, LogBench.Identity, LogBench.Small, snapshots, opensForFirstBuilds: true));
        Assert.Equal("n1/snap/5/b.snap", found.Path);
    }

    [Fact]
    public void A_position_of_a_later_build_is_refused_and_one_of_another_node_says_nothing()
    {
        LogBench bench = new(2, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 1, 10);
        byte[] later = bench.Disk.ReadAll(LogFiles.PositionPath);
        later[8] = 2;
        BitConverter.TryWriteBytes(later.AsSpan(32), Crc32C.Append(IdentitySeed, later.AsSpan(0, 32)));
        MemoryFileSystem disk = LogFiles.Copy(bench.Disk);
        disk.Put(LogFiles.PositionPath, later);
        StorageException refused = Assert.Throws<StorageException>(() => LogFiles.Open(disk));
        Assert.Contains("position format version 2", refused.Message, StringComparison.Ordinal);

        byte[] foreign = new byte[2 * DurablePosition.BlockBytes];
        DurablePosition.Fill(foreign, BatchFormat.IdentitySeed(LogBench.Identity with { NodeUuid = Guid.Empty }), 99, 99);
        disk.Put(LogFiles.PositionPath, foreign);
        Assert.Equal(bench.Model(0).Render(), LogFiles.Found(disk));
    }

    /// <summary>Entries 6 and 7 acknowledged, a seal behind them, entry 8 behind the seal.</summary>
    private static MemoryFileSystem Version1(out ulong segment, out long seal, out long last)
    {
        LogBench bench = new(1, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 2, 10);
        segment = LogFiles.Segments(bench.Disk)[^1];
        byte[] bytes = bench.Disk.ReadAll(LogFiles.Path(segment));
        (long offset, BatchFormat batch) = LogFiles.Batches(bytes, segment)[^1];
        seal = offset + BatchFormat.RoundToBlock(batch.Length);
        last = seal + BatchFormat.BlockBytes;
        BatchWriter writer = new(4096);
        Put(bytes, writer, segment, seal, batch.Lsn + 1, batch.Lsn, BatchFlags.Seal);
        writer.Reset();
        writer.Entries(0, 5, [LogFiles.Entry(8, 0xAA)]);
        Put(bytes, writer, segment, last, batch.Lsn + 2, batch.Lsn, BatchFlags.None);

        bytes[8] = 1;
        bytes.AsSpan(184, 16).Clear();
        BitConverter.TryWriteBytes(bytes.AsSpan(SegmentHeader.Bytes - 4), Crc32C.Append(0, bytes.AsSpan(0, SegmentHeader.Bytes - 4)));
        MemoryFileSystem disk = new(1);
        disk.Put(LogFiles.Path(segment), bytes);
        return disk;
    }

    private static void Put(byte[] file, BatchWriter batch, ulong segment, long offset, ulong lsn, ulong syncedLsn, BatchFlags flags) =>
        batch.Finish(BatchFormat.Seed(IdentitySeed, segment, offset), lsn, syncedLsn, flags).CopyTo(file.AsSpan((int)offset));
}
