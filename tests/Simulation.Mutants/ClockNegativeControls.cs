using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>Faults in what becomes of a node whose clock is wrong.</summary>
public sealed class ClockNegativeControls(ITestOutputHelper output)
{
    [Fact]
    public void A9_a_new_cluster_that_takes_its_time_from_clocks_that_are_apart_is_caught() =>
        Hunt.CatchesIn(output, "clocks-apart-accepted", "clocks-apart-accepted", WrongClock.FirstStart);

    [Fact]
    public void A8_a_node_with_a_wrong_clock_that_leads_like_any_other_is_caught() =>
        Hunt.CatchesIn(output, "wrong-clock-may-lead", "liveness", WrongClock.LeadsNothing);
}
