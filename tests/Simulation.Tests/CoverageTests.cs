using KvStore.Protocol;

namespace KvStore.Simulation.Tests;

public sealed class CoverageTests
{
    private const ulong MostSeeds = 10;

    /// <summary>An operation that no client of the simulation sends is named here, and not only at the end of a hunt.</summary>
    [Fact]
    public void Every_operation_is_executed_within_a_few_seeds()
    {
        HashSet<string> missed = [.. OperationTable.All.Select(row => CoverageMarks.OperationExecuted(row.Name))];
        Assert.Subset(new HashSet<string>(CoverageMarks.Expected), missed);
        for (ulong seed = 1; missed.Count > 0 && seed <= MostSeeds; seed++)
        {
            missed.ExceptWith(SimulationRun.Execute(seed).Marks.Counts.Keys);
        }

        Assert.Empty(missed);
    }
}
