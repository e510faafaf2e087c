using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>Faults in appends and batches.</summary>
public sealed class AppendNegativeControls(ITestOutputHelper output)
{
    [Fact]
    public void An_append_that_a_copy_executes_again_is_caught() => Hunt.Catches(output, "append-executed-for-a-copy", ["append-twice"]);

    [Fact]
    public void An_append_that_leaves_no_record_is_caught() =>
        Hunt.Catches(output, "append-leaves-no-record", ["append-twice", "executed-once"]);

    [Fact]
    public void A_batch_that_keeps_what_went_well_is_caught() => Hunt.Catches(output, "batch-keeps-what-went-well", ["batch-all-or-none"]);

    [Fact]
    public void A_batch_that_loses_its_last_write_is_caught() => Hunt.Catches(output, "batch-loses-its-last-write", ["batch-all-or-none", "append-missing"]);

    [Fact]
    public void An_item_of_a_batch_that_sees_only_the_table_is_caught() =>
        Hunt.Catches(output, "batch-item-sees-only-the-table", ["batch-all-or-none"]);
}
