namespace KvStore.Simulation.Tests;

/// <summary>A disk put back as it was, on which a supervisor starts the node again and again.</summary>
public sealed class OldCopyScenarioTests
{
    private const ulong Seeds = 10;

    [Fact]
    public void A1_an_old_copy_of_a_disk_is_never_let_in_and_no_write_is_lost()
    {
        for (ulong seed = 1; seed <= Seeds; seed++)
        {
            OldCopy.Run(seed);
        }
    }
}
