using System.Text;
using KvStore.Raft;
using KvStore.Raft.Tests.Harness;
using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>
/// Faults in who confirms a round. Seeds reach neither within the first two hundred (a deposed leader must be cut off together
/// with just the wrong companion), so each is a schedule of cores. Replicas 1, 2 and 3 vote, 4 learns.
/// </summary>
public sealed class ConfirmationNegativeControls(ITestOutputHelper output)
{
    private const ulong ReadContext = 7;

    private static readonly ConfState ThreeAndALearner =
        ConfState.Of(new ReplicaId(1), new ReplicaId(2), new ReplicaId(3)) with { Learners = [new ReplicaId(4)] };

    [Fact]
    public void Learners_that_confirm_a_deposed_leader_are_caught() => Catches("learners-confirm-rounds", DeposedWithALearner);

    [Fact]
    public void One_half_of_a_joint_configuration_that_confirms_a_deposed_leader_is_caught() =>
        Catches("half-a-joint-confirms-rounds", DeposedInTheMiddleOfAChange);

    private void Catches(string fault, Func<string?> schedule)
    {
        string? stale = Mutant.With(fault, null, schedule);
        output.WriteLine($"{fault}: caught by its schedule: stale-read: {stale}");
        Assert.NotNull(stale);
        Assert.Null(Mutant.With(null, null, schedule));
    }

    /// <summary>1 is cut off with the learner, 2 leads on and commits a write: may 1 still prove a read?</summary>
    private static string? DeposedWithALearner()
    {
        TestCluster cluster = Started();
        Separate(cluster);
        cluster.Elect(2);
        Propose(cluster[2], "b");
        cluster.Run();
        return StaleReadAtOne(cluster);
    }

    /// <summary>
    /// 1 has applied that 4 takes 3's place and is in the joint configuration; 2 holds that entry and does not know that it is
    /// committed. With 3, which never saw it, 2 leads on in the old configuration: may 1 and 4 still prove a read?
    /// </summary>
    private static string? DeposedInTheMiddleOfAChange()
    {
        TestCluster cluster = Started();
        cluster.Isolate(3);
        var change = new ConfChange(
            ConfTransition.JointExplicit,
            [new ConfChangeStep(ConfChangeKind.AddVoter, new ReplicaId(4)), new ConfChangeStep(ConfChangeKind.Remove, new ReplicaId(3))]);
        cluster[1].Do(node => Assert.Equal(ProposeOutcome.Accepted, node.ProposeConfChange(change).Outcome));
        cluster.DeliverOne(message => message is AppendEntries && message.To == new ReplicaId(2));
        cluster.Cut(1, 2);
        cluster.Run();
        Assert.NotEmpty(cluster[1].Node.Configuration.VotersOutgoing);
        Assert.Empty(cluster[2].Node.Configuration.VotersOutgoing);

        cluster.Heal();
        Separate(cluster);
        cluster[3].Do(node => node.ForgetLeader(campaignAfterTicks: 20));
        cluster[2].Do(node => node.ForgetLeader(campaignAfterTicks: 20));
        cluster[2].Do(node => node.Campaign());
        cluster.Run(message => message is not AppendEntries);
        Assert.Equal(Role.Leader, cluster[2].Node.Role);
        Propose(cluster[2], "b");
        cluster.Run();
        return StaleReadAtOne(cluster);
    }

    private static TestCluster Started()
    {
        var cluster = new TestCluster();
        for (ulong id = 1; id <= 4; id++)
        {
            cluster.Add(id, ThreeAndALearner);
        }

        Propose(cluster.Elect(1), "a");
        cluster.Run();
        return cluster;
    }

    private static void Separate(TestCluster cluster)
    {
        foreach (ulong here in new ulong[] { 1, 4 })
        {
            foreach (ulong there in new ulong[] { 2, 3 })
            {
                cluster.Cut(here, there);
                cluster.Cut(there, here);
            }
        }
    }

    private static void Propose(TestReplica leader, string text) => leader.Do(node => Assert.Equal(
        ProposeOutcome.Accepted, node.Propose(Encoding.ASCII.GetBytes(text), count: 1, featureLevel: 0).Outcome));

    /// <summary>The read that 1 was allowed to serve although it lacks the write that 2 has committed; null when it was not.</summary>
    private static string? StaleReadAtOne(TestCluster cluster)
    {
        ulong acknowledged = cluster[2].Node.CommitIndex;
        Assert.Equal("b", Encoding.ASCII.GetString(cluster[2].State[^1].Payload.Span));
        cluster[1].Do(node => Assert.True(node.ReadIndex(ReadContext)));
        cluster[1].Do(node => node.StartRound(1000));
        cluster.Run();
        ReadState? proved = cluster[1].Reads.Where(read => read.Context == ReadContext).Cast<ReadState?>().SingleOrDefault();
        return proved is null ? null : $"replica 1 may serve a read at index {proved.Value.Index}, acknowledged is {acknowledged}";
    }
}
