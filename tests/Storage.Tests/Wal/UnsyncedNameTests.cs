
namespace KvStore.Storage.Tests;

/// <summary>A segment's name that a kill has left in the page cache only: the next start reads it, and a power cut still takes it.</summary>
public sealed class UnsyncedNameTests
{
    [Fact]
    public void A12_a_kill_within_a_roll_then_a_start_then_a_power_cut_at_any_disk_operation_loses_nothing()
    {
        int cuts = 0;
        for (int seed = 0; seed < 12; seed++)
        {
            bool rolled = false;
            for (int killAt = 1; !rolled; killAt++)
            {
                bool started = false;
                for (int cutAt = 1; !started; cutAt++)
                {
                    LogBench bench = FullSegment(seed);
                    rolled = RollKilledAt(bench, killAt);
                    bench.Disk.CrashProcess();
                    bench.Disk.CrashIn = cutAt;
                    try
                    {
                        bench.Open();
                        started = true;
                    }
                    catch (SimulatedCrashException)
                    {
                        cuts++;
                    }

                    bench.Disk.CrashIn = 0;
                    bench.Restart(seed % 2);
                }
            }
        }

        Assert.True(cuts > 12 * 50, $"only {cuts} power cuts");
    }

    /// <summary>Nothing of the older segments is needed once the log goes on in the next one: a start deletes them.</summary>
    private static LogBench FullSegment(int seed)
    {
        LogBench bench = new(seed, LogBench.Small with { SegmentBytes = 16 << 10 }, groups: 1);
        ulong first = LogFiles.Segments(bench.Disk)[^1];
        while (LogFiles.Segments(bench.Disk)[^1] == first)
        {
            bench.AppendDurably(0, 1, 50);
        }

        bench.CompactAll(0);
        return bench;
    }

    /// <summary>True when the roll and the batch behind it were through before the kill.</summary>
    private static bool RollKilledAt(LogBench bench, int operation)
    {
        bench.Disk.CrashIn = operation;
        try
        {
            ulong before = LogFiles.Segments(bench.Disk)[^1];
            while (LogFiles.Segments(bench.Disk)[^1] == before)
            {
                Change change = bench.NewChange();
                bench.Append(change, 0, 1, 50);
                bench.Submit(change);
                bench.TurnCrank();
                bench.Deliver();
            }

            return true;
        }
        catch (SimulatedCrashException)
        {
            return false;
        }
    }
}
