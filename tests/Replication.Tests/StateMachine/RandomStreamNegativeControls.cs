using KvStore.StateMachine;
using KvStore.Storage;
using static KvStore.Replication.Tests.StateMachine.RandomStreamTests;

namespace KvStore.Replication.Tests.StateMachine;

/// <summary>Each rule taken out of the naive twin, and each record left out of a snapshot, must show within the same streams.</summary>
public sealed class RandomStreamNegativeControls
{
    public static TheoryData<Mutant> Mutants => [.. Enum.GetValues<Mutant>().Where(m => m != Mutant.None)];

    [Theory]
    [MemberData(nameof(Mutants))]
    public void Every_mutant_of_the_naive_machine_is_told_apart(Mutant mutant) =>
        Assert.Contains(Enumerable.Range(1, Seeds), seed => DifferenceToNaive(seed, mutant) is not null);

    [Fact]
    public void A_snapshot_without_records_is_told_apart() =>
        Assert.All(Enumerable.Range(1, 10), seed => Assert.NotNull(DifferenceAfterRestart(seed, tamper: s => [.. s.Except(Records(s))])));

    [Fact]
    public void A_snapshot_that_lacks_one_virtual_nodes_records_is_told_apart() =>
        Assert.Contains(Enumerable.Range(1, 10), seed => DifferenceAfterRestart(seed, tamper: s => [.. s.Except(Records(s).Take(1))]) is not null);

    private static IEnumerable<SnapshotSection> Records(IEnumerable<SnapshotSection> sections) =>
        sections.Where(section => section.Kind == IdempotencySection.Kind);
}
