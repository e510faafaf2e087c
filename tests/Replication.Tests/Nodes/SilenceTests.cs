using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication.Tests;

/// <summary>What notices that the other side of a request neither answers nor breaks.</summary>
public sealed class SilenceTests
{
    private static readonly RequestId Id = new(Client: 99, Sequence: 1, FirstSentMs: 0, AckedBelow: 0);
    private static readonly NodeId N1 = new(1);
    private static readonly NodeId N3 = new(3);

    [Fact]
    public void B1_a_write_to_a_group_without_its_majority_costs_few_forwards_and_is_refused_in_time()
    {
        var node = new LoneNode(self: 4, nodes: 5);
        WaitingClient client = Submit(node, Put(timeoutMs: 12_000));
        int ms = Answer(node, client, 12_100, (to, _) => to == N1 ? Replies.WrongNode(new GroupId(1), NodeId.None) : null);
        Assert.Equal((ErrorCode.NoLeader, Outcome.NotApplied), (client.Reply?.Code, client.Reply?.Outcome));
        Assert.InRange(ms, 11_900, 12_000);
        Assert.InRange(node.Store.Counters.Forwards, 3, 60);
    }

    [Fact]
    public void B1_what_a_group_without_its_majority_costs_does_not_grow_with_its_requests()
    {
        var node = new LoneNode(self: 4, nodes: 5);
        WaitingClient[] clients = [.. Enumerable.Range(1, 500).Select(i => Submit(node, Put(12_000) with { Id = new RequestId(99, (ulong)i, 0, 0) }))];
        Answer(node, clients[^1], 12_100, (to, _) => to == N1 ? Replies.WrongNode(new GroupId(1), NodeId.None) : null);
        Assert.All(clients, c => Assert.Equal((ErrorCode.NoLeader, Outcome.NotApplied), (c.Reply?.Code, c.Reply?.Outcome)));
        Assert.InRange(node.Store.Counters.Forwards, 500, (500 * 3) + 60);
    }

    [Fact]
    public void B1_when_one_request_has_found_a_leader_all_that_wait_go_to_it()
    {
        var node = new LoneNode(self: 4, nodes: 5);
        WaitingClient[] clients = [.. Enumerable.Range(1, 20).Select(i => Submit(node, Put(12_000) with { Id = new RequestId(99, (ulong)i, 0, 0) }))];
        Answer(node, clients[^1], 3000, (to, _) => to == N1 ? Replies.WrongNode(new GroupId(1), NodeId.None) : null);
        Assert.All(clients, c => Assert.Null(c.Reply));
        int ms = Answer(node, clients[^1], 5000, (to, _) => to == N3 ? Served(N3) : Replies.WrongNode(new GroupId(1), NodeId.None));
        Assert.All(clients, c => Assert.Equal(ErrorCode.None, c.Reply?.Code));
        Assert.InRange(ms, 0, 1500);
    }

    [Fact]
    public void C1_a_write_whose_leader_stands_still_goes_to_the_next_leader_as_soon_as_there_is_one()
    {
        LoneNode node = Following(N1, out ulong term);
        WaitingClient client = Submit(node, Put(timeoutMs: 15_000));
        Assert.Equal(N1, Assert.Single(node.Forwarded).To);
        node.Pass(300);
        node.HearHeartbeat(term, round: 2, lowestMatch: 0);
        node.Turn();
        Hear(node, N3, term + 1);
        Assert.Equal(2, node.Forwarded.Count);
        Assert.Equal((N3, Id), (node.Forwarded[1].To, node.Forwarded[1].Request.Id!.Value));
        node.Forwarded[1].Completion.Replied(Served(N3));
        node.Turn();
        Assert.Equal(ErrorCode.None, client.Reply?.Code);
    }

    [Fact]
    public void C1_a_write_whose_leader_stands_still_is_proposed_here_when_this_node_leads()
    {
        LoneNode node = Following(N1, out _);
        WaitingClient client = Submit(node, Put(timeoutMs: 15_000) with { Id = null });
        Assert.Single(node.Forwarded);
        node.LeadWithVotesOfNode1();
        node.HearAcknowledgement();
        Assert.Equal(ErrorCode.None, client.Reply?.Code);
    }

    /// <summary>The one that came late was the first to be executed; its answer is the answer.</summary>
    [Fact]
    public void C1_the_answer_of_an_attempt_that_was_given_up_counts_when_it_comes()
    {
        LoneNode node = Following(N1, out ulong term);
        WaitingClient client = Submit(node, Put(timeoutMs: 15_000));
        Hear(node, N3, term + 1);
        Assert.Equal(2, node.Forwarded.Count);
        node.Forwarded[0].Completion.Replied(Served(N1));
        node.Turn();
        Assert.Equal(ErrorCode.None, client.Reply?.Code);
    }

