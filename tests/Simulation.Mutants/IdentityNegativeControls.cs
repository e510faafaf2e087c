using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>Faults in who lets whom in.</summary>
public sealed class IdentityNegativeControls(ITestOutputHelper output)
{
    [Fact]
    public void A1_an_old_copy_that_is_judged_by_its_number_alone_is_caught() =>
        Hunt.CatchesIn(output, "old-copies-by-number", "leader-completeness", OldCopy.Run);

    [Fact]
    public void A1_an_old_copy_that_is_let_in_by_its_number_is_caught_among_all_faults() =>
        Hunt.Catches(
            output, "old-copies-by-number", ["old-copy-admitted"], plan: plan => plan with { MovedReplicas = 0, OldCopies = 0.2 });
}
