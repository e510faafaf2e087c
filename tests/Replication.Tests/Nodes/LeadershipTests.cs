using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication.Tests;

/// <summary>Who asks for votes, how often, and where leadership goes when nothing forces it.</summary>
public sealed class LeadershipTests
{
    private const int ElectionTimeoutMs = 1000;

    [Fact]
    public void A_preferred_leader_asks_again_when_the_others_were_not_there_yet()
    {
        var node = new LoneNode(self: 1);
        int ballots = BallotsBeforeTheTimer(node);
        Assert.True(ballots > 1, $"asked {ballots} times");
    }

    [Fact]
    public void Who_is_not_preferred_waits_for_the_timer() => Assert.Equal(0, BallotsBeforeTheTimer(new LoneNode()));

    [Fact]
    public void A_follower_of_a_lost_leader_asks_again_when_the_other_had_not_noticed_yet()
    {
        var node = new LoneNode();
        node.HearHeartbeat(term: 6, round: 1, lowestMatch: 0);
        node.Turn();
        node.Store.OnPeerLost(new NodeId(1));
        int ballots = BallotsBeforeTheTimer(node);
        Assert.True(ballots > 1, $"asked {ballots} times");
    }

    [Fact]
    public void A_follower_that_hears_its_leader_again_asks_no_more()
    {
        var node = new LoneNode();
        node.HearHeartbeat(term: 6, round: 1, lowestMatch: 0);
        node.Turn();
        node.Store.OnPeerLost(new NodeId(1));
        node.HearHeartbeat(term: 6, round: 2, lowestMatch: 0);
        Assert.Equal(0, BallotsBeforeTheTimer(node));
    }

    /// <summary>Processes that start one after the other leave the first with every group; the placement says whose they are.</summary>
    [Fact]
    public void Leadership_goes_to_the_preferred_replica_once_it_has_been_there_for_a_while()
    {
        var node = new LoneNode();
        node.LeadWithVotesOfNode1();
        FollowWithNode1(node, milliseconds: 2500, acknowledges: true);
        Assert.Empty(node.SentMessages().OfType<TimeoutNow>());

        FollowWithNode1(node, milliseconds: 1500, acknowledges: true);
        TimeoutNow order = Assert.Single(node.SentMessages().OfType<TimeoutNow>().Distinct());
        Assert.Equal(LoneNode.IdOf(1), order.To);
    }

    [Fact]
    public void Leadership_does_not_go_to_a_preferred_replica_that_lags()
    {
        var node = new LoneNode();
        node.LeadWithVotesOfNode1();
        FollowWithNode1(node, milliseconds: 8000, acknowledges: false);
        Assert.Empty(node.SentMessages().OfType<TimeoutNow>());
    }

    /// <summary>How often it asked for votes, in a time in which the election timer cannot have run out.</summary>
    private static int BallotsBeforeTheTimer(LoneNode node)
    {
        node.Turn();
        for (int passed = 50; passed < ElectionTimeoutMs; passed += 50)
        {
            node.Pass(50);
            node.Turn();
        }

        return node.SentMessages().OfType<PreVoteRequest>().GroupBy(m => m.To).Max(m => (int?)m.Count()) ?? 0;
    }

    /// <summary>Node 1 answers every heartbeat.</summary>
    private static void FollowWithNode1(LoneNode node, int milliseconds, bool acknowledges)
    {
        for (int passed = 0; passed < milliseconds; passed += 50)
        {
            node.Pass(50);
            node.Turn();
            if (node.SentMessages().OfType<Heartbeat>().Any())
            {
                node.HearAnswer(node.Replica.View.Term, node.LastRoundSent());
            }

            if (acknowledges)
            {
                node.HearAcknowledgement();
            }

            node.Turn();
        }

        Assert.True(node.Replica.IsLeader);
    }
}
