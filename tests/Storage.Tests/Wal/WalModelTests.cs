using Xunit.Abstractions;

namespace KvStore.Storage.Tests;

public sealed class WalModelTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(0, 20)]
    [InlineData(20, 20)]
    [InlineData(40, 20)]
    public void Random_submissions_and_crashes_at_every_step_never_lose_or_change_what_was_completed(int firstSeed, int seeds)
    {
        Totals totals = Run(firstSeed, seeds, steps: 1500, crashProbability: 0.005);

        // A run in which nothing happened proves nothing.
        Assert.True(
            totals.Restarts > 10 * seeds && totals.InRecovery > 0 && totals.Completed > 100 * seeds && totals.Survivors > 0
                && totals.MostSegments > 5 && totals.Rewritten > 100 * seeds,
            totals.ToString());
    }

    /// <summary>
    /// So many crashes that one often meets what the one before has left behind. WAL_SEEDS=40000 walks that many seeds instead
    /// of the usual ones.
    /// </summary>
    [Fact]
    public void A12_crashes_in_quick_succession_never_lose_or_change_what_was_completed()
    {
        int seeds = int.TryParse(Environment.GetEnvironmentVariable("WAL_SEEDS"), out int asked) ? asked : 3000;
        Totals totals = Run(firstSeed: 1000, seeds, steps: 400, crashProbability: 0.02);
        output.WriteLine($"{seeds} seeds: {totals}");
        Assert.True(totals.Restarts > 10 * seeds && totals.InRecovery > seeds && totals.Completed > 10 * seeds, totals.ToString());
    }

    private static Totals Run(int firstSeed, int seeds, int steps, double crashProbability)
    {
        Totals totals = new();
        for (int seed = firstSeed; seed < firstSeed + seeds; seed++)
        {
            // Large segments are rewritten as a whole after every restart, small ones keep their live entries for long.
            WalOptions options = LogBench.Small with { SegmentBytes = (16 << 10) << (seed % 3) };
            options = options with { PurgeTriggerBytes = 4 * options.SegmentBytes };
            LogBench bench = new(seed, options, groups: 1 + seed % 4);
            for (int step = 0; step < steps; step++)
            {
                bench.Step(crashProbability);
            }

            bench.DrainAll();
            bench.Restart(1);
            totals = totals.Plus(bench);
        }

        return totals;
    }

    private sealed record Totals(
        int Restarts = 0, int InRecovery = 0, int Survivors = 0, int Completed = 0, int MostSegments = 0, long Rewritten = 0)
    {
        public Totals Plus(LogBench bench) => new(
            Restarts + bench.Restarts, InRecovery + bench.CrashesInRecovery, Survivors + bench.Survivors, Completed + bench.Completed,
            Math.Max(MostSegments, bench.MostSegments), Rewritten + bench.Rewritten);
    }
}
