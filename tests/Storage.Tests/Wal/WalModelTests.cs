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
        int survivors = 0;
        int completed = 0;
        for (int seed = firstSeed; seed < firstSeed + seeds; seed++)
        {
            LogBench bench = new(seed, LogBench.Small);
            for (int step = 0; step < 1500; step++)
            {
                bench.Step(crashProbability: 0.01);
            }

            bench.DrainAll();
            bench.Restart(1);
            restarts += bench.Restarts;
            survivors += bench.Survivors;
            completed += bench.Completed;
        }

        // A run in which nothing happened proves nothing.
        Assert.True(restarts > 10 * seeds, $"{restarts} restarts");
        Assert.True(completed > 100 * seeds, $"{completed} submissions completed");
        Assert.True(survivors > 0, "no unacknowledged submission ever survived");
    }
}
