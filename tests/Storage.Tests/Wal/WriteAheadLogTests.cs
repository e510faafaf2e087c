using KvStore.Raft;

namespace KvStore.Storage.Tests;

public sealed class WriteAheadLogTests
{
    [Fact]
    public void A_log_exists_from_its_first_open_on_and_a_new_group_starts_at_its_mark()
    {
        MemoryFileSystem disk = new(1);
        Assert.False(WriteAheadLog.Exists(disk, LogBench.Directory));
        using (WriteAheadLog log = LogFiles.Open(disk))
        {
            GroupLog group = log.OpenGroup(3, ModelGroup.StartingMark);
            Assert.Same(group, log.OpenGroup(3, ModelGroup.StartingMark));
            Assert.Equal((6UL, 5UL, 5UL, 500UL), (group.FirstIndex, group.LastIndex, group.Term(5), group.LastClock(5)));
            Assert.Null(group.SnapshotFile);
            Assert.Equal(default, group.RecoveredHardState);
        }

        Assert.True(WriteAheadLog.Exists(disk, LogBench.Directory));
    }

    [Fact]
    public void The_log_shows_entries_only_when_its_owner_has_taken_the_completion_over()
    {
        LogBench bench = new(1, LogBench.Small, groups: 1);
        Change change = bench.NewChange();
        bench.Append(change, 0, 2, 10);
        bench.Submit(change);
        bench.TurnCrank();
        Assert.Equal(5UL, bench[0].LastIndex);
        bench.Deliver();
        Assert.Equal(7UL, bench[0].LastIndex);
    }

    [Fact]
    public void A_full_queue_refuses_and_a_submission_above_the_limit_is_taken_alone()
    {
        LogBench bench = new(2, LogBench.Small with { MaxQueuedBytes = 1000 }, groups: 1);
        Change large = bench.NewChange();
        bench.Append(large, 0, 1, 5000);
        Assert.True(bench.Log.TrySubmit(large.Submission));
        Change small = bench.NewChange();
        bench.Append(small, 0, 1, 10, at: 7);
        Assert.False(bench.Log.TrySubmit(small.Submission));
        Assert.True(bench.Log.Gather());
        Assert.True(bench.Log.TrySubmit(small.Submission));
    }

    [Fact]
    public void The_log_wakes_its_thread_when_work_meets_an_empty_queue()
    {
        LogBench bench = new(3, LogBench.Small, groups: 1);
        int woken = 0;
        bench.Log.Wake = () => woken++;
        for (int i = 0; i < 3; i++)
        {
            Change change = bench.NewChange();
            bench.Append(change, 0, 1, 10);
            bench.Submit(change);
        }

        Assert.Equal(1, woken);
        bench.DrainAll();
        bench.AppendDurably(0, 1, 10);
        Assert.Equal(2, woken);
    }

    [Fact]
    public void A_group_commit_takes_what_fits_and_leaves_the_rest_for_the_next()
    {
        LogBench bench = new(4, LogBench.Small, groups: 1);
        long before = bench.Log.Counters.Syncs;
        for (int i = 0; i < 6; i++)
        {
            Change change = bench.NewChange();
            bench.Append(change, 0, 1, 3000);
            bench.Submit(change);
        }

        bench.DrainAll();
        WalCounters counters = bench.Log.Counters;
        Assert.Equal((3L, 3L, 6L), (counters.Syncs - before, counters.Batches, counters.Entries));
        Assert.False(bench.Log.Gather());
        bench.Restart(1);
        Assert.Equal(6, bench.Log.Counters.RecoveredEntries);
    }

    [Fact]
    public void B13_a_small_write_of_one_client_takes_one_block_of_the_log()
    {
        LogBench bench = new(12, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 1, 256);
        (long bytes, long syncs, long written) = (bench.Log.Counters.Bytes, bench.Disk.Counters.Syncs, bench.Disk.Counters.BytesWritten);
        for (int i = 0; i < 5; i++)
        {
            bench.AppendDurably(0, 1, 256);
        }

        Assert.Equal(5 * BatchFormat.BlockBytes, bench.Log.Counters.Bytes - bytes);
        Assert.Equal(5, bench.Disk.Counters.Syncs - syncs);

        // The batch, and the position in its place.
        Assert.Equal(2 * 5 * BatchFormat.BlockBytes, bench.Disk.Counters.BytesWritten - written);
    }

    [Fact]
    public void A_submission_larger_than_a_segment_gets_a_segment_of_its_own_size()
    {
        LogBench bench = new(5, LogBench.Small with { SegmentBytes = 16 << 10 }, groups: 2);
        bench.AppendDurably(0, 1, 10);
        bench.AppendDurably(1, 1, 100_000);
        bench.AppendDurably(0, 1, 10);
        bench.Restart(1);
        bench.AppendDurably(1, 1, 50_000);
        bench.Restart(1);
    }

    [Fact]
    public void The_steps_of_a_batch_come_in_their_order()
    {
        LogBench bench = new(6, LogBench.Small, groups: 1);
        Assert.Throws<InvariantViolationException>(() => bench.Log.Write());
        Assert.Throws<InvariantViolationException>(bench.Log.Sync);
        Assert.Throws<InvariantViolationException>(bench.Log.Complete);
        bench.AppendWritten(0, 1, 10);
        Assert.Throws<InvariantViolationException>(() => bench.Log.Gather());
    }

