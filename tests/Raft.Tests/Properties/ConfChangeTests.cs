using FsCheck;
using FsCheck.Fluent;
using KvStore.Raft.Quorum;

namespace KvStore.Raft.Tests.Properties;

public sealed class ConfChangeTests
{
    private const int Ids = 5;
    private const ulong LastIndex = 10;

    private static readonly ReplicaId Leader = new(1);

    private static readonly ConfChangeStep AddTwo = new(ConfChangeKind.AddVoter, new ReplicaId(2));

    private static readonly Config Thorough = Config.QuickThrowOnFailure.WithMaxTest(2000);

    [Fact]
    public void A_change_survives_its_encoding() =>
        Prop.ForAll(Changes().ToArbitrary(), change =>
            ConfChange.TryDecode(change.Encode(), out ConfChange? back)
            && back!.Transition == change.Transition && back.Epoch == change.Epoch && back.Steps.SequenceEqual(change.Steps)).Check(Thorough);

    [Fact]
    public void The_layout_is_fixed() =>
        Assert.Equal(
            new byte[] { 1, 2, 2, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 0, 0 },
            new ConfChange(
                ConfTransition.JointExplicit,
                [new(ConfChangeKind.AddVoter, new ReplicaId(7)), new(ConfChangeKind.Remove, new ReplicaId(0x201))]).Encode());

    [Fact]
    public void The_layout_with_an_epoch_is_fixed() =>
        Assert.Equal(
            new byte[]
            {
                2, 0, 2, 0, 5, 4, 0, 0, 0, 0, 0, 0, 1, 7, 0, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            },
            new ConfChange(
                ConfTransition.Auto,
                [new(ConfChangeKind.AddLearner, new ReplicaId(7), Node: 0x103), new(ConfChangeKind.Remove, new ReplicaId(0x201))])
            { Epoch = 0x405 }.Encode());

    [Fact]
    public void What_has_no_epoch_and_no_node_is_written_as_it_always_was()
    {
        ConfChange said = new(ConfTransition.Auto, [new(ConfChangeKind.AddLearner, new ReplicaId(7), Node: 3)]);
        Assert.Equal(2, said.Encode()[0]);
        Assert.Equal(2, (ConfChange.LeaveJoint with { Epoch = 1 }).Encode()[0]);
        Assert.Equal(new ConfChange(ConfTransition.Auto, [new(ConfChangeKind.AddLearner, new ReplicaId(7))]).Encode(), said.WithoutEpoch().Encode());
        Assert.Equal(ConfChange.LeaveJoint.Encode(), (ConfChange.LeaveJoint with { Epoch = 1 }).WithoutEpoch().Encode());
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(9, 0)]
    [InlineData(0, 3)]
    public void No_prefix_and_no_other_version_can_be_read(ulong epoch, uint node)
    {
        ConfChange change = new(ConfTransition.Auto, [new(ConfChangeKind.AddVoter, new ReplicaId(7), node)]) { Epoch = epoch };
        byte[] bytes = change.Encode();
        for (int length = 0; length < bytes.Length; length++)
        {
            Assert.False(ConfChange.TryDecode(bytes.AsSpan(0, length), out _));
        }

        Assert.False(ConfChange.TryDecode([.. bytes, 0], out _));
        bytes[0] = 3;
        Assert.False(ConfChange.TryDecode(bytes, out _));
    }

    /// <summary>
    /// Why an older table cannot undo a newer one: what follows the older one is refused, whatever it wants. And where a member lives
    /// is known for as long as it is one.
    /// </summary>
    [Fact]
    public void The_epoch_never_falls_and_only_members_have_a_node() =>
        Prop.ForAll(Changes().ListOf(8).ToArbitrary(), changes =>
        {
            ConfState current = ConfState.Of(new ReplicaId(1), new ReplicaId(2), new ReplicaId(3));
            foreach (ConfChange change in changes)
            {
                bool applied = change.TryApplyTo(current, out ConfState next, out string? refusal);
                if (applied != (refusal is null) || (applied && (change.Epoch < current.Epoch || next.Epoch != change.Epoch))
                    || (!applied && !next.Equals(current)) || !NodesAreRight(change, current, next))
                {
                    return false;
                }

                current = next;
            }

            return true;
        }).Check(Thorough);

    [Fact]
    public void A_change_without_steps_tells_the_table_when_there_is_nothing_to_leave()
    {
        ConfState voters = ConfState.Of(new ReplicaId(1));
        ConfChange follows = ConfChange.LeaveJoint with { Epoch = 4 };
        Assert.True(follows.TryApplyTo(voters, out ConfState next, out _));
        Assert.Equal(voters with { Epoch = 4 }, next);
        Assert.False(follows.TryApplyTo(next, out _, out _));
        Assert.False(ConfChange.LeaveJoint.TryApplyTo(next, out _, out string? refusal));
        Assert.Contains("epoch 4", refusal, StringComparison.Ordinal);
    }

