using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>Faults in elections, replication and commits.</summary>
public sealed class RaftNegativeControls(ITestOutputHelper output)
{
    [Fact]
    public void A_vote_that_is_not_persisted_is_caught() => Hunt.Catches(output, "vote-not-persisted", "durable-before-send");

    [Fact]
    public void An_acknowledgement_before_the_sync_is_caught() => Hunt.Catches(output, "acknowledged-before-sync", "durable-before-send");

    [Fact]
    public void A_read_without_a_quorum_round_is_caught() => Hunt.Catches(output, "read-without-quorum-round", "linearizability");
}
