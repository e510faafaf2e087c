using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>Faults in the write-ahead log.</summary>
public sealed class DiskNegativeControls(ITestOutputHelper output)
{
    [Fact]
    public void A_swallowed_torn_tail_is_caught() =>
        Hunt.Catches(output, "torn-tail-swallowed", ["damage-noticed", "durable-before-send", "nothing-missing"]);

    [Fact]
    public void B2_a_full_disk_that_ends_the_node_is_caught() =>
        Hunt.Catches(output, "full-disk-is-final", ["full-disk-survived"], plan: drawn => drawn with { FullDisks = 1 });

    [Fact]
    public void B2_a_leader_that_looks_at_its_own_disk_alone_is_caught() =>
        Hunt.CatchesIn(output, "room-of-leader-alone", "room-reported", FullDisk.OneHasHalfTheSpace);

    [Fact]
    public void A_position_that_is_not_read_is_caught() =>
        Hunt.Catches(output, "position-ignored", ["damage-noticed", "durable-before-send", "nothing-missing"]);

    [Fact]
    public void A_spare_segment_with_its_final_header_is_caught() =>
        Hunt.Catches(output, "spare-with-final-header", ["undamaged-log"]);

    [Fact]
    public void An_unsynced_tail_acted_on_after_a_restart_is_caught() =>
        Hunt.Catches(output, "unsynced-tail-trusted", ["undamaged-log", "durable-before-send"]);

    [Fact]
    public void A_segment_freed_without_a_second_copy_of_its_entries_is_caught() =>
        Hunt.Catches(output, "freed-without-rewrite", ["undamaged-log"]);

    [Fact]
    public void A_rewritten_entry_that_cuts_what_follows_it_is_caught() =>
        Hunt.Catches(output, "rewrite-cuts-tail", ["undamaged-log", "durable-before-send", "commit-survives"]);
}
