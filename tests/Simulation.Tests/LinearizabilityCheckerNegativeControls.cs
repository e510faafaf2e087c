using static KvStore.Simulation.Tests.LinearizabilityCheckerTests;

namespace KvStore.Simulation.Tests;

/// <summary>Histories no correct store can have: the checker must say so.</summary>
public sealed class LinearizabilityCheckerNegativeControls
{
    [Fact]
    public void A_stale_read_is_caught() => Assert.Equal(Verdict.Violation, Check(Put(1, 0, 1), Put(2, 2, 3), Get(1, 4, 5)));

    [Fact]
    public void A_lost_write_is_caught() => Assert.Equal(Verdict.Violation, Check(Put(1, 0, 1), Get(null, 2, 3)));

    [Fact]
    public void Two_reads_beside_a_write_may_not_see_it_and_then_not() =>
        Assert.Equal(Verdict.Violation, Check(Put(1, 0, 10), Get(1, 2, 3), Get(null, 4, 5)));

    [Fact]
    public void An_unknown_write_takes_effect_at_most_once() => Assert.Equal(
        Verdict.Violation,
        Check(Put(1, 0, 1), Put(2, 2, 0, OperationOutcome.Unknown), Get(2, 3, 4), Put(3, 5, 6), Get(3, 7, 8), Get(2, 9, 10)));

    [Fact]
    public void A_counter_that_counted_twice_is_caught() =>
        Assert.Equal(Verdict.Violation, Check(Add(1, 1, 0, 1), Add(1, 3, 2, 3)));

    [Fact]
    public void Two_creates_cannot_both_win() => Assert.Equal(
        Verdict.Violation, Check(Create(1, 0, 10, OperationOutcome.Ok), Create(2, 0, 10, OperationOutcome.Ok)));

    [Fact]
    public void A_create_that_lost_needs_a_key() =>
        Assert.Equal(Verdict.Violation, Check(Create(1, 0, 1, OperationOutcome.ConditionFailed)));
}
