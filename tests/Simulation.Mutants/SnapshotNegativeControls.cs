using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>Faults in how snapshots go from node to node.</summary>
public sealed class SnapshotNegativeControls(ITestOutputHelper output)
{
    [Fact]
    public void B12_a_damaged_snapshot_that_is_given_again_and_again_is_caught() =>
        Hunt.CatchesIn(output, "damaged-snapshot-given-again", "fetched-again", DamagedSnapshot.Run);

    [Fact]
    public void B12_a_damaged_snapshot_that_is_asked_for_again_at_once_is_caught() =>
        Hunt.CatchesIn(output, "damaged-snapshot-fetched-at-once", "fetched-again", DamagedSnapshot.Run);
}