    /// <summary>Its copy was refused before a log saw it: of this attempt it is known after all that it did nothing.</summary>
    [Fact]
    public void A_refusal_that_comes_late_proves_what_its_own_attempt_did()
    {
        Assert.Equal((ErrorCode.Overloaded, Outcome.NotApplied), RefusedAfterGivingUp(late: Replies.WrongNode(new GroupId(1), NodeId.None)));
        Assert.Equal((ErrorCode.Indeterminate, Outcome.Unknown), RefusedAfterGivingUp(late: null));
        Assert.Equal((ErrorCode.Indeterminate, Outcome.Unknown), RefusedAfterGivingUp(late: Replies.Indeterminate("its leader changed")));
    }

    [Fact]
    public void C4_a_leader_that_is_heard_and_does_not_answer_is_asked_through_a_third_node()
    {
        LoneNode node = Following(N1, out ulong term);
        WaitingClient client = Submit(node, Put(timeoutMs: 15_000));
        for (int i = 0; i < 30 && node.Forwarded.Count < 2; i++)
        {
            node.Pass(50);
            node.HearHeartbeat(term, round: (ulong)i + 2, lowestMatch: 0);
            node.Turn();
        }

        Assert.Equal(2, node.Forwarded.Count);
        (NodeId to, KvRequest request, IForwardCompletion completion) = node.Forwarded[1];
        Assert.Equal((N3, (byte)1, Id), (to, request.HopsLeft, request.Id!.Value));

        // Whoever comes meanwhile does not wait for the leader first.
        Submit(node, Put(15_000) with { Id = Id with { Sequence = 2 } });
        Assert.Equal(N3, node.Forwarded[2].To);
        completion.Replied(Served(N1));
        node.Turn();
        Assert.Equal(ErrorCode.None, client.Reply?.Code);
    }

    [Fact]
    public void C4_a_strong_read_whose_proof_does_not_come_is_asked_of_a_third_node()
    {
        LoneNode node = Following(N1, out ulong term);
        WaitingClient client = Submit(node, new KvRequest { Operation = new Get("key"u8), TimeoutMs = 15_000, HopsLeft = KvRequest.MostHops });
        for (int i = 0; i < 30 && node.Forwarded.Count == 0; i++)
        {
            node.Pass(50);
            node.HearHeartbeat(term, round: (ulong)i + 2, lowestMatch: 0);
            node.Turn();
        }

        (NodeId to, KvRequest request, IForwardCompletion completion) = Assert.Single(node.Forwarded);
        Assert.Equal((N3, (byte)1), (to, request.HopsLeft));
        completion.Replied(new KvReply { Result = new Found(7, new byte[1]) });
        node.Turn();
        Assert.Equal(7UL, client.Reply?.Revision);
    }

    [Fact]
    public void C4_who_was_asked_by_another_node_does_not_ask_a_third_one_in_turn()
    {
        LoneNode node = Following(N1, out ulong term);
        Submit(node, Put(timeoutMs: 15_000) with { HopsLeft = 1 });
        for (int i = 0; i < 60; i++)
        {
            node.Pass(50);
            node.HearHeartbeat(term, round: (ulong)i + 2, lowestMatch: 0);
            node.Turn();
        }

        Assert.InRange(node.Forwarded.Count, 2, 4);
        Assert.All(node.Forwarded, f => Assert.Equal((N1, (byte)0), (f.To, f.Request.HopsLeft)));
    }

    [Fact]
    public void C6_a_write_for_all_does_not_wait_for_a_voter_that_says_nothing()
    {
        var node = new LoneNode();
        node.LeadWithVotesOfNode1();
        node.HearAcknowledgement();
        HearBoth(node, 1);
        WaitingClient first = Submit(node, Put(timeoutMs: 15_000) with { Ack = WriteAck.All });
        node.HearAcknowledgement();
        int waited = 0;
        for (; first.Reply is null && waited < 3000; waited += 50)
        {
            node.Pass(50);
            node.HearAnswer(node.Replica.View.Term, round: 1);
            node.Turn();
        }

        Assert.Equal((ErrorCode.NotOnAll, Outcome.Applied), (first.Reply?.Code, first.Reply?.Outcome));
        Assert.Contains("n3", first.Reply!.Detail, StringComparison.Ordinal);
        Assert.InRange(waited, 900, 1100);

        // By now it is known to be away: the next one does not wait at all.
        WaitingClient second = Submit(node, Put(15_000) with { Ack = WriteAck.All, Id = Id with { Sequence = 2 } });
        node.HearAcknowledgement();
        node.Pass(50);
        node.Turn();
        Assert.Equal(ErrorCode.NotOnAll, second.Reply?.Code);
    }

