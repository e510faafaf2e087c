using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>Looks for the first seed whose run notices a fault.</summary>
internal static class Hunt
{
    private const ulong MostSeeds = 200;

    /// <summary>
    /// The fault must be caught by one of the first seeds, by an invariant that is meant for it. The seed that caught it must
    /// pass without the fault, or it has caught something else.
    /// </summary>
    /// <param name="output">Is told how many seeds it took, and what was seen.</param>
    /// <param name="mutant">Name of a file in Mutants/.</param>
    /// <param name="invariants">Names of invariants, any of which may notice.</param>
    public static void Catches(ITestOutputHelper output, string mutant, params string[] invariants)
    {
        for (ulong seed = 1; seed <= MostSeeds; seed++)
        {
            RunResult result = Mutant.With(mutant, () => SimulationRun.Execute(seed));
            if (result.Violation is null)
            {
                continue;
            }

            output.WriteLine($"{mutant}: caught by seed {seed}: {result.Detail}");
            Assert.Contains(result.Violation, invariants);
            RunResult control = Mutant.With(null, () => SimulationRun.Execute(seed));
            Assert.True(control.Violation is null, $"the same seed without the fault: {control.ResultLine} {control.Detail}");
            return;
        }

        Assert.Fail($"{mutant} was not caught within {MostSeeds} seeds");
    }
}
