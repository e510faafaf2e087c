
namespace KvStore.Storage.Tests;

public sealed class TornTailTests
{
    [Fact]
    public void A_log_cut_at_any_byte_of_its_last_batch_ends_before_that_batch()
    {
        LogBench bench = new(1, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 3, 20);
        string before = bench.Model(0).Render();
        bench.AppendWritten(0, 2, 30);
        string after = bench.Model(0).Render();
        ulong segment = LogFiles.Segments(bench.Disk)[^1];
        (long offset, BatchFormat batch) = LogFiles.Batches(bench.Disk, segment)[^1];

        for (int cut = 0; cut <= batch.Length; cut++)
        {
            // The batch ends in payload bytes and padding: a cut that removes only zeros removes nothing.
            bool whole = false;
            MemoryFileSystem zeros = LogFiles.Copy(bench.Disk, (number, bytes) =>
            {
                if (number == segment)
                {
                    whole = bytes.AsSpan((int)offset + cut, batch.Length - cut).IndexOfAnyExcept((byte)0) < 0;
                    bytes.AsSpan((int)(offset + cut)).Clear();
                }
            });
            Assert.Equal(whole ? after : before, LogFiles.Found(zeros));
        }
    }

    [Fact]
    public void Any_flipped_bit_in_an_unsynced_last_batch_cuts_it()
    {
        LogBench bench = new(2, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 2, 10);
        string before = bench.Model(0).Render();
        bench.AppendWritten(0, 1, 10);
        ulong segment = LogFiles.Segments(bench.Disk)[^1];
        (long offset, BatchFormat batch) = LogFiles.Batches(bench.Disk, segment)[^1];
        for (int bit = 0; bit < batch.Length * 8; bit++)
        {
            MemoryFileSystem copy = LogFiles.Copy(bench.Disk);
            copy.FlipBit(LogFiles.Path(segment), offset + bit / 8, bit % 8);
            Assert.Equal(before, LogFiles.Found(copy));
        }
    }