    [Fact]
    public void Entries_are_bounded_by_charged_bytes_but_there_is_always_one()
    {
        LogBench bench = new(7, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 5, 100);
        Assert.Single(bench[0].Entries(6, 11, 1));
        Assert.Equal(2, bench[0].Entries(6, 11, 2 * 164).Count);
        Assert.Equal(2, bench[0].Entries(9, 11, long.MaxValue).Count);
        Assert.Equal(5 * 164, bench[0].LiveBytes);
        Assert.Throws<InvariantViolationException>(() => bench[0].Entries(9, 12, long.MaxValue));
    }

    [Fact]
    public void Idle_groups_do_not_keep_old_segments_and_few_spares_are_kept()
    {
        LogBench bench = new(8, LogBench.Small with { SegmentBytes = 16 << 10 }, groups: 3);

        // Group 2 has a term, a vote and a snapshot, but no live entry; group 0 is busy and compacted.
        bench.AppendDurably(2, 1, 10);
        bench.CompactAll(2);
        for (int i = 0; i < 60; i++)
        {
            bench.AppendDurably(0, 1, 100);
            bench.CompactAll(0);
        }

        Assert.InRange(bench.Log.Counters.LiveSegments, 1, 2);
        Assert.InRange(bench.Disk.ListFiles(LogBench.Directory).Count, 1, 4);
        bench.Restart(1);
        Assert.Equal("6-5.snap", bench[2].SnapshotFile);
    }

    [Fact]
    public void A_live_entry_keeps_its_segment_until_it_is_compacted()
    {
        LogBench bench = new(9, LogBench.Small with { SegmentBytes = 32 << 10 }, groups: 2);
        bench.AppendDurably(1, 1, 10);
        for (int i = 0; i < 80; i++)
        {
            bench.AppendDurably(0, 1, 100);
        }

        int held = bench.Log.Counters.LiveSegments;
        Assert.True(held > 10);
        bench.AppendDurably(1, 1, 10);
        bench.CompactAll(0);
        bench.CompactAll(1);
        for (int i = 0; i < 10; i++)
        {
            bench.AppendDurably(0, 1, 100);
        }

        Assert.InRange(bench.Log.Counters.LiveSegments, 1, held / 2);
        bench.Restart(1);
    }

    [Fact]
    public void Restarts_of_a_small_log_leave_no_trail_of_segments()
    {
        LogBench bench = new(10, LogBench.Small, groups: 2);
        for (int i = 0; i < 30; i++)
        {
            bench.AppendDurably((uint)(i % 2), 1, 50);
            bench.Restart(i % 3);
        }

        Assert.Equal(1, bench.Log.Counters.LiveSegments);
        Assert.InRange(bench.Disk.ListFiles(LogBench.Directory).Count, 1, 4); // with the position and the reserve
    }

    [Fact]
    public void A_snapshot_that_contradicts_the_log_replaces_all_of_it_even_when_a_newer_append_is_on_its_way()
    {
        LogBench bench = new(11, LogBench.Small, groups: 1);
        bench.AppendDurably(0, 5, 10);
        Change append = bench.NewChange();
        bench.Append(append, 0, 2, 10, at: 9, term: 6);
        bench.Submit(append);

        // At 9 the log now has term 6: this snapshot agrees with what is on its way, though not with what is durable.
        Change agrees = bench.NewChange();
        bench.Compact(agrees, 0, new(9, 6, bench.Model(0).Clock(9), ConfState.Of(new ReplicaId(1))), 10);
        bench.Submit(agrees);
        bench.DrainAll();
        Assert.Equal((10UL, 10UL), (bench[0].FirstIndex, bench[0].LastIndex));

        Change contradicts = bench.NewChange();
        bench.Compact(contradicts, 0, new(10, 7, 90_000, ConfState.Of(new ReplicaId(1))), 11);
        bench.Submit(contradicts);
        bench.DrainAll();
        Assert.Equal((11UL, 10UL, 7UL, 90_000UL), (bench[0].FirstIndex, bench[0].LastIndex, bench[0].Term(10), bench[0].LastClock(10)));
        bench.Restart(1);
    }

    [Fact]
    public void Submissions_of_one_producer_keep_their_order_whatever_the_others_do()
    {
        // The one test with real threads: the queue is the only thing they share.
        const int Producers = 3;
        const int Each = 2000;
        MemoryFileSystem disk = new(1);
        WalOptions options = new() { SegmentBytes = 1 << 20, MaxQueuedBytes = 64 << 10 };
        using WriteAheadLog log = WriteAheadLog.Open(disk, LogBench.Directory, LogBench.Identity, options);
        GroupLog[] groups = [.. Enumerable.Range(0, Producers).Select(g => log.OpenGroup((uint)g, ModelGroup.StartingMark))];
        List<ulong>[] order = [.. Enumerable.Range(0, Producers).Select(_ => new List<ulong>())];
        Thread[] threads = [.. Enumerable.Range(0, Producers).Select(p => new Thread(() =>
        {
            for (ulong i = 0; i < Each; i++)
            {
                ulong index = 6 + i;
                WalSubmission submission = new(_ => order[p].Add(index));
                submission.Append(groups[p], null, [LogFiles.Entry(index, (byte)i)]);
                while (!log.TrySubmit(submission))
                {
                    Thread.Yield();
                }
            }
        }))];
        Array.ForEach(threads, t => t.Start());
        while (order.Any(o => o.Count < Each))
        {
            if (!log.Gather())
            {
                Thread.Yield();
                continue;
            }

            log.Write();
            log.Sync();
            log.Complete();
        }

        Array.ForEach(threads, t => t.Join());
        Assert.All(order, o => Assert.Equal(Enumerable.Range(6, Each).Select(i => (ulong)i), o));
    }
}
