using FsCheck;
using FsCheck.Fluent;
using KvStore.Raft.Quorum;

namespace KvStore.Raft.Tests.Properties;

/// <summary>The quorum arithmetic against a twin that is slow and obvious.</summary>
public sealed class QuorumTests
{
    private const int MaxVoters = 7;

    internal static readonly Config Thorough = Config.QuickThrowOnFailure.WithMaxTest(2000);

    [Fact]
    public void Committed_index_of_a_majority_is_the_twins() =>
        Prop.ForAll(
            Halves().Zip(Reached()).ToArbitrary(),
            input => Majority(input.Item1.First).CommittedIndex(id => input.Item2[id.Value]) == SlowIndex(input.Item1.First, input.Item2))
            .Check(Thorough);

    [Fact]
    public void Committed_index_of_a_joint_configuration_needs_both_halves() =>
        Prop.ForAll(
            Halves().Zip(Reached()).ToArbitrary(),
            input => Joint(input.Item1).CommittedIndex(id => input.Item2[id.Value])
                == Math.Min(SlowIndex(input.Item1.First, input.Item2), SlowIndex(input.Item1.Second, input.Item2)))
            .Check(Thorough);

    [Fact]
    public void A_ballot_is_decided_when_missing_votes_cannot_change_it() =>
        Prop.ForAll(
            Halves().Zip(Votes()).ToArbitrary(),
            input => Joint(input.Item1).CountVotes(id => input.Item2[id.Value]) == SlowVote(input.Item1, input.Item2))
            .Check(Thorough);

    [Fact]
    public void Empty_halves_agree_with_everything()
    {
        var empty = new MajorityConfig([]);
        Assert.Equal(ulong.MaxValue, empty.CommittedIndex(_ => 0));
        Assert.Equal(VoteResult.Won, empty.CountVotes(_ => false));
    }

    internal static MajorityConfig Majority(int[] voters) => new(voters.Select(voter => new ReplicaId((ulong)voter)));

    private static JointConfig Joint((int[] First, int[] Second) halves) => new(Majority(halves.First), Majority(halves.Second));

    /// <summary>The largest value that more than half have reached; tries them all.</summary>
    internal static ulong SlowIndex(int[] voters, ulong[] reached) =>
        voters.Length == 0
            ? ulong.MaxValue
            : reached.Append(0ul).Where(value => 2 * voters.Count(voter => reached[voter] >= value) > voters.Length).Max();

    /// <summary>Plays out every way the missing votes can fall.</summary>
    private static VoteResult SlowVote((int[] First, int[] Second) halves, bool?[] votes)
    {
        int[] missing = [.. halves.First.Union(halves.Second).Where(voter => votes[voter] is null)];
        bool canWin = false, canLose = false;
        for (int outcome = 0; outcome < 1 << missing.Length; outcome++)
        {
            bool[] yes = [.. votes.Select(vote => vote == true)];
            for (int i = 0; i < missing.Length; i++)
            {
                yes[missing[i]] = (outcome & (1 << i)) != 0;
            }

            bool won = new[] { halves.First, halves.Second }
                .All(half => half.Length == 0 || 2 * half.Count(voter => yes[voter]) > half.Length);
            canWin |= won;
            canLose |= !won;
        }

        return canWin && canLose ? VoteResult.Pending : canWin ? VoteResult.Won : VoteResult.Lost;
    }

    internal static Gen<(int[] First, int[] Second)> Halves() => Subset().Zip(Subset()).Select(pair => (pair.Item1, pair.Item2));

    private static Gen<int[]> Subset() =>
        Gen.Choose(0, (1 << MaxVoters) - 1).Select(bits => Enumerable.Range(0, MaxVoters).Where(i => (bits & (1 << i)) != 0).ToArray());

    internal static Gen<ulong[]> Reached() => Gen.Choose(0, 9).Select(value => (ulong)value).ArrayOf(MaxVoters);

    private static Gen<bool?[]> Votes() => Gen.Elements<bool?>(null, true, false).ArrayOf(MaxVoters);
}
