namespace KvStore.Simulation.Tests;

/// <summary>The crash tests must fail where they should: a test that cannot fail proves nothing.</summary>
public sealed class CrashNegativeControls
{
    [Fact]
    public void Syncs_that_do_nothing_lose_an_acknowledged_write()
    {
        Exception? caught = Record.Exception(() => PowerCuts.Run(1, cuts: 5, CrashMode.LoseUnsynced, lyingSync: true));
        Assert.NotNull(caught);
        Assert.True(
            caught.Message.Contains("was acknowledged", StringComparison.Ordinal)
            || caught is SafetyViolationException { Invariant: "durable-before-send" },
            caught.Message);
    }
}