    [Fact]
    public void C6_a_voter_that_is_heard_is_waited_for()
    {
        var node = new LoneNode();
        node.LeadWithVotesOfNode1();
        node.HearAcknowledgement();
        WaitingClient all = Submit(node, Put(timeoutMs: 5_000) with { Ack = WriteAck.All });
        node.HearAcknowledgement();
        for (int waited = 0; waited < 4000; waited += 50)
        {
            node.Pass(50);
            HearBoth(node, 1);
        }

        Assert.Null(all.Reply);
        node.Hear(new AppendAccepted(LoneNode.IdOf(3), node.Replica.Id, node.Replica.View.Term, node.Replica.DurableLastIndex));
        node.Turn();
        Assert.Equal(ErrorCode.None, all.Reply?.Code);
    }

    /// <summary>The leader's disk stands still: the first copy's time ends there, and what is sent again meets it in the queue.</summary>
    [Fact]
    public void A7_a_write_without_an_id_is_never_told_of_the_id_its_node_gave_it()
    {
        LoneNode node = Following(N1, out _);
        WaitingClient client = Submit(node, Put(timeoutMs: 1_000) with { Id = null });
        node.Pass(950);
        node.Forwarded[0].Completion.Replied(Replies.Indeterminate("The deadline passed before the write was committed"));
        node.Turn();
        node.Pass(30);
        node.Turn();
        foreach ((_, _, IForwardCompletion completion) in node.Forwarded.Skip(1))
        {
            completion.Replied(Replies.InFlight());
        }

        node.Turn();
        node.Pass(100);
        node.Turn();
        Assert.Equal((ErrorCode.Indeterminate, Outcome.Unknown), (client.Reply?.Code, client.Reply?.Outcome));
    }

    [Fact]
    public void A7_its_only_answer_may_be_that_the_first_copy_is_in_flight_and_it_is_not_told()
    {
        LoneNode node = Following(N1, out _);
        WaitingClient client = Submit(node, Put(timeoutMs: 500) with { Id = null });
        node.Pass(520);
        node.Forwarded[0].Completion.Replied(Replies.InFlight());
        node.Turn();
        Assert.Equal((ErrorCode.Indeterminate, Outcome.Unknown), (client.Reply?.Code, client.Reply?.Outcome));
    }

    [Fact]
    public void What_another_node_never_answers_ends_at_the_deadline()
    {
        LoneNode node = Following(N1, out ulong term);
        WaitingClient write = Submit(node, Put(timeoutMs: 800));
        WaitingClient read = Submit(node, new KvRequest { Operation = new Get("key"u8), TimeoutMs = 800 });
        for (int i = 0; i < 17; i++)
        {
            node.Pass(50);
            node.HearHeartbeat(term, round: (ulong)i + 2, lowestMatch: 0);
            node.Turn();
        }

        Assert.Equal((ErrorCode.Indeterminate, Outcome.Unknown), (write.Reply?.Code, write.Reply?.Outcome));
        Assert.Equal(ErrorCode.Timeout, read.Reply?.Code);
    }

    /// <summary>
    /// A client that knows everything a node tells of itself writes under the ids that can be made of it: the first thousand sequences of
    /// every loop, and then that it acknowledges them.
    /// </summary>
    [Fact]
    public void A3_what_a_client_sends_under_an_id_made_of_what_nodes_tell_changes_nothing_for_others()
    {
        var node = new LoneNode();
        node.LeadWithVotesOfNode1();
        node.HearAcknowledgement();
        Span<byte> uuid = stackalloc byte[16];
        node.Options.Uuid.TryWriteBytes(uuid);
        UInt128 guessed = new UInt128(BitConverter.ToUInt64(uuid), BitConverter.ToUInt64(uuid[8..])) + ((UInt128)node.Options.Incarnation << 16);
        for (ulong sequence = 1; sequence < 400; sequence++)
        {
            Submit(node, new KvRequest { Operation = new Delete("other"u8), Id = new RequestId(guessed, sequence, 0, 0) });
        }

        Submit(node, new KvRequest { Operation = new Delete("other"u8), Id = new RequestId(guessed, 1_000_000_000, 0, 1_000_000_000) });
        node.HearAcknowledgement();
        WaitingClient victim = Submit(node, Put(5000) with { Id = null });
        node.HearAcknowledgement();
        Assert.Equal(ErrorCode.None, victim.Reply?.Code);
        WaitingClient read = Submit(node, new KvRequest { Operation = new Get("key"u8), Read = ReadTerms.Eventual });
        Assert.Equal(victim.Reply!.Revision, read.Reply?.Revision);
    }

