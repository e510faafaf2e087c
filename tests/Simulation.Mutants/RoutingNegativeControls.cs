using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>Faults in what a node says of its cluster.</summary>
public sealed class RoutingNegativeControls(ITestOutputHelper output)
{
    [Fact]
    public void A_lost_leader_that_is_named_in_the_next_term_is_caught() =>
        Hunt.Catches(output, "leader-named-in-the-next-term", ["routing-leader"]);

    [Fact]
    public void A_newer_table_that_is_kept_back_is_caught() =>
        Hunt.Catches(output, "newer-table-kept-back", ["routing-table"], plan: plan => plan with { MovedReplicas = 1 });
}
