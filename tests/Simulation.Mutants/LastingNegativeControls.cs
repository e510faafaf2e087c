using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>Faults that only something that lasts brings to light: silence, a majority that is away, clocks that are wrong together.</summary>
public sealed class LastingNegativeControls(ITestOutputHelper output)
{
    [Fact]
    public void B1_asking_again_without_a_pause_is_caught() =>
        Hunt.Catches(output, "asks-again-at-once", ["forwards-bounded"], plan: plan => plan with { LostMajorities = 0.3 });

    [Fact]
    public void B1_believing_those_who_follow_a_node_that_does_not_lead_is_caught() =>
        Hunt.Catches(output, "old-words-believed", ["forwards-bounded"]);

    [Fact]
    public void C4_asking_nobody_but_the_leader_is_caught() =>
        Hunt.Catches(output, "no-third-node", ["liveness-degraded"], plan: plan => plan with { MovedReplicas = 0 });

    [Fact]
    public void C2_a_disk_that_stands_still_for_good_unwatched_is_caught() =>
        Hunt.Catches(output, "disk-not-watched", ["liveness-degraded"], plan: plan => plan with { MovedReplicas = 0 });

    [Fact]
    public void A9_group_time_that_goes_back_with_the_clocks_is_caught() =>
        Hunt.Catches(output, "group-time-follows-clocks", ["group-time", "revisions-rise", "product-invariant"], plan: plan => plan with { WrongMajorities = 0.1 });
}
