namespace KvStore.Simulation.Tests;

/// <summary>Seeds outside the first hundred that found something; what, says docs/testing.md.</summary>
public sealed class PinnedSeeds
{
    [Theory]
    [InlineData(110, "C2: a node that is held at level 1 was not told how other disks are, and kept its groups when its own stood still")]
    [InlineData(500017, "B1: nodes that follow a leader which has started again, and that leader itself, were asked in turn without a pause")]
    public void A_seed_that_found_something_breaks_no_invariant(ulong seed, string what)
    {
        RunResult result = SimulationRun.Execute(seed);
        Assert.True(result.Violation is null, $"{result.ResultLine}\n{what}\n{result.Detail}");
    }
}
