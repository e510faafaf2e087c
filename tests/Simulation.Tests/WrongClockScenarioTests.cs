namespace KvStore.Simulation.Tests;

/// <summary>Nodes whose wall clocks are wrong from the first moment.</summary>
public sealed class WrongClockScenarioTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A8_a_node_with_its_clock_a_year_ahead_leads_only_while_nobody_else_can(ulong seed) => WrongClock.LeadsNothing(seed);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A9_a_new_cluster_does_not_begin_with_clocks_that_are_apart(ulong seed) => WrongClock.FirstStart(seed);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A9_groups_that_began_with_clocks_that_were_ahead_say_so(ulong seed) => WrongClock.MajorityAhead(seed);
}
