using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>Faults in idempotency and revisions.</summary>
public sealed class ExactlyOnceNegativeControls(ITestOutputHelper output)
{
    [Fact]
    public void Records_that_a_snapshot_forgets_are_caught() =>
        Hunt.Catches(output, "dedup-forgotten-by-snapshot", ["replicas-equal", "executed-once", "append-twice", "linearizability"]);

    [Fact]
    public void Records_trimmed_at_the_end_of_the_window_are_caught() =>
        Hunt.Catches(output, "dedup-trimmed-at-boundary", ["executed-once", "append-twice", "linearizability"], tuning: "short-window");

    [Fact]
    public void Early_trimming_without_a_floor_is_caught() =>
        Hunt.Catches(output, "dedup-trimmed-without-floor", ["executed-once", "append-twice", "linearizability"]);

    [Fact]
    public void Revisions_continued_from_the_last_applied_entry_are_caught() =>
        Hunt.Catches(output, "revisions-from-applied", ["revisions-rise"]);
}
