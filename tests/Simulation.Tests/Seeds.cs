using System.Diagnostics;

namespace KvStore.Simulation.Tests;

/// <summary>
/// Seeds that every test run walks through: the default mix of clusters, faults and options. Two classes, so that two cores
/// share them.
/// </summary>
public sealed class FirstFiftySeeds
{
    [Theory]
    [MemberData(nameof(Seeds.Tens), 1UL, MemberType = typeof(Seeds))]
    public void Ten_seeds_break_no_invariant(ulong first) => Seeds.RunTen(first);
}

public sealed class SecondFiftySeeds
{
    [Theory]
    [MemberData(nameof(Seeds.Tens), 51UL, MemberType = typeof(Seeds))]
    public void Ten_seeds_break_no_invariant(ulong first) => Seeds.RunTen(first);
}

public sealed class SeedRepetition
{
    [Fact]
    public void A_seed_gives_the_same_trace_in_two_processes()
    {
        string first = LastLineOfRunner(7);
        Assert.Equal(first, LastLineOfRunner(7));
        Assert.Equal(first, SimulationRun.Execute(7).ResultLine);
    }

    private static string LastLineOfRunner(ulong seed)
    {
        string runner = Path.Combine(AppContext.BaseDirectory, "KvStore.Simulation.Runner.dll");
        using Process process = Process.Start(new ProcessStartInfo("dotnet", $"{runner} --seed {seed}") { RedirectStandardOutput = true })!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
        return output.TrimEnd().Split('\n')[^1];
    }
}

internal static class Seeds
{
    public static TheoryData<ulong> Tens(ulong from) => [.. Enumerable.Range(0, 5).Select(i => from + 10 * (ulong)i)];

    public static void RunTen(ulong first)
    {
        for (ulong seed = first; seed < first + 10; seed++)
        {
            RunResult result = SimulationRun.Execute(seed);
            Assert.True(
                result.Violation is null,
                $"{result.ResultLine}\n{result.Detail}\nreplay: dotnet run -c Release --project tests/Simulation.Runner -- --seed {seed}");
        }
    }
}
