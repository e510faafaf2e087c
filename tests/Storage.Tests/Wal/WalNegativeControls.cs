using Xunit.Sdk;

namespace KvStore.Storage.Tests;

/// <summary>Logs with one rule left out. Each must fail in the way the rule prevents, or the tests of the rule prove nothing.</summary>
public sealed class WalNegativeControls
{
    [Fact]
    public void With_syncs_that_lie_the_durability_check_fails()
    {
        LogBench bench = new(1, LogBench.Small, groups: 1);
        bench.Disk.SyncsLie = true;
        bench.AppendDurably(0, 1, 10);
        bench.Disk.SyncsLie = false;
        Assert.ThrowsAny<XunitException>(() => bench.Restart(1));
    }

    [Fact]
    public void With_directory_syncs_that_lie_a_segment_vanishes_after_a_roll()
    {
        LogBench bench = new(2, LogBench.Small with { SegmentBytes = 16 << 10 }, groups: 1);
        bench.AppendDurably(0, 1, 10);
        bench.Disk.DirectorySyncsLie = true;
        bench.AppendDurably(0, 1, 6000);
        bench.Disk.DirectorySyncsLie = false;
        Assert.ThrowsAny<XunitException>(() => bench.Restart(1));
    }

    [Fact]
    public void Cutting_at_the_first_invalid_batch_swallows_acknowledged_entries()
    {
        LogBench bench = new(3, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 1, 10);
        bench.AppendDurably(0, 1, 10);
        ulong segment = LogFiles.Segments(bench.Disk)[^1];
        List<(long Offset, BatchFormat Batch)> batches = LogFiles.Batches(bench.Disk, segment);
        int acknowledged = batches.FindLastIndex(b => b.Batch.Flags == BatchFlags.None);
        bench.Disk.FlipBit(LogFiles.Path(segment), batches[acknowledged].Offset + 33, 0);

        // The naive reader is content with a shorter log; ours knows better.
        Assert.Equal(acknowledged, LogFiles.Batches(bench.Disk, segment).Count);
        bench.Disk.CrashProcess();
        Assert.Throws<CorruptStorageException>(bench.Open);
    }

    [Fact]
    public void A_spare_prepared_with_its_final_name_and_header_refuses_to_start_after_an_ordinary_crash()
    {
        LogBench bench = new(4, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 2, 10);
        bench.AppendWritten(0, 1, 10);
        ulong segment = LogFiles.Segments(bench.Disk)[^1];
        (long offset, BatchFormat batch) = LogFiles.Batches(bench.Disk, segment)[^1];

        // The wrong order: the next header states an LSN that is not durable yet, and then that batch is torn.
        byte[] spare = new byte[LogBench.Small.SegmentBytes];
        new SegmentHeader(SegmentHeader.LatestVersion, LogBench.Identity, segment + 1, batch.Lsn, segment, batch.Lsn, 0).Write(spare);
        MemoryFileSystem disk = LogFiles.Copy(bench.Disk);
        disk.Put(LogFiles.Path(segment + 1), spare);
        disk.FlipBit(LogFiles.Path(segment), offset + 40, 0);
        Assert.Throws<CorruptStorageException>(() => LogFiles.Open(disk));

        disk.Delete(LogFiles.Path(segment + 1));
        Assert.Contains("7/", LogFiles.Found(disk), StringComparison.Ordinal);
    }

    [Fact]
    public void Acting_on_an_unsynced_tail_after_a_kill_loses_it_at_the_next_power_cut()
    {
        LogBench bench = new(5, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 2, 10);
        bench.AppendWritten(0, 1, 10);
        bench.Disk.CrashProcess();

        // Recovery that only reads: it has seen entry 8 and would vote and acknowledge with it.
        Assert.Equal(8UL, LogFiles.FoundWithoutRewriting(bench.Disk).LastIndex);
        bench.Disk.Crash(CrashMode.LoseUnsynced);
        Assert.Equal(7UL, LogFiles.FoundWithoutRewriting(bench.Disk).LastIndex);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_segment_freed_before_the_rewritten_entries_are_synced_takes_them_with_it(bool freedEarly)
    {
        LogBench bench = RewriteTests.PinnedBench(seed: 8);
        ulong pinned = LogFiles.Segments(bench.Disk)[0];
        Change change = bench.NewChange();
        Assert.True(change.Submission.Rewrite(bench[1], bench.Log.PurgeBelow, 1000) > 0);
        bench.Submit(change);
        bench.GatherStep();
        bench.WriteStep();
        if (freedEarly)
        {
            bench.Disk.Delete(LogFiles.Path(pinned));
            bench.Disk.SyncDirectory(LogBench.Directory);
            Assert.Throws<CorruptStorageException>(() => bench.Restart(1));
        }
        else
        {
            bench.Restart(1);
            Assert.Equal(8UL, bench[1].LastIndex);
        }
    }

    [Fact]
    public void Rewritten_entries_whose_sync_lied_are_missed_when_their_first_copy_is_freed()
    {
        LogBench bench = RewriteTests.PinnedBench(seed: 9);
        Change change = bench.NewChange();
        Assert.True(change.Submission.Rewrite(bench[1], bench.Log.PurgeBelow, 1000) > 0);
        bench.Submit(change);
        bench.GatherStep();
        bench.WriteStep();
        bench.Disk.SyncsLie = true;
        bench.Log.Sync();
        bench.Disk.SyncsLie = false;
        bench.CompleteStep();
        bench.Deliver();
        bench.AppendDurably(0, 1, 50);
        Assert.Throws<CorruptStorageException>(() => bench.Restart(1));
    }

    [Fact]
    public void Without_the_place_in_the_checksum_stale_batches_would_verify()
    {
        LogBench bench = new(7, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 1, 10);
        ulong segment = LogFiles.Segments(bench.Disk)[^1];
        byte[] file = bench.Disk.ReadAll(LogFiles.Path(segment));
        (long offset, BatchFormat batch) = LogFiles.Batches(file, segment)[^1];
        uint own = BatchFormat.Seed(BatchFormat.IdentitySeed(LogBench.Identity), segment, offset);
        uint next = BatchFormat.Seed(BatchFormat.IdentitySeed(LogBench.Identity), segment + 1, offset);
        ReadOnlySpan<byte> bytes = file.AsSpan((int)offset, batch.Length);
        Assert.True(BatchFormat.ItemsVerify(bytes, own));
        Assert.False(BatchFormat.ItemsVerify(bytes, next));
        Assert.False(BatchFormat.TryReadHeader(bytes, next, out _));
    }
}
