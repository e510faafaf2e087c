using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>Faults in the levels of reads, in what a reply says of its age, and in session tokens.</summary>
public sealed class LevelNegativeControls(ITestOutputHelper output)
{
    [Fact]
    public void The_newest_echo_of_a_node_pair_is_caught() => Hunt.Catches(output, "echo-newest-per-pair", ["age-lied", "lag-lied"]);

    [Fact]
    public void An_echo_of_another_incarnation_is_caught() => Hunt.Catches(output, "echo-of-another-incarnation", ["age-lied", "lag-lied"]);

    [Fact]
    public void A_round_before_an_own_term_commit_is_caught() =>
        Hunt.Catches(output, "read-before-term-start", ["age-lied", "lag-lied", "stale-read", "token-refused", "linearizability"]);

    [Fact]
    public void An_age_taken_after_the_table_is_caught() => Hunt.Catches(output, "as-of-after-table", ["age-lied", "lag-lied"]);

    [Fact]
    public void A_clock_read_before_the_table_is_caught() => Hunt.Catches(output, "clock-before-table", ["age-lied", "lag-lied"]);

    [Fact]
    public void A_leader_that_calls_itself_fresh_before_applying_is_caught() =>
        Hunt.Catches(output, "leader-as-of-unapplied", ["age-lied"], tuning: "slow-apply");

    [Fact]
    public void A_follower_that_calls_itself_fresh_before_applying_is_caught() =>
        Hunt.Catches(output, "follower-as-of-unapplied", ["age-lied"]);

    [Fact]
    public void A_session_that_is_served_too_early_is_caught() => Hunt.Catches(output, "session-index-not-awaited", ["session-went-back"]);

    [Fact]
    public void A_group_forgotten_in_the_token_is_caught() =>
        Hunt.Catches(output, "group-forgotten-in-token", ["session-went-back"], tuning: "small-tokens");

    [Fact]
    public void A_dropped_group_that_comes_back_with_an_old_point_is_caught() =>
        Hunt.Catches(output, "dropped-group-comes-back", ["session-went-back"], tuning: "small-tokens");

    [Fact]
    public void Only_the_newest_pending_proof_kept_is_caught() =>
        Hunt.CatchesIn(output, "only-newest-proof-kept", "age-stands-still", SlowAppends.Run);

    [Fact]
    public void A_token_of_another_history_that_is_served_is_caught() =>
        Hunt.CatchesIn(output, "token-of-another-history", "other-history-served", WipedCluster.Run);
}
