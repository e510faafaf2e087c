using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>Faults in who lets whom in.</summary>
public sealed class IdentityNegativeControls(ITestOutputHelper output)
{
    [Fact]
    public void A1_an_old_copy_that_is_judged_by_its_number_alone_is_caught() =>
        Hunt.CatchesIn(output, "old-copies-by-number", "leader-completeness", OldCopy.Run);
}
