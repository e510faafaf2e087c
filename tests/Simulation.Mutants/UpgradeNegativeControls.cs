using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>Faults in clusters that are half upgraded.</summary>
public sealed class UpgradeNegativeControls(ITestOutputHelper output)
{
    [Fact]
    public void A_level_that_a_member_never_said_is_caught() =>
        Hunt.Catches(output, "raise-without-asking", ["level-unsaid", "liveness"]);

    [Fact]
    public void A_new_leader_that_calls_an_operation_unknown_too_early_is_caught() =>
        Hunt.Catches(output, "level-refused-before-applied", ["unsupported-after-raise"]);

    [Fact]
    public void A_folder_that_is_not_marked_is_caught() =>
        Hunt.CatchesIn(output, "folder-not-marked", "product-invariant", seed => HalfUpgraded.Run(seed, RaiseMoment.Used));
}