    [Fact]
    public void C5_a_majority_that_never_comes_is_spoken_of_every_ten_seconds_by_group_and_node()
    {
        var node = new LoneNode(groups: 2);
        for (int i = 0; i < 35 * 20; i++)
        {
            node.Pass(50);
            node.Turn();
        }

        NodeEvent[] lines = [.. node.Events.Where(e => e.Kind == NodeEventKind.NoLeader)];
        Assert.Equal(3, lines.Length);
        Assert.All(lines, line => Assert.Matches(@"2 of 2 groups .* \(1, 2\); not heard from n1, n3", line.Text));
        Assert.DoesNotContain(node.Events, e => e.Kind == NodeEventKind.Serving);
    }

    [Fact]
    public void C5_serving_is_said_once_each_group_has_a_leader()
    {
        var node = new LoneNode(groups: 2);
        node.LeadWithVotesOfNode1();
        node.HearAcknowledgement();
        node.Pass(50);
        node.Turn();
        Assert.DoesNotContain(node.Events, e => e.Kind == NodeEventKind.Serving);
        node.LeadWithVotesOfNode1(group: 2);
        node.HearAcknowledgement(group: 2);
        for (int i = 0; i < 4; i++)
        {
            // What was committed before the start is proved to be here by a round.
            node.Pass(100);
            node.Turn();
            node.HearAnswer(node.Replica.View.Term, node.LastRoundSent());
            node.HearAnswer(node.SecondReplica.View.Term, node.LastRoundSent(), group: 2);
            node.Turn();
        }

        Assert.Single(node.Events, e => e.Kind == NodeEventKind.Serving);
    }

    private static (ErrorCode Code, Outcome Outcome) RefusedAfterGivingUp(KvReply? late)
    {
        LoneNode node = Following(N1, out ulong term);
        WaitingClient client = Submit(node, Put(timeoutMs: 15_000));
        Hear(node, N3, term + 1);
        if (late is not null)
        {
            node.Forwarded[0].Completion.Replied(late);
            node.Turn();
        }

        node.Forwarded[1].Completion.Replied(Replies.Overloaded("Node 3 has no room"));
        node.Turn();
        return (client.Reply!.Code, client.Reply.Outcome);
    }

    /// <summary>Turns the node until the client is answered; who is not answered here cannot be reached.</summary>
    private static int Answer(LoneNode node, WaitingClient client, int limitMs, Func<NodeId, KvRequest, KvReply?> answer)
    {
        int passed = 0;
        for (; client.Reply is null && passed < limitMs; passed += 10)
        {
            for (int i = 0; i < 100 && node.Forwarded.Count > 0 && client.Reply is null; i++)
            {
                var asked = node.Forwarded.ToArray();
                node.Forwarded.Clear();
                foreach ((NodeId to, KvRequest request, IForwardCompletion completion) in asked)
                {
                    if (answer(to, request) is { } reply)
                    {
                        completion.Replied(reply);
                    }
                    else
                    {
                        completion.Lost(notSent: true);
                    }
                }

                node.Pass(1);
                passed++;
                node.Turn();
            }

            node.Pass(10);
            node.Turn();
        }

        return passed;
    }

    private static LoneNode Following(NodeId leader, out ulong term)
    {
        var node = new LoneNode();
        node.Turn();
        term = node.Replica.View.Term + 1;
        Hear(node, leader, term);
        return node;
    }

    private static void Hear(LoneNode node, NodeId leader, ulong term)
    {
        ulong last = node.Replica.DurableLastIndex;
        node.Hear(new AppendEntries(
            LoneNode.IdOf(leader.Value), node.Replica.Id, term, last, node.Replica.DurableTermAt(last), last, [LoneNode.NoOp(term, last + 1)]));
        node.Turn();
        Assert.Equal(leader, node.Replica.View.Leader);
    }

    private static void HearBoth(LoneNode node, ulong round)
    {
        node.HearAnswer(node.Replica.View.Term, round);
        node.HearAnswer(node.Replica.View.Term, round, from: 3);
        node.Turn();
    }

    private static KvRequest Put(int timeoutMs) => new() { Operation = new Put("key"u8, "v"u8), TimeoutMs = timeoutMs, Id = Id, HopsLeft = KvRequest.MostHops };

    private static KvReply Served(NodeId by) => new()
    {
        Outcome = Outcome.Applied,
        Result = new Written(7, true),
        Evidence = new Evidence(ReadLevel.Strong, 0, new GroupId(1), 7, 7, by, ServedRole.Leader, ServedPath.Local),
    };

    private static WaitingClient Submit(LoneNode node, KvRequest request)
    {
        var client = new WaitingClient();
        node.Store.Submit(request, client);
        node.Turn();
        return client;
    }
}
