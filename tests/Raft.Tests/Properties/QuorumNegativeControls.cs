using FsCheck;
using FsCheck.Fluent;
using static KvStore.Raft.Tests.Properties.QuorumTests;

namespace KvStore.Raft.Tests.Properties;

/// <summary>Wrong arithmetic must be told apart by the twin of <see cref="QuorumTests"/>.</summary>
public sealed class QuorumNegativeControls
{
    /// <summary>Counting over the union of both halves is the classic mistake.</summary>
    [Fact]
    public void A_quorum_of_the_union_is_not_a_joint_quorum() =>
        Assert.ThrowsAny<Exception>(() =>
            Prop.ForAll(
                Halves().Zip(Reached()).ToArbitrary(),
                input => Majority([.. input.Item1.First.Union(input.Item1.Second)]).CommittedIndex(id => input.Item2[id.Value])
                    == Math.Min(SlowIndex(input.Item1.First, input.Item2), SlowIndex(input.Item1.Second, input.Item2)))
                .Check(Thorough));
}
