using static KvStore.Replication.Tests.RoundTests;

namespace KvStore.Replication.Tests;

/// <summary>
/// Answers without what keeps them apart must prove what is not true; or the tests of <see cref="RoundTests"/> prove nothing.
/// </summary>
public sealed class RoundNegativeControls
{
    [Fact]
    public void Rounds_that_count_from_one_in_every_process_and_answers_without_a_term_serve_a_read_too_early() =>
        Assert.True(IsServedAfterRestart(withIncarnation: false, withTerm: false));

    [Fact]
    public void An_answer_of_a_node_taken_for_every_group_serves_a_read_of_a_deposed_leader()
    {
        LoneNode node = LeadingBothGroups();
        WaitingClient read = Ask(node, group: 1);
        foreach (uint group in new uint[] { 1, 2 })
        {
            // Node 1 follows us in group 2 only; as a node, it has answered.
            node.HearAnswer(node.ReplicaOf(group).View.Term, node.LastRoundSent(), group);
        }

        node.Turn();
        Assert.NotNull(read.Reply);
    }
}
