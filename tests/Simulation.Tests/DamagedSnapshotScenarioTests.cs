namespace KvStore.Simulation.Tests;

/// <summary>A snapshot that is damaged where it comes from.</summary>
public sealed class DamagedSnapshotScenarioTests
{
    private const ulong Seeds = 10;

    [Fact]
    public void B12_a_damaged_snapshot_is_reported_backed_off_from_and_replaced_by_whoever_gave_it()
    {
        for (ulong seed = 1; seed <= Seeds; seed++)
        {
            DamagedSnapshot.Run(seed);
        }
    }
}
