using KvStore.Raft;
using KvStore.Raft.Tests.Harness;
using Xunit;
using Xunit.Abstractions;

namespace KvStore.Simulation.Mutants;

/// <summary>
/// A fault that only a change of configuration brings to light: in whole nodes, and as the schedule of cores that was found on
/// paper.
/// </summary>
public sealed class MembershipNegativeControls(ITestOutputHelper output)
{
    [Fact]
    public void A_commit_index_that_is_not_durable_with_the_append_is_caught_by_two_removals()
    {
        string? broken = Mutant.With("commit-index-not-durable", null, TwoRemovals);
        output.WriteLine($"commit-index-not-durable: caught by its schedule: state-machine-safety: {broken}");
        Assert.NotNull(broken);
        Assert.Null(Mutant.With(null, null, TwoRemovals));
    }

    [Fact]
    public void A_commit_index_that_is_not_durable_with_the_append_is_caught_in_whole_nodes() => Hunt.Catches(
        output, "commit-index-not-durable", ["commit-survives", "state-machine-safety", "leader-completeness"],
        plan: plan => plan with { MovedReplicas = 1, OnlyTwoRemovals = true });

    [Fact]
    public void A_change_by_an_older_table_that_is_not_refused_is_caught() => Hunt.Catches(
        output, "no-epoch", ["given-up-stays-out", "liveness"], plan: plan => plan with { MovedReplicas = 1 });

    /// <summary>
    /// 1 removes 3, then 2, and is alone; 2 comes back and 3 would vote for it. What two replicas applied differently, or null.
    /// </summary>
    private static string? TwoRemovals()
    {
        TestCluster cluster = TestCluster.Of(3);
        TestReplica one = cluster.Elect(1);
        cluster.Isolate(3);
        Remove(cluster, 3);
        Remove(cluster, 2);
        one.Do(node => node.Propose("a"u8.ToArray(), count: 1, featureLevel: 0));
        Assert.Equal("a"u8.ToArray(), one.State[^1].Payload.ToArray());

        cluster[2].Crash();
        cluster[2].Restart();
        cluster.Heal();
        cluster.Isolate(1);
        cluster[3].Do(node => node.ForgetLeader(campaignAfterTicks: 20));
        cluster[2].Do(node => node.Campaign());
        cluster.Run();

        foreach (Entry entry in cluster[2].State)
        {
            Entry first = one.State[(int)entry.Index - 1];
            if (first != entry)
            {
                return $"replica 1 applied term {first.Term} at index {entry.Index}, replica 2 term {entry.Term}";
            }
        }

        return null;
    }

    private static void Remove(TestCluster cluster, ulong replica)
    {
        var change = new ConfChange(ConfTransition.Auto, [new ConfChangeStep(ConfChangeKind.Remove, new ReplicaId(replica))]);
        cluster[1].Do(node => Assert.Equal(ProposeOutcome.Accepted, node.ProposeConfChange(change).Outcome));
        cluster.Run();
    }
}
