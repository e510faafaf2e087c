using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Simulation.Tests;

public sealed class CoverageTests
{
    private const ulong MostSeeds = 10;
    private const ulong MostSeedsOfFault = 60;

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

    /// <summary>Each kind of fault that a plan names comes to where it could hurt. Whether it does is for the controls to say.</summary>
    [Theory]
    [InlineData(CoverageMarks.OldCopyRefused)]
    [InlineData(CoverageMarks.DamageRefused)]
    [InlineData(nameof(NodeEventKind.DiskSick))]
    [InlineData(nameof(NodeEventKind.DiskShort))]
    [InlineData(nameof(NodeEventKind.GroupsAhead))]
    [InlineData(CoverageMarks.ForwardedWithoutMajority)]
    [InlineData(CoverageMarks.OneWayForGood)]
    public void A_kind_of_fault_comes_to_where_it_could_hurt(string mark)
    {
        Assert.Contains(mark, CoverageMarks.Expected);
        ulong seed = 1;
        while (!SimulationRun.Execute(seed, OnlyFor(mark)).Marks.Counts.ContainsKey(mark))
        {
            seed++;
            Assert.True(seed <= MostSeedsOfFault, $"{mark} was not reached within {MostSeedsOfFault} seeds");
        }
    }

    private static Func<FaultPlan, FaultPlan> OnlyFor(string mark)
    {
        var nothing = new FaultPlan();
        FaultPlan plan = mark switch
        {
            CoverageMarks.OldCopyRefused => nothing with { OldCopies = 0.3 },
            CoverageMarks.DamageRefused => nothing with { DamagedLogs = 0.3 },
            nameof(NodeEventKind.DiskSick) => nothing with { HangingDisks = 0.3 },
            nameof(NodeEventKind.DiskShort) => nothing with { FullDisksForLong = 0.3 },
            nameof(NodeEventKind.GroupsAhead) => nothing with { WrongMajorities = 0.3 },
            CoverageMarks.ForwardedWithoutMajority => nothing with { LostMajorities = 0.3 },
            _ => nothing,
        };
        return _ => plan;
    }
}
