namespace KvStore.Simulation.Tests;

/// <summary>Directed runs; their negative controls are in LevelNegativeControls.</summary>
public sealed class LevelScenarioTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Pending_proofs_starve_no_follower_whose_appends_come_late(ulong seed) => SlowAppends.Run(seed);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Token_other_history_is_refused_by_a_cluster_that_was_begun_anew(ulong seed) => WipedCluster.Run(seed);
}