    [Fact]
    public void Any_flipped_bit_in_a_synced_batch_of_the_last_segment_stops_the_node_and_names_the_place()
    {
        LogBench bench = new(3, LogBench.Small, groups: 2);
        bench.AppendDurably(0, 2, 10);
        bench.AppendDurably(1, 1, 10);
        ulong segment = LogFiles.Segments(bench.Disk)[^1];
        foreach ((long offset, BatchFormat batch) in LogFiles.Batches(bench.Disk, segment))
        {
            for (int at = 0; at < batch.Length; at++)
            {
                MemoryFileSystem copy = LogFiles.Copy(bench.Disk);
                copy.FlipBit(LogFiles.Path(segment), offset + at, at % 8);
                CorruptStorageException found = Assert.Throws<CorruptStorageException>(() => LogFiles.Open(copy));
                Assert.Equal(LogFiles.Path(segment), found.Path);
                Assert.Equal(offset, found.Offset);
                Assert.Contains(LogFiles.Path(segment), found.Message, StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void Any_flipped_bit_in_a_complete_segment_stops_the_node_and_bytes_behind_its_end_do_not_matter()
    {
        LogBench bench = new(4, LogBench.Small with { SegmentBytes = 36 << 10 }, groups: 1);
        while (LogFiles.Segments(bench.Disk).Count < 3)
        {
            bench.AppendDurably(0, 2, 3000);
        }

        ulong segment = LogFiles.Segments(bench.Disk)[1];
        ulong end = LogFiles.Header(bench.Disk, segment + 1).PreviousLastLsn;
        string whole = bench.Model(0).Render();
        List<(long Offset, BatchFormat Batch)> batches = LogFiles.Batches(bench.Disk, segment);
        Assert.Equal(end, batches[^1].Batch.Lsn);
        foreach ((long offset, BatchFormat batch) in batches)
        {
            for (int at = 0; at < batch.Length; at += 17)
            {
                MemoryFileSystem copy = LogFiles.Copy(bench.Disk);
                copy.FlipBit(LogFiles.Path(segment), offset + at, at % 8);
                CorruptStorageException found = Assert.Throws<CorruptStorageException>(() => LogFiles.Open(copy));
                Assert.Equal((LogFiles.Path(segment), offset), (found.Path, found.Offset));
            }
        }

        MemoryFileSystem behind = LogFiles.Copy(bench.Disk);
        long behindEnd = batches[^1].Offset + BatchFormat.RoundToBlock(batches[^1].Batch.Length);
        Assert.True(behindEnd < bench.Disk.ReadAll(LogFiles.Path(segment)).Length);
        behind.FlipBit(LogFiles.Path(segment), behindEnd, 0);
        Assert.Equal(whole, LogFiles.Found(behind));
    }

    [Fact]
    public void A_damaged_header_of_a_used_segment_stops_the_node()
    {
        LogBench bench = new(5, LogBench.Small with { SegmentBytes = 32 << 10 }, groups: 1);
        while (LogFiles.Segments(bench.Disk).Count < 3)
        {
            bench.AppendDurably(0, 2, 400);
        }

        foreach (ulong segment in LogFiles.Segments(bench.Disk))
        {
            for (int at = 0; at < SegmentHeader.Bytes; at += 31)
            {
                MemoryFileSystem copy = LogFiles.Copy(bench.Disk);
                copy.FlipBit(LogFiles.Path(segment), at, at % 8);
                CorruptStorageException found = Assert.Throws<CorruptStorageException>(() => LogFiles.Open(copy));
                Assert.Equal((LogFiles.Path(segment), 0), (found.Path, found.Offset));
            }
        }
    }

    [Fact]
    public void Wal_torn_before_rollover_a_crash_at_any_disk_operation_of_a_roll_leaves_a_log_that_opens()
    {
        int opened = 0;
        for (int seed = 0; seed < 12; seed++)
        {
            for (int operation = 1; ; operation++)
            {
                LogBench bench = new(seed, LogBench.Small with { SegmentBytes = 16 << 10 }, groups: 2);
                ulong start = LogFiles.Segments(bench.Disk)[^1];
                while (LogFiles.Batches(bench.Disk, start).Count < 3)
                {
                    bench.AppendDurably(0, 1, 50);
                }

                // The segment is full: this one rolls.
                Change change = bench.NewChange();
                bench.Append(change, 1, 2, 100);
                bench.Submit(change);
                bench.GatherStep();
                bench.Disk.CrashIn = operation;
                bool finished = false;
                try
                {
                    bench.WriteStep();
                    bench.Log.Sync();
                    bench.CompleteStep();
                    finished = true;
                }
                catch (SimulatedCrashException)
                {
                }

                bench.Disk.CrashIn = 0;
                bench.Restart(seed % 3);
                opened++;
                if (finished)
                {
                    break;
                }
            }
        }

        Assert.True(opened > 12 * 8, $"only {opened} crashes");
    }

    [Fact]
    public void Wal_spare_header_a_file_that_is_being_prepared_has_no_name_that_counts()
    {
        LogBench bench = new(6, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 2, 10);
        string before = bench.Model(0).Render();
        bench.AppendWritten(0, 1, 10);
        ulong segment = LogFiles.Segments(bench.Disk)[^1];
        (long offset, BatchFormat _) = LogFiles.Batches(bench.Disk, segment)[^1];
        MemoryFileSystem torn = LogFiles.Copy(bench.Disk);
        torn.FlipBit(LogFiles.Path(segment), offset + 40, 3);

        // Stale bytes of an older life of the file, batches included, and a header that never got whole.
        byte[] stale = torn.ReadAll(LogFiles.Path(segment));
        stale[100] ^= 1;
        torn.Put($"{LogBench.Directory}/spare-{segment + 1:x16}.log", stale);
        Assert.Equal(before, LogFiles.Found(torn));
        Assert.Equal(before, LogFiles.Found(torn));

        // Under a final name the same file is damaged: it got that name only after its header was durable.
        MemoryFileSystem named = LogFiles.Copy(bench.Disk);
        named.Put(LogFiles.Path(segment + 1), stale);
        Assert.Equal(LogFiles.Path(segment + 1), Assert.Throws<CorruptStorageException>(() => LogFiles.Open(named)).Path);
    }

    [Fact]
    public void Wal_kill9_then_power_what_a_restart_has_read_survives_the_next_power_cut()
    {
        LogBench bench = new(7, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 2, 10);
        bench.AppendWritten(0, 1, 10);
        bench.Restart(2);
        Assert.Equal(1, bench.Survivors);
        Assert.Equal(8UL, bench[0].LastIndex);
        bench.Restart(1);
        Assert.Equal(8UL, bench[0].LastIndex);
    }

    [Fact]
    public void A_restart_after_a_failed_sync_makes_durable_what_it_shows()
    {
        LogBench bench = new(8, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 2, 10);
        bench.AppendWritten(0, 1, 10);
        bench.Disk.FailSyncIn = 1;
        Assert.Throws<StorageException>(bench.Log.Sync);

        // The page cache still shows the batch, and calls it clean: only writing it again can save it.
        bench.Restart(2);
        Assert.Equal(8UL, bench[0].LastIndex);
        bench.Restart(1);
        Assert.Equal(8UL, bench[0].LastIndex);
    }

    [Fact]
    public void Wal_ghost_tail_an_old_batch_never_comes_back_behind_new_ones()
    {
        LogBench bench = new(9, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 2, 10);
        string durable = bench.Model(0).Render();
        bench.AppendWritten(0, 1, 10);
        ulong segment = LogFiles.Segments(bench.Disk)[^1];
        long last = LogFiles.Batches(bench.Disk, segment)[^1].Offset;

        // The last batch reads as torn once, and is cut. It must stay cut when it reads as whole later.
        MemoryFileSystem disk = LogFiles.Copy(bench.Disk);
        byte[] whole = disk.ReadAll(LogFiles.Path(segment));
        disk.FlipBit(LogFiles.Path(segment), last + 8, 0);
        using (WriteAheadLog log = LogFiles.Open(disk))
        {
            GroupLog group = log.OpenGroup(0, ModelGroup.StartingMark);
            Assert.Equal(durable, ModelGroup.Render(group));
            WalSubmission submission = new(group.OnDurable);
            submission.Append(group, null, [LogFiles.Entry(8, 0xAA)]);
            Assert.True(log.TrySubmit(submission));
            Assert.True(log.Gather());
            log.Write();
            log.Sync();
            log.Complete();
            Assert.Equal(8UL, group.LastIndex);
        }

        disk.Put(LogFiles.Path(segment), whole);
        disk.Crash();
        string found = LogFiles.Found(disk);
        Assert.StartsWith(durable, found, StringComparison.Ordinal);
        Assert.EndsWith(" 8/5/Command/1/1008+1=AAAAAA", found, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_is_overwritten_only_after_its_old_name_is_gone_for_good()
    {
        int recycled = 0;
        bool finished = false;
        for (int operation = 1; !finished; operation++)
        {
            LogBench bench = new(11, LogBench.Small with { SegmentBytes = 16 << 10 }, groups: 1);
            bench.AppendDurably(0, 1, 100);
            bench.CompactAll(0);
            bench.Disk.CrashIn = operation;
            try
            {
                for (int i = 0; i < 4; i++)
                {
                    Change change = bench.NewChange();
                    bench.Append(change, 0, 1, 100);
                    ModelGroup model = change.After[0];
                    bench.Submit(change);
                    bench.TurnCrank();
                    bench.Deliver();
                    change = bench.NewChange();
                    bench.Compact(change, 0, new(model.Last, 5, model.Clock(model.Last), model.Mark.Configuration), model.Last + 1);
                    bench.Submit(change);
                    bench.TurnCrank();
                    bench.Deliver();
                }

                finished = true;
            }
            catch (SimulatedCrashException)
            {
            }

            recycled += bench.Disk.ListFiles(LogBench.Directory).Count(name => name.StartsWith("spare-", StringComparison.Ordinal));
            bench.Disk.CrashIn = 0;
            bench.Disk.Crash(CrashMode.LoseUnsynced);
            foreach (ulong segment in LogFiles.Segments(bench.Disk))
            {
                Assert.Equal(segment, LogFiles.Header(bench.Disk, segment).Segment);
            }
        }

        Assert.True(recycled > 10, $"only {recycled} spares seen");
    }

    [Fact]
    public void Batches_of_a_recycled_segment_or_of_another_place_never_verify()
    {
        LogBench bench = new(10, LogBench.Small with { SegmentBytes = 16 << 10 }, groups: 1);
        for (int i = 0; i < 40; i++)
        {
            bench.AppendDurably(0, 1, 100);
            bench.CompactAll(0);
        }

        // The present segment was one before: blocks that once were batches lie behind its end.
        ulong segment = LogFiles.Segments(bench.Disk)[^1];
        byte[] file = bench.Disk.ReadAll(LogFiles.Path(segment));
        int used = LogFiles.Batches(file, segment).Count;
        int stale = 0;
        for (long offset = SegmentHeader.Bytes; offset < file.Length; offset += BatchFormat.BlockBytes)
        {
            for (ulong number = 1; number < segment; number++)
            {
                stale += LogFiles.IsBatch(file, number, offset, out _) ? 1 : 0;
            }

            if (LogFiles.IsBatch(file, segment, offset, out _))
            {
                used--;
                file.AsSpan((int)offset, BatchFormat.BlockBytes).CopyTo(file.AsSpan(SegmentHeader.Bytes));
                Assert.Equal(offset == SegmentHeader.Bytes, LogFiles.IsBatch(file, segment, SegmentHeader.Bytes, out _));
            }
        }

        Assert.Equal(0, used);
        Assert.True(stale > 0 || LogFiles.Batches(bench.Disk, segment).Count == 3, "no stale batch in the recycled file");
        Assert.Contains(bench.Disk.ListFiles(LogBench.Directory), name => name.StartsWith("spare-", StringComparison.Ordinal));
        bench.Restart(1);
    }
}
