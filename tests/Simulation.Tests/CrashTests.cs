namespace KvStore.Simulation.Tests;

/// <summary>Power cuts of a whole cluster: what was acknowledged is there, whatever was not synced. A thousand cuts in all.</summary>
public sealed class CrashTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Every_acknowledged_write_survives_five_hundred_power_cuts_of_all_nodes_at_random_steps(ulong half)
    {
        long acknowledged = 0;
        for (ulong seed = half * 100; seed < half * 100 + 20; seed++)
        {
            acknowledged += PowerCuts.Run(seed, cuts: 25, CrashMode.LoseUnsynced).Acknowledged;
        }

        Assert.True(acknowledged > 10_000, $"only {acknowledged} writes were acknowledged: no verdict");
    }

    [Fact]
    public void Every_acknowledged_write_survives_power_cuts_that_keep_lose_and_tear_sectors_at_random()
    {
        for (ulong seed = 300; seed < 305; seed++)
        {
            PowerCuts.Run(seed, cuts: 20, CrashMode.Random);
        }
    }

    [Fact]
    public void The_same_seed_gives_the_same_run() =>
        Assert.Equal(
            PowerCuts.Run(7, cuts: 5, CrashMode.Random).TraceHash,
            PowerCuts.Run(7, cuts: 5, CrashMode.Random).TraceHash);
}
