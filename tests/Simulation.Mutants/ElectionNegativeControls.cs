using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>Faults in elections.</summary>
public sealed class ElectionNegativeControls(ITestOutputHelper output)
{
    [Fact]
    public void A_vote_that_is_not_persisted_is_caught() =>
        Hunt.Catches(output, "vote-not-persisted", ["durable-before-send"]);

    [Fact]
    public void Two_votes_in_one_term_are_caught() =>
        Hunt.Catches(output, "votes-twice", ["one-vote-a-term", "election-safety"]);

    [Fact]
    public void A_vote_for_a_shorter_log_is_caught() =>
        Hunt.Catches(output, "vote-for-shorter-log", ["leader-completeness", "commit-survives"]);
}
