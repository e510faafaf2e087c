namespace KvStore.Simulation.Tests;

/// <summary>Seeds that every test run walks through: the default mix of clusters, faults and options.</summary>
public sealed class SeedTests
{
    public static TheoryData<ulong, ulong> Ranges() => new() { { 1, 25 }, { 26, 50 }, { 51, 75 }, { 76, 100 } };

    [Theory]
    [MemberData(nameof(Ranges))]
    public void A_hundred_seeds_break_no_invariant(ulong first, ulong last)
    {
        for (ulong seed = first; seed <= last; seed++)
        {
            RunResult result = SimulationRun.Execute(seed);
            Assert.True(
                result.Violation is null,
                $"{result.ResultLine}\n{result.Detail}\nreplay: dotnet run -c Release --project tests/Simulation.Runner -- --seed {seed}");
        }
    }

    [Fact]
    public void A_seed_gives_the_same_trace_twice() =>
        Assert.Equal(SimulationRun.Execute(42).ResultLine, SimulationRun.Execute(42).ResultLine);
}
