using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication.Tests;

/// <summary>
/// Which answers confirm which rounds. Node 2 leads, node 1 answers: with its own answer a round has a quorum, so one answer too
/// many is a stale read.
/// </summary>
public sealed class RoundTests
{
    /// <summary>Test name: round_node_answer_wrong_group.</summary>
    [Fact]
    public void An_answer_for_one_group_of_a_node_confirms_no_round_of_another()
    {
        LoneNode node = LeadingBothGroups();
        (WaitingClient first, WaitingClient second) = (Ask(node, group: 1), Ask(node, group: 2));
        node.HearAnswer(node.ReplicaOf(2).View.Term, node.LastRoundSent(), group: 2);
        node.Turn();
        Assert.NotNull(second.Reply);
        Assert.Null(first.Reply);

        // Node 1 has a higher term in group 1. That is what it says there, and it ends our term and not the read.
        node.Hear(new AppendRejected(LoneNode.IdOf(1), node.Replica.Id, node.Replica.View.Term + 1, 0));
        node.Turn();
        Assert.False(node.Replica.IsLeader);
        Assert.True(node.ReplicaOf(2).IsLeader);
        Assert.Null(first.Reply);
    }

    /// <summary>A read whose caller has left while it waited for its turn starts no round and reads nothing; a write is what it is.</summary>
    [Fact]
    public void A_read_that_nobody_wants_any_more_when_its_turn_comes_is_not_executed()
    {
        LoneNode node = LeadingBothGroups();
        ulong round = node.LastRoundSent();
        ulong last = node.Replica.DurableLastIndex;
        var read = new WaitingClient();
        var write = new WaitingClient();
        node.Store.Submit(new KvRequest { Operation = new Get("k"u8) }, read);
        node.Store.Submit(new KvRequest { Operation = new Put("k"u8, "v"u8) }, write);
        read.IsUnwanted = true;
        write.IsUnwanted = true;
        node.Turn();
        Assert.Equal((ErrorCode.Timeout, Outcome.None), (read.Reply!.Code, read.Reply.Outcome));
        Assert.Null(read.Reply.Evidence);
        Assert.Equal((round, last + 1), (node.LastRoundSent(), node.Replica.DurableLastIndex));
        Assert.Equal(1, node.Store.InFlight);
    }

    /// <summary>The other side of it: the answer to a frame for two groups lists the one that still follows.</summary>
    [Fact]
    public void A_node_answers_for_the_groups_that_follow_in_the_term_asked_and_for_no_other()
    {
        var node = new LoneNode(groups: 2);
        node.HearHeartbeat(term: 6, round: 1, lowestMatch: 0, group: 1);
        node.HearHeartbeat(term: 6, round: 1, lowestMatch: 0, group: 2);
        node.Hear(new TimeoutNow(LoneNode.IdOf(1), node.Replica.Id, 6));
        node.Turn();
        Assert.Equal(7UL, node.Replica.View.Term);
        node.Sent.Clear();

        node.HearHeartbeat(term: 6, round: 2, lowestMatch: 0, group: 1);
        node.HearHeartbeat(term: 6, round: 2, lowestMatch: 0, group: 2);
        node.Turn();
        HeartbeatResponse answer = Assert.Single(node.SentMessages().OfType<HeartbeatResponse>());
        Assert.Equal((LoneNode.IdOf(2, group: 2), 6UL, 2UL), (answer.From, answer.Term, answer.Round));
        AppendRejected refusal = Assert.Single(node.SentMessages().OfType<AppendRejected>());
        Assert.Equal((LoneNode.IdOf(2, group: 1), 7UL), (refusal.From, refusal.Term));
    }

    /// <summary>
    /// Test name: round_ids_after_restart. The answer to a round of the earlier process is late. Rounds begin with the incarnation
    /// of the process, and answers name their term: each alone keeps the old answer from confirming a new round.
    /// </summary>
    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void An_answer_to_a_round_of_an_earlier_process_confirms_nothing(bool withIncarnation, bool withTerm) =>
        Assert.False(IsServedAfterRestart(withIncarnation, withTerm));

    [Fact]
    public void An_answer_to_a_round_of_this_process_confirms_it()
    {
        var node = new LoneNode();
        node.LeadWithVotesOfNode1();
        node.HearAcknowledgement();
        WaitingClient reader = Ask(node, group: 1);
        node.HearAnswer(node.Replica.View.Term, node.LastRoundSent());
        node.Turn();
        Assert.NotNull(reader.Reply);
    }

    /// <summary>Whether a read is served that nobody but the late answer to an old round can have confirmed.</summary>
    internal static bool IsServedAfterRestart(bool withIncarnation, bool withTerm)
    {
        var node = new LoneNode();
        ulong oldTerm = node.LeadWithVotesOfNode1();
        node.HearAcknowledgement();
        PassUntilRound(node, OldRound);
        ulong oldRound = node.LastRoundSent();
        node.Restart(options => withIncarnation ? options with { Incarnation = options.Incarnation + 1 } : options);
        node.Sent.Clear();

        ulong newTerm = node.LeadWithVotesOfNode1();
        Assert.True(newTerm > oldTerm);
        node.HearAcknowledgement();
        WaitingClient reader = Ask(node, group: 1);
        PassUntilRound(node, OldRound);
        node.HearAnswer(withTerm ? oldTerm : newTerm, oldRound);
        node.Turn();
        Assert.True(node.Replica.IsLeader);
        return reader.Reply is not null;
    }

    internal static LoneNode LeadingBothGroups()
    {
        var node = new LoneNode(groups: 2);
        foreach (uint group in new uint[] { 1, 2 })
        {
            node.LeadWithVotesOfNode1(group);
            node.HearAcknowledgement(group);
        }

        Assert.True(node.ReplicaOf(1).IsLeader && node.ReplicaOf(2).IsLeader);
        return node;
    }

    internal static WaitingClient Ask(LoneNode node, uint group)
    {
        RoutingTable routing = node.Options.Routing;
        byte[] key = Enumerable.Range(0, 1000).Select(i => BitConverter.GetBytes(i))
            .First(key => routing.GroupOf(routing.VirtualNodeOf(key)) == new GroupId(group));
        var client = new WaitingClient();
        node.Store.Submit(new KvRequest { Operation = new Get(key), TimeoutMs = 10_000 }, client);
        node.Turn();
        Assert.Null(client.Reply);
        return client;
    }

    /// <summary>Heartbeats nobody answers, until so many rounds have been started; less than a quorum check takes.</summary>
    private static void PassUntilRound(LoneNode node, ulong count)
    {
        for (int tick = 0; tick < 19 && !IsReached(node, count); tick++)
        {
            node.Pass(50);
            node.Turn();
        }

        Assert.True(IsReached(node, count));
    }

    private static bool IsReached(LoneNode node, ulong count) =>
        node.SentMessages().OfType<Heartbeat>().Any(h => (h.Round & ((1UL << RoundHistory.CounterBits) - 1)) >= count);

    private const ulong OldRound = 6;
}
