using FsCheck;
using FsCheck.Fluent;
using KvStore.Raft.Quorum;

namespace KvStore.Raft.Tests.Properties;

public sealed class ConfChangeTests
{
    private const int Ids = 5;

    private static readonly Config Thorough = Config.QuickThrowOnFailure.WithMaxTest(2000);

    [Fact]
    public void A_change_survives_its_encoding() =>
        Prop.ForAll(Changes().ToArbitrary(), change =>
            ConfChange.TryDecode(change.Encode(), out ConfChange? back)
            && back!.Transition == change.Transition && back.Steps.SequenceEqual(change.Steps)).Check(Thorough);

    [Fact]
    public void The_layout_is_fixed() =>
        Assert.Equal(
            new byte[] { 1, 2, 2, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 0, 0 },
            new ConfChange(
                ConfTransition.JointExplicit,
                [new(ConfChangeKind.AddVoter, new ReplicaId(7)), new(ConfChangeKind.Remove, new ReplicaId(0x201))]).Encode());

    [Fact]
    public void No_prefix_and_no_other_version_can_be_read()
    {
        byte[] bytes = new ConfChange(ConfTransition.Auto, [new(ConfChangeKind.AddVoter, new ReplicaId(7))]).Encode();
        for (int length = 0; length < bytes.Length; length++)
        {
            Assert.False(ConfChange.TryDecode(bytes.AsSpan(0, length), out _));
        }

        bytes[0] = 2;
        Assert.False(ConfChange.TryDecode(bytes, out _));
    }

    /// <summary>Why the changes are safe: no two quorums of neighbouring configurations can decide without a common voter.</summary>
    [Fact]
    public void Quorums_before_and_after_a_change_always_overlap() =>
        Prop.ForAll(Changes().ListOf(6).ToArbitrary(), changes =>
        {
            ConfState current = ConfState.Of(new ReplicaId(1), new ReplicaId(2), new ReplicaId(3));
            foreach (ConfChange change in changes)
            {
                if (change.TryApplyTo(current, out ConfState next, out _))
                {
                    if (!IsWellFormed(next) || CanDecideApart(current, next))
                    {
                        return false;
                    }

                    current = next;
                }
            }

            return true;
        }).Check(Thorough);

    /// <summary>Control: two voters replaced in one step, without a joint phase, can decide apart.</summary>
    [Fact]
    public void Two_voters_at_once_without_a_joint_phase_would_not_overlap()
    {
        ConfState before = ConfState.Of(new ReplicaId(1), new ReplicaId(2), new ReplicaId(3));
        ConfState after = ConfState.Of(new ReplicaId(1), new ReplicaId(4), new ReplicaId(5));
        Assert.True(CanDecideApart(before, after));
    }

    private static bool IsWellFormed(ConfState state) =>
        state.Voters.Count > 0
        && !state.Voters.Intersect(state.Learners).Any()
        && !state.VotersOutgoing.Intersect(state.Learners).Any()
        && state.LearnersNext.All(id => state.VotersOutgoing.Contains(id) && !state.Voters.Contains(id))
        && (state.IsJoint || (state.LearnersNext.Count == 0 && !state.AutoLeave));

    /// <summary>Is there a set that wins a vote in the one while its complement wins in the other?</summary>
    private static bool CanDecideApart(ConfState one, ConfState other)
    {
        for (int set = 0; set < 1 << (Ids + 1); set++)
        {
            int chosen = set;
            bool Yes(ReplicaId id) => (chosen & (1 << (int)id.Value)) != 0;
            if (Of(one).CountVotes(id => Yes(id)) == VoteResult.Won && Of(other).CountVotes(id => !Yes(id)) == VoteResult.Won)
            {
                return true;
            }
        }

        return false;
    }

    private static JointConfig Of(ConfState state) => new(new MajorityConfig(state.Voters), new MajorityConfig(state.VotersOutgoing));

    private static Gen<ConfChange> Changes() =>
        Gen.Choose(0, 2).Zip(Steps()).Select(pair => new ConfChange((ConfTransition)pair.Item1, pair.Item2));

    private static Gen<ConfChangeStep[]> Steps() =>
        Gen.Choose(0, 4).SelectMany(count =>
            Gen.Choose(0, 2).Zip(Gen.Choose(1, Ids))
                .Select(pair => new ConfChangeStep((ConfChangeKind)pair.Item1, new ReplicaId((ulong)pair.Item2)))
                .ArrayOf(count));
}
