
namespace KvStore.Storage.Tests;

/// <summary>Damage to the segment that has no later one to vouch for it. Everything in these logs was acknowledged.</summary>
public sealed class NewestSegmentTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(100)]
    [InlineData(4096)]
    [InlineData(8192)]
    [InlineData(43_000)]
    [InlineData((64 << 10) - 1)]
    public void A2_a_newest_segment_cut_short_is_refused(int length)
    {
        LogBench bench = Busy(seed: 1);
        ulong newest = LogFiles.Segments(bench.Disk)[^1];
        CorruptStorageException found = IsRefused(LogFiles.Copy(bench.Disk), disk =>
            disk.Put(LogFiles.Path(newest), disk.ReadAll(LogFiles.Path(newest)).AsSpan(0, length)));
        Assert.Equal(LogFiles.Path(newest), found.Path);
        Assert.Contains($"{LogFiles.Path(newest)} at offset {(length < SegmentHeader.Bytes ? 0 : length)}", found.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void A11_a_newest_segment_with_zeros_from_any_block_on_is_refused(int restarts)
    {
        LogBench bench = Busy(seed: 2);
        for (int i = 0; i < restarts; i++)
        {
            bench.Restart(1);
        }

        ulong newest = LogFiles.Segments(bench.Disk)[^1];
        foreach ((long offset, BatchFormat _) in LogFiles.Batches(bench.Disk, newest))
        {
            CorruptStorageException found = IsRefused(LogFiles.Copy(bench.Disk), disk => Change(disk, newest, b => b.AsSpan((int)offset).Clear()));
            Assert.Equal((LogFiles.Path(newest), offset), (found.Path, found.Offset));
        }
    }

    [Fact]
    public void A11_a_flipped_bit_in_a_checkpoint_that_a_power_cut_has_left_alone_is_refused()
    {
        LogBench bench = new(3, LogBench.Small with { SegmentBytes = 16 << 10 }, groups: 1);
        ulong first = LogFiles.Segments(bench.Disk)[^1];
        bench.AppendDurably(0, 1, 10);
        while (LogFiles.Segments(bench.Disk)[^1] == first)
        {
            bench.AppendWritten(0, 1, 10);
            if (LogFiles.Segments(bench.Disk)[^1] == first)
            {
                bench.Log.Sync();
                bench.CompleteStep();
                bench.Deliver();
            }
        }

        // The roll is durable, the batch behind it is not.
        bench.Disk.Crash(CrashMode.LoseUnsynced);
        ulong newest = LogFiles.Segments(bench.Disk)[^1];
        (long offset, BatchFormat checkpoint) = Assert.Single(LogFiles.Batches(bench.Disk, newest));
        for (int at = 0; at < checkpoint.Length; at++)
        {
            CorruptStorageException found = IsRefused(LogFiles.Copy(bench.Disk), disk => disk.FlipBit(LogFiles.Path(newest), offset + at, at % 8));
            Assert.Equal((LogFiles.Path(newest), offset), (found.Path, found.Offset));
        }
    }

    [Fact]
    public void A13_a_lost_or_flipped_block_of_a_full_segment_is_refused()
    {
        LogBench bench = new(4, LogBench.Small with { SegmentBytes = 32 << 10 }, groups: 1);
        ulong newest = LogFiles.Segments(bench.Disk)[^1];
        while (LogFiles.Batches(bench.Disk, newest)[^1].Offset < (28 << 10))
        {
            bench.AppendDurably(0, 1, 10);
        }

        Assert.Equal(newest, LogFiles.Segments(bench.Disk)[^1]);
        foreach ((long offset, BatchFormat batch) in LogFiles.Batches(bench.Disk, newest))
        {
            IsRefused(LogFiles.Copy(bench.Disk), disk => Change(disk, newest, b => b.AsSpan((int)offset, BatchFormat.BlockBytes).Clear()));
            IsRefused(LogFiles.Copy(bench.Disk), disk => disk.FlipBit(LogFiles.Path(newest), offset + batch.Length - 1, 0));
        }
    }

    [Fact]
    public void A13_two_swapped_blocks_of_the_newest_segment_are_refused_or_lose_nothing()
    {
        LogBench bench = Busy(seed: 5);
        bench.Restart(1);
        bench.AppendDurably(0, 2, 20);
        bench.AppendDurably(1, 1, 5000);
        string whole = LogFiles.Found(LogFiles.Copy(bench.Disk));
        ulong newest = LogFiles.Segments(bench.Disk)[^1];
        byte[] bytes = bench.Disk.ReadAll(LogFiles.Path(newest));
        int refused = 0;
        for (int first = 0; first < bytes.Length; first += BatchFormat.BlockBytes)
        {
            for (int second = first + BatchFormat.BlockBytes; second < bytes.Length; second += BatchFormat.BlockBytes)
            {
                if (bytes.AsSpan(first, BatchFormat.BlockBytes).SequenceEqual(bytes.AsSpan(second, BatchFormat.BlockBytes)))
                {
                    Assert.Equal(whole, LogFiles.Found(LogFiles.Copy(bench.Disk)));
                    continue;
                }

                IsRefused(LogFiles.Copy(bench.Disk), disk => Change(disk, newest, b => Swap(b, first, second)));
                refused++;
            }
        }

        Assert.True(refused > 50, $"only {refused} swaps");
    }

    [Fact]
    public void A_newest_segment_that_is_gone_is_missed()
    {
        LogBench bench = new(6, LogBench.Small with { SegmentBytes = 16 << 10 }, groups: 1);
        while (LogFiles.Segments(bench.Disk).Count < 3)
        {
            bench.AppendDurably(0, 1, 600);
        }

        ulong newest = LogFiles.Segments(bench.Disk)[^1];
        CorruptStorageException found = IsRefused(LogFiles.Copy(bench.Disk), disk => disk.Delete(LogFiles.Path(newest)));
        Assert.Equal(LogFiles.Path(newest), found.Path);
        found = IsRefused(
            LogFiles.Copy(bench.Disk), disk => LogFiles.Segments(disk).ForEach(segment => disk.Delete(LogFiles.Path(segment))));
        Assert.Equal(LogFiles.Path(newest), found.Path);
    }

    [Fact]
    public void A2_a_snapshot_of_a_group_that_the_log_does_not_know_stops_the_start()
    {
        LogBench bench = Busy(seed: 7);
        Dictionary<uint, string> snapshots = new() { [0] = "n1/snap/0/a.snap", [5] = "n1/snap/5/b.snap" };
        Dictionary<string, byte[]> before = Contents(bench.Disk);
        bench.Disk.CrashProcess();
        CorruptStorageException found = Assert.Throws<CorruptStorageException>(
            () => WriteAheadLog.Open(bench.Disk, LogBench.Directory, LogBench.Identity, LogBench.Small, snapshots));
        Assert.Equal("n1/snap/5/b.snap", found.Path);
        Assert.Contains("group 5", found.Message, StringComparison.Ordinal);
        Assert.Equal(before, Contents(bench.Disk));
        snapshots.Remove(5);
        using WriteAheadLog log = WriteAheadLog.Open(bench.Disk, LogBench.Directory, LogBench.Identity, LogBench.Small, snapshots);
    }

    // What nothing can tell: stated in docs/storage-format.md.

    [Fact]
    public void A_last_batch_that_is_damaged_after_a_power_cut_has_taken_the_position_reads_as_torn()
    {
        LogBench bench = new(8, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 1, 10);
        bench.AppendDurably(0, 1, 10);
        bench.Disk.Crash(CrashMode.LoseUnsynced);
        ulong newest = LogFiles.Segments(bench.Disk)[^1];
        List<(long Offset, BatchFormat Batch)> batches = LogFiles.Batches(bench.Disk, newest);
        Assert.True(LogFiles.Position(bench.Disk).Lsn < batches[^1].Batch.Lsn);
        bench.Disk.FlipBit(LogFiles.Path(newest), batches[^1].Offset + 40, 0);
        Assert.Equal(6UL, LogFiles.FoundWithoutRewriting(bench.Disk).LastIndex);

        // The one before it has the last one as its witness.
        bench.Disk.FlipBit(LogFiles.Path(newest), batches[^1].Offset + 40, 0);
        bench.Disk.FlipBit(LogFiles.Path(newest), batches[^2].Offset + 40, 0);
        Assert.Throws<CorruptStorageException>(() => LogFiles.Open(bench.Disk));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void A_position_that_is_gone_or_damaged_accuses_nobody(int how)
    {
        LogBench bench = Busy(seed: 9);
        MemoryFileSystem disk = LogFiles.Copy(bench.Disk);
        if (how == 0)
        {
            disk.Delete(LogFiles.PositionPath);
        }
        else if (how == 1)
        {
            disk.Put(LogFiles.PositionPath, new byte[100]);
        }
        else
        {
            disk.FlipBit(LogFiles.PositionPath, 20, 0);
            disk.FlipBit(LogFiles.PositionPath, DurablePosition.BlockBytes + 20, 0);
        }

        Assert.Equal(default, LogFiles.Position(disk));
        Assert.Equal(bench.Model(0).Render(), LogFiles.Found(disk));
        Assert.Equal(LogFiles.Segments(disk)[^1], LogFiles.Position(disk).Segment);
    }

    /// <summary>Two groups, one of them with a snapshot, and every file full of what was acknowledged.</summary>
    private static LogBench Busy(int seed)
    {
        LogBench bench = new(seed, LogBench.Small, groups: 2);
        bench.AppendDurably(0, 3, 20);
        bench.CompactAll(0);
        bench.AppendDurably(1, 2, 20);
        bench.AppendDurably(0, 1, 6000);
        return bench;
    }

    private static CorruptStorageException IsRefused(MemoryFileSystem disk, Action<MemoryFileSystem> damage)
    {
        damage(disk);
        Dictionary<string, byte[]> before = Contents(disk);
        CorruptStorageException found = Assert.Throws<CorruptStorageException>(() => LogFiles.Open(disk));
        Assert.Equal(before, Contents(disk));
        return found;
    }

    private static Dictionary<string, byte[]> Contents(MemoryFileSystem disk) =>
        disk.ListFiles(LogBench.Directory).ToDictionary(name => name, name => disk.ReadAll($"{LogBench.Directory}/{name}"));

    private static void Change(MemoryFileSystem disk, ulong segment, Action<byte[]> change)
    {
        byte[] bytes = disk.ReadAll(LogFiles.Path(segment));
        change(bytes);
        disk.Put(LogFiles.Path(segment), bytes);
    }

    private static void Swap(byte[] bytes, int first, int second)
    {
        byte[] kept = bytes.AsSpan(first, BatchFormat.BlockBytes).ToArray();
        bytes.AsSpan(second, BatchFormat.BlockBytes).CopyTo(bytes.AsSpan(first));
        kept.CopyTo(bytes, second);
    }
}
