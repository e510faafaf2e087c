
namespace KvStore.Storage.Tests;

public sealed class WalFailureTests
{
    [Fact]
    public void A_failed_sync_is_final()
    {
        LogBench bench = new(1, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 1, 10);
        int completed = bench.Completed;
        bench.AppendWritten(0, 1, 10);
        bench.Disk.FailSyncIn = 1;
        StorageException failure = Assert.Throws<StorageException>(bench.Log.Sync);
        Assert.Equal(5, failure.Errno);
        Assert.Equal(LogFiles.Path(1), failure.Path);

        Change later = bench.NewChange();
        bench.Append(later, 0, 1, 10);
        Assert.False(bench.Log.TrySubmit(later.Submission));
        Assert.Throws<StorageException>(bench.Log.Sync);
        Assert.Equal(completed, bench.Completed);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void A_failed_write_or_directory_sync_is_final_and_loses_nothing_acknowledged(int which)
    {
        LogBench bench = new(2, LogBench.Small with { SegmentBytes = 16 << 10 }, groups: 1);
        bench.AppendDurably(0, 1, 10);
        Change change = bench.NewChange();
        bench.Append(change, 0, 1, which == 0 ? 10 : 6000);
        bench.Submit(change);
        bench.GatherStep();
        bench.Disk.FailWriteIn = which == 0 ? 1 : 0;
        bench.Disk.FailDirectorySyncIn = which == 1 ? 1 : 0;
        Assert.Throws<StorageException>(bench.WriteStep);
        Assert.False(bench.Log.TrySubmit(change.Submission));
        bench.Disk.FailDirectorySyncIn = 0;
        bench.Restart(0);
    }

    [Fact]
    public void B2_a_full_disk_at_a_roll_is_waited_for_and_nothing_is_acknowledged_meanwhile()
    {
        LogBench bench = new(3, LogBench.Small with { SegmentBytes = 16 << 10 }, groups: 1);
        bench.Disk.CapacityBytes = 1;
        bool waits = false;
        for (int i = 0; !waits; i++)
        {
            Assert.True(i < 10);
            Change change = bench.NewChange();
            bench.Append(change, 0, 1, 100);
            bench.Submit(change);
            bench.GatherStep();
            waits = !bench.Log.Write();
            if (!waits)
            {
                bench.WrittenStep();
                bench.Log.Sync();
                bench.CompleteStep();
                bench.Deliver();
            }
        }

        Assert.True(bench.Log.IsWaitingForRoom);
        Assert.False(bench.Log.Write());
        bench.Disk.CapacityBytes = long.MaxValue;
        bench.WriteStep();
        bench.Log.Sync();
        bench.CompleteStep();
        bench.Deliver();
        Assert.False(bench.Log.IsWaitingForRoom);
        bench.AppendDurably(0, 1, 10);
        bench.Restart(0);
    }

    [Fact]
    public void B2_a_start_takes_its_segment_from_the_reserve_and_a_retired_segment_becomes_the_next_one()
    {
        LogBench bench = new(3, LogBench.Small with { SegmentBytes = 16 << 10 }, groups: 1);
        bench.AppendDurably(0, 3, 100);
        bench.Disk.CapacityBytes = 1;
        for (int start = 0; start < 5; start++)
        {
            bench.Disk.CrashProcess();
            bench.Open();
            bench.AppendDurably(0, 1, 100);
        }

        Assert.Contains("reserve.log", bench.Disk.ListFiles(LogBench.Directory));
        bench.Restart(0);
    }

    /// <summary>A start that used the reserve and did not end left batches in it that are valid under the next number.</summary>
    [Fact]
    public void B2_what_an_earlier_start_wrote_into_the_reserve_does_not_come_back()
    {
        for (int crashIn = 1; crashIn < 40; crashIn++)
        {
            LogBench bench = new(4, LogBench.Small with { SegmentBytes = 32 << 10 }, groups: 1);
            bench.AppendDurably(0, 3, 100);
            bench.Disk.CapacityBytes = 1;
            bench.Disk.CrashProcess();
            bench.Disk.CrashIn = crashIn;
            try
            {
                bench.Open();
                bench.Disk.CrashIn = 0;
                return;
            }
            catch (SimulatedCrashException)
            {
                bench.Disk.CrashProcess();
            }

            bench.Open();
            bench.AppendDurably(0, 1, 100);
            bench.Restart(0);
        }

        Assert.Fail("the start has more steps than were tried");
    }

    /// <summary>A supervisor starts it again and again; each finds the disk full, and the reserve is gone since the first.</summary>
    [Fact]
    public void B2_without_a_reserve_any_number_of_starts_on_a_full_disk_go_on_in_the_newest_segment()
    {
        LogBench bench = new(3, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 3, 100);
        bench.Disk.Take($"{LogBench.Directory}/reserve.log");
        bench.Disk.CapacityBytes = 1;
        for (int start = 0; start < 5; start++)
        {
            bench.Restart(start % 3);
            bench.AppendDurably(0, 1, 100);
        }

        Assert.Equal([1UL], LogFiles.Segments(bench.Disk));
        bench.Disk.CapacityBytes = long.MaxValue;
        bench.Restart(0);
        Assert.Equal([2UL], LogFiles.Segments(bench.Disk));
        Assert.Contains("reserve.log", bench.Disk.ListFiles(LogBench.Directory));
    }

    /// <summary>What a start without room goes on in was cut or killed anywhere, and is again.</summary>
    [Fact]
    public void B2_starts_without_room_lose_nothing_whatever_crash_comes_before_or_meanwhile()
    {
        int without = 0;
        int crashes = 0;
        for (int seed = 0; seed < 60; seed++)
        {
            LogBench bench = new(9_000 + seed, LogBench.Small with { SegmentBytes = 128 << 10 }) { StartsWithoutRoom = 0.5 };
            for (int step = 0; step < 600; step++)
            {
                bench.Step(0.02);
            }

            bench.Restart(1);
            without += bench.StartedWithoutRoom;
            crashes += bench.CrashesInRecovery;
        }

        Assert.InRange(without, 300, int.MaxValue);
        Assert.InRange(crashes, 30, int.MaxValue);
    }

    [Fact]
    public void B2_a_first_start_on_a_full_disk_names_what_it_lacks()
    {
        MemoryFileSystem disk = new(3) { CapacityBytes = 40_000 };
        StorageException failure = Assert.Throws<StorageException>(() => new LogBench(3, LogBench.Small, groups: 1, disk));
        Assert.True(failure.IsFull);
        Assert.Contains("no room for the next log segment of 65536 bytes", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_log_of_another_cluster_or_node_is_refused_with_the_remedy()
    {
        LogBench bench = new(4, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 1, 10);
        foreach (LogIdentity other in (LogIdentity[])
            [
                LogBench.Identity with { ClusterId = "another" },
                LogBench.Identity with { NodeId = 2 },
                LogBench.Identity with { NodeUuid = Guid.Empty },
            ])
        {
            ForeignLogException refused = Assert.Throws<ForeignLogException>(
                () => WriteAheadLog.Open(bench.Disk, LogBench.Directory, other, LogBench.Small));
            Assert.Contains("start with the right data directory", refused.Message, StringComparison.Ordinal);
        }

        bench.Restart(1);
    }

    [Fact]
    public void A_missing_segment_stops_the_node_and_is_named()
    {
        LogBench bench = new(5, LogBench.Small with { SegmentBytes = 16 << 10 }, groups: 1);
        while (LogFiles.Segments(bench.Disk).Count < 4)
        {
            bench.AppendDurably(0, 1, 600);
        }

        foreach (ulong missing in LogFiles.Segments(bench.Disk).SkipLast(1))
        {
            MemoryFileSystem copy = LogFiles.Copy(bench.Disk);
            copy.Delete(LogFiles.Path(missing));
            CorruptStorageException found = Assert.Throws<CorruptStorageException>(() => LogFiles.Open(copy));
            Assert.Equal(LogFiles.Path(missing), found.Path);
            Assert.Contains("missing", found.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_read_error_during_recovery_is_an_error_and_not_a_shorter_log()
    {
        LogBench bench = new(6, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 1, 10);
        bench.Disk.CrashProcess();
        bench.Disk.FailReadsOf = ".log";
        Assert.Equal(5, Assert.Throws<StorageException>(bench.Open).Errno);
        bench.Disk.FailReadsOf = null;
        bench.Restart(1);
    }

    [Fact]
    public void An_entry_that_rots_after_recovery_is_noticed_when_it_is_read()
    {
        LogBench bench = new(7, LogBench.Small with { EntryCacheBytes = 0 }, groups: 1);
        bench.AppendDurably(0, 3, 100);
        ulong segment = LogFiles.Segments(bench.Disk)[^1];
        EntrySlot slot = bench[0].Slot(7);
        bench.Disk.FlipBit(LogFiles.Path(segment), slot.Offset + EntryFormat.HeaderBytes + 50, 1);
        Assert.Single(bench[0].Entries(6, 7, long.MaxValue));
        CorruptStorageException found = Assert.Throws<CorruptStorageException>(() => bench[0].Entries(6, 9, long.MaxValue));
        Assert.Equal((LogFiles.Path(segment), slot.Offset), (found.Path, found.Offset));
    }

    [Fact]
    public void Records_and_versions_of_a_later_build_are_refused_by_name()
    {
        LogBench bench = new(8, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 1, 10);
        ulong segment = LogFiles.Segments(bench.Disk)[^1];
        uint identity = BatchFormat.IdentitySeed(LogBench.Identity);
        (long offset, BatchFormat batch) = LogFiles.Batches(bench.Disk, segment)[^1];
        MemoryFileSystem later = LogFiles.Copy(bench.Disk, (_, bytes) =>
        {
            Span<byte> place = bytes.AsSpan((int)offset);
            place[BatchFormat.HeaderBytes] = (byte)ItemKind.NodeMeta;
            batch.WriteHeader(place, BatchFormat.Seed(identity, segment, offset));
        });
        StorageException kind = Assert.Throws<StorageException>(() => LogFiles.Open(later));
        Assert.Contains("record kind 7", kind.Message, StringComparison.Ordinal);

        MemoryFileSystem newer = LogFiles.Copy(bench.Disk, (_, bytes) =>
        {
            bytes[8] = 3;
            BitConverter.TryWriteBytes(bytes.AsSpan(SegmentHeader.Bytes - 4), Crc32C.Append(0, bytes.AsSpan(0, SegmentHeader.Bytes - 4)));
        });
        StorageException version = Assert.Throws<StorageException>(() => LogFiles.Open(newer));
        Assert.Contains("format version 3", version.Message, StringComparison.Ordinal);
    }
}
