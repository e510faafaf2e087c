namespace KvStore.Storage.Tests;

public sealed class WalModelTests
{
    [Theory]
    [InlineData(0, 20)]
    [InlineData(20, 20)]
    [InlineData(40, 20)]
    public void Random_submissions_and_crashes_at_every_step_never_lose_or_change_what_was_completed(int firstSeed, int seeds)
    {
        int restarts = 0;
        int inRecovery = 0;
        int survivors = 0;
        int completed = 0;
        int mostSegments = 0;
        long rewritten = 0;
        for (int seed = firstSeed; seed < firstSeed + seeds; seed++)
        {
            // Large segments are rewritten as a whole after every restart, small ones keep their live entries for long.
            WalOptions options = LogBench.Small with { SegmentBytes = (16 << 10) << (seed % 3) };
            options = options with { PurgeTriggerBytes = 4 * options.SegmentBytes };
            LogBench bench = new(seed, options, groups: 1 + seed % 4);
            for (int step = 0; step < 1500; step++)
            {
                bench.Step(crashProbability: 0.005);
            }

            bench.DrainAll();
            bench.Restart(1);
            restarts += bench.Restarts;
            inRecovery += bench.CrashesInRecovery;
            survivors += bench.Survivors;
            completed += bench.Completed;
            mostSegments = Math.Max(mostSegments, bench.MostSegments);
            rewritten += bench.Rewritten;
        }

        // A run in which nothing happened proves nothing.
        string happened = $"{restarts} restarts, {inRecovery} crashes in recovery, {completed} completed, {survivors} survivors, "
            + $"{mostSegments} segments, {rewritten} entries written again";
        Assert.True(
            restarts > 10 * seeds && inRecovery > 0 && completed > 100 * seeds && survivors > 0 && mostSegments > 5 && rewritten > 100 * seeds,
            happened);
    }
}
