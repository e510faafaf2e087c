using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>Faults in transactions.</summary>
public sealed class TransactionNegativeControls(ITestOutputHelper output)
{
    [Fact]
    public void A_transaction_that_ignores_its_conditions_is_caught() =>
        Hunt.Catches(output, "transaction-ignores-conditions", ["transfer-sum"]);

    [Fact]
    public void A_transaction_that_a_copy_executes_again_is_caught() =>
        Hunt.Catches(output, "transaction-executed-for-a-copy", ["transfer-count"]);
}
