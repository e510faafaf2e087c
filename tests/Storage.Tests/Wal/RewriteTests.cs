using KvStore.Raft;

namespace KvStore.Storage.Tests;

/// <summary>Entries of a quiet group move to the present segment, so that the oldest one can go.</summary>
public sealed class RewriteTests
{
    private static readonly WalOptions Tiny = LogBench.Small with { SegmentBytes = 16 << 10, PurgeTriggerBytes = 64 << 10 };

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void An_idle_group_holds_the_log_while_another_writes_a_hundred_segments_unless_it_rewrites(bool rewrites)
    {
        LogBench bench = new(1, Tiny, groups: 3);
        bench.AppendDurably(1, 2, 10);
        bench.AppendDurably(2, 1, 500);
        ulong first = LogFiles.Segments(bench.Disk)[^1];
        long mostBytes = 0;
        while (LogFiles.Segments(bench.Disk)[^1] < first + 100)
        {
            // Every one of these fills a segment.
            foreach (Action change in (Action[])[() => bench.AppendDurably(0, 1, 100), () => bench.CompactAll(0)])
            {
                change();
                if (rewrites)
                {
                    bench.Purge();
                }
            }

            mostBytes = Math.Max(mostBytes, bench.Log.Counters.LiveBytes);
        }

        // Two more than may stay: the one being let go of, and the present one.
        Assert.Equal(rewrites, mostBytes <= Tiny.PurgeTriggerBytes + (2 * Tiny.SegmentBytes));
        Assert.Equal(rewrites, bench.Log.Counters.LiveSegments <= 6);
        bench.Restart(1);
        Assert.Equal((7UL, 6UL), (bench[1].LastIndex, bench[2].LastIndex));
    }

    [Fact]
    public void A_crash_at_any_disk_operation_of_a_rewrite_and_of_the_rolls_behind_it_loses_nothing()
    {
        int crashes = 0;
        for (int seed = 0; seed < 9; seed++)
        {
            bool finished = false;
            for (int operation = 1; !finished; operation++)
            {
                LogBench bench = PinnedBench(seed);
                ulong pinned = LogFiles.Segments(bench.Disk)[0];
                bench.Disk.CrashIn = operation;
                try
                {
                    Change rewrite = bench.NewChange();
                    rewrite.Submission.Rewrite(bench[1], bench.Log.PurgeBelow, 1000);
                    Complete(bench, rewrite);
                    for (int i = 0; i < 4; i++)
                    {
                        Change append = bench.NewChange();
                        bench.Append(append, 0, 1, 50);
                        Complete(bench, append);
                    }

                    finished = true;
                    Assert.DoesNotContain(pinned, LogFiles.Segments(bench.Disk));
                }
                catch (SimulatedCrashException)
                {
                    crashes++;
                }

                bench.Restart(seed % 3);
                bench.Restart(1);
            }
        }

        Assert.True(crashes > 9 * 15, $"only {crashes} crashes");
    }

    [Fact]
    public void A_rewrite_takes_a_run_from_old_segments_and_leaves_what_follows_alone()
    {
        LogBench bench = PinnedBench(seed: 1);
        ulong below = bench.Log.PurgeBelow;
        bench.AppendDurably(1, 1, 50);
        Assert.Equal(9UL, bench[1].LastIndex);

        // Entries 6 to 8 are old, 50 bytes each: two of them fit.
        Change change = bench.NewChange();
        Assert.True(change.Submission.Rewrite(bench[1], below, 100) > 0);
        Assert.Equal(0, change.Submission.Rewrite(bench[1], below, 100));
        bench.Submit(change);
        bench.DrainAll();
        Assert.Equal(8UL, bench[1].FirstIndexBelow(below));
        Assert.Equal(2, bench.Log.Counters.RewrittenEntries);
        bench.Purge();
        Assert.Equal(3, bench.Log.Counters.RewrittenEntries);
        Assert.Equal(0UL, bench[1].FirstIndexBelow(below));
        bench.Restart(2);
        bench.Restart(1);
    }

    [Fact]
    public void What_is_about_to_be_replaced_or_cut_is_not_written_again()
    {
        LogBench bench = PinnedBench(seed: 2);
        Change replaced = bench.NewChange();
        bench.Append(replaced, 1, 1, 10, at: 7, term: 6);
        Assert.True(replaced.Submission.Rewrite(bench[1], bench.Log.PurgeBelow, 1000) > 0);
        bench.Submit(replaced);
        bench.DrainAll();
        Assert.Equal(1, bench.Log.Counters.RewrittenEntries);

        Change cut = bench.NewChange();
        bench.Append(cut, 1, 3, 10);
        bench.Submit(cut);
        bench.DrainAll();
        cut = bench.NewChange();
        bench.Compact(cut, 1, new(7, 6, bench.Model(1).Clock(7), ConfState.Of(new ReplicaId(1))), 7);
        Assert.Equal(0, cut.Submission.Rewrite(bench[1], ulong.MaxValue, 1000));
        bench.Submit(cut);
        bench.DrainAll();
        bench.Restart(1);
    }

    [Fact]
    public void A_restart_finds_the_line_again_behind_which_entries_are_to_move()
    {
        LogBench bench = PinnedBench(seed: 3);
        bench.AppendDurably(0, 3, 2000);
        bench.Restart(1);
        Assert.NotEqual(0UL, bench[1].FirstIndexBelow(bench.Log.PurgeBelow));
        bench.Purge();
        Assert.Equal(0UL, bench[1].FirstIndexBelow(bench.Log.PurgeBelow));
        bench.Restart(1);
    }

    [Fact]
    public void The_purge_trigger_is_at_least_four_segments() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new LogBench(4, Tiny with { PurgeTriggerBytes = 63 << 10 }));

    /// <summary>Group 1 has entries 6 to 8 in a segment that is to go; group 0 is busy and compacted.</summary>
    internal static LogBench PinnedBench(int seed)
    {
        LogBench bench = new(seed, Tiny, groups: 2);
        bench.AppendDurably(1, 3, 50);
        while (bench[1].FirstIndexBelow(bench.Log.PurgeBelow) == 0)
        {
            bench.AppendDurably(0, 1, 50);
            bench.CompactAll(0);
        }

        return bench;
    }

    private static void Complete(LogBench bench, Change change)
    {
        bench.Submit(change);
        bench.TurnCrank();
        bench.Deliver();
    }
}
