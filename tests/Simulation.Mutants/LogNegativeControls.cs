using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>Faults in replication and commits.</summary>
public sealed class LogNegativeControls(ITestOutputHelper output)
{
    [Fact]
    public void An_acknowledgement_before_the_sync_is_caught() =>
        Hunt.Catches(output, "acknowledged-before-sync", ["commit-survives", "durable-before-send"]);

    [Fact]
    public void A_leader_that_counts_itself_before_the_sync_is_caught() =>
        Hunt.Catches(output, "leader-counts-itself-before-sync", ["commit-survives"]);

    [Fact]
    public void A_commit_of_an_earlier_term_by_counting_is_caught() =>
        Hunt.Catches(output, "commit-by-counting", ["commit-survives"], tuning: "short-appends");

    [Fact]
    public void A_short_append_that_cuts_the_log_is_caught() =>
        Hunt.Catches(output, "short-append-cuts-log", ["product-invariant", "commit-survives", "durable-before-send"]);

    [Fact]
    public void A_heartbeat_that_commits_what_does_not_match_is_caught() =>
        Hunt.Catches(output, "heartbeat-commits-unmatched", ["product-invariant", "state-machine-safety"]);
}