    private static bool NodesAreRight(ConfChange change, ConfState current, ConfState next) =>
        next.Nodes.Select(node => node.Id).SequenceEqual(next.Nodes.Select(node => node.Id).Distinct().Order())
        && next.Nodes.All(node => node.Node != 0 && next.IsMember(node.Id)
            && (current.NodeOf(node.Id) == node.Node || change.Steps.Any(step => step.Id == node.Id && step.Node == node.Node)))
        && current.Nodes.All(node => !next.IsMember(node.Id) || next.NodeOf(node.Id) != 0);

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

    /// <summary>
    /// The same steps, at once through a joint configuration or one by one, end in the same configuration, and a leader ends up
    /// knowing the same about everybody. Replica 1 stays a voter, or one by one there might be none in between.
    /// </summary>
    [Fact]
    public void Joint_and_simple_changes_end_alike() =>
        Prop.ForAll(StepsOfOthers().Zip(StepsOfOthers()).ToArbitrary(), pair =>
        {
            ProgressTracker joint = Leading(pair.Item1);
            ProgressTracker simple = Leading(pair.Item1);
            AtOnce(joint, pair.Item2);
            OneByOne(simple, pair.Item2);
            return joint.Configuration.Equals(simple.Configuration)
                && joint.Members.Select(Known).SequenceEqual(simple.Members.Select(Known));
        }).Check(Thorough);

    private static bool IsWellFormed(ConfState state) =>
        state.Voters.Count > 0
        && !state.Voters.Intersect(state.Learners).Any()
        && !state.VotersOutgoing.Intersect(state.Learners).Any()
        && state.LearnersNext.All(id => state.VotersOutgoing.Contains(id) && !state.Voters.Contains(id))
        && (state.IsJoint || (state.LearnersNext.Count == 0 && !state.AutoLeave));

    /// <summary>Is there a set that wins a vote in the one while its complement wins in the other?</summary>
    internal static bool CanDecideApart(ConfState one, ConfState other)
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

    /// <summary>A leader in a configuration reached by some steps, that has heard from each of its members.</summary>
    private static ProgressTracker Leading(IReadOnlyList<ConfChangeStep> steps)
    {
        var tracker = new ProgressTracker(new RaftConfig { Id = Leader, Seed = 1 }, ConfState.Of(Leader, new ReplicaId(2)));
        tracker.StartTerm(LastIndex);
        OneByOne(tracker, steps);
        foreach (Progress member in tracker.Members)
        {
            member.TryAdvance(member.Id.Value);
            member.BecomeReplicate();
        }

        return tracker;
    }

    private static void AtOnce(ProgressTracker tracker, IReadOnlyList<ConfChangeStep> steps)
    {
        Apply(tracker, new ConfChange(ConfTransition.JointExplicit, steps));
        Apply(tracker, ConfChange.LeaveJoint);
    }

    private static void OneByOne(ProgressTracker tracker, IReadOnlyList<ConfChangeStep> steps)
    {
        foreach (ConfChangeStep step in steps)
        {
            Apply(tracker, new ConfChange(ConfTransition.Auto, [step]));
        }
    }

    private static void Apply(ProgressTracker tracker, ConfChange change)
    {
        Assert.True(change.TryApplyTo(tracker.Configuration, out ConfState next, out string? refusal), refusal);
        tracker.Use(next, leading: true, LastIndex);
    }

    private static (ReplicaId Id, ulong Match, ulong Next, ProgressState State, bool IsLearner) Known(Progress member) =>
        (member.Id, member.Match, member.Next, member.State, member.IsLearner);

    /// <summary>One step at most for each replica: removed and added again one by one, it would be a newcomer.</summary>
    private static Gen<ConfChangeStep[]> StepsOfOthers() =>
        Steps().Select(steps => steps.Where(step => step.Id != Leader).DistinctBy(step => step.Id).DefaultIfEmpty(AddTwo).ToArray());

    private static Gen<ConfChange> Changes() =>
        Gen.Choose(0, 2).Zip(Steps()).Zip(Gen.Choose(0, 3)).Select(drawn =>
            new ConfChange((ConfTransition)drawn.Item1.Item1, drawn.Item1.Item2) { Epoch = (ulong)drawn.Item2 });

    private static Gen<ConfChangeStep[]> Steps() =>
        Gen.Choose(0, 4).SelectMany(count =>
            Gen.Choose(0, 2).Zip(Gen.Choose(1, Ids)).Zip(Gen.Choose(0, 2))
                .Select(drawn => new ConfChangeStep(
                    (ConfChangeKind)drawn.Item1.Item1, new ReplicaId((ulong)drawn.Item1.Item2), (uint)drawn.Item2))
                .ArrayOf(count));
}
