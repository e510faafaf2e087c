using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>Faults in strong reads.</summary>
public sealed class ReadNegativeControls(ITestOutputHelper output)
{
    [Fact]
    public void A_read_without_a_quorum_round_is_caught() =>
        Hunt.Catches(output, "read-without-quorum-round", ["stale-read", "age-lied", "token-refused", "linearizability"]);

    [Fact]
    public void A_read_before_the_first_entry_of_the_term_is_caught() =>
        Hunt.Catches(output, "read-before-term-start", ["stale-read", "age-lied", "token-refused", "linearizability"]);

    [Fact]
    public void A_read_that_does_not_wait_for_its_index_is_caught() =>
        Hunt.Catches(output, "read-before-applied", ["stale-read", "age-lied", "token-refused", "linearizability"]);
}
