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
    /// <param name="fault">Name of a file in Mutants/.</param>
    /// <param name="invariants">Any of these may notice.</param>
    /// <param name="tuning">Name of a file in Tunings/: in force with and without the fault.</param>
    /// <param name="plan">Changes the faults of a seed, with and without the fault.</param>
    public static void Catches(ITestOutputHelper output, string fault, string[] invariants, string? tuning = null, Func<FaultPlan, FaultPlan>? plan = null)
    {
        for (ulong seed = 1; seed <= MostSeeds; seed++)
        {
            RunResult result = Mutant.With(fault, tuning, () => SimulationRun.Execute(seed, plan));
            if (result.Violation is null)
            {
                continue;
            }

            output.WriteLine($"{fault}: caught by seed {seed}: {result.Detail}");
            Assert.True(
                invariants.Contains(result.Violation),
                $"{fault} was caught by {result.Violation}, which is not meant for it\n{string.Join('\n', result.Story.TakeLast(40))}");
            RunResult control = Mutant.With(null, tuning, () => SimulationRun.Execute(seed, plan));
            Assert.True(control.Violation is null, $"the same seed without the fault: {control.ResultLine} {control.Detail}");
            return;
        }

        Assert.Fail($"{fault} was not caught within {MostSeeds} seeds");
    }

    /// <summary>The fault must be caught by a directed run, by its invariant; without the fault the run must pass.</summary>
    public static void CatchesIn(ITestOutputHelper output, string fault, string invariant, Action<ulong> run)
    {
        const ulong seed = 1;
        SafetyViolationException? caught = Mutant.With(fault, null, () => Violation(run, seed));
        Assert.True(caught is not null, $"{fault} was not caught");
        output.WriteLine($"{fault}: caught by its run: {caught.Message}");
        Assert.Equal(invariant, caught.Invariant);
        SafetyViolationException? control = Mutant.With(null, null, () => Violation(run, seed));
        Assert.True(control is null, $"the same run without the fault: {control?.Message}");
    }

    private static SafetyViolationException? Violation(Action<ulong> run, ulong seed)
    {
        try
        {
            run(seed);
            return null;
        }
        catch (SafetyViolationException violation)
        {
            return violation;
        }
    }
}
