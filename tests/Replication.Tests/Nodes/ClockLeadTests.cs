using KvStore.Raft;

namespace KvStore.Replication.Tests;

/// <summary>What a node says when its groups are ahead of a clock; what it does then is said by the simulator's scenarios.</summary>
public sealed class ClockLeadTests
{
    private const int AnHour = 3_600_000;

    [Fact]
    public void However_a_peer_shows_its_clock_groups_that_are_ahead_are_spoken_of_once_a_minute()
    {
        var node = new LoneNode();
        ulong term = node.LeadWithVotesOfNode1();
        node.HearAcknowledgement();
        for (int i = 0; i < 250; i++)
        {
            node.Hear(new AppendAccepted(LoneNode.IdOf(1), node.Replica.Id, term, node.Replica.DurableLastIndex), from: 1, aheadMs: i % 4 < 2 ? -AnHour : 0);
            node.Pass(100);
            node.Turn();
        }

        Assert.Single(node.Events, e => e.Kind == NodeEventKind.GroupsAhead);

        // Later it is news again, and is said though it began before that.
        for (int i = 0; i < 500; i++)
        {
            node.Hear(new AppendAccepted(LoneNode.IdOf(1), node.Replica.Id, term, node.Replica.DurableLastIndex), from: 1, aheadMs: -AnHour);
            node.Pass(100);
            node.Turn();
        }

        Assert.Equal(2, node.Events.Count(e => e.Kind == NodeEventKind.GroupsAhead));
    }
}
