using System.Text;
using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication.Tests;

/// <summary>What peers say, or what we say to them, must not end the node.</summary>
public sealed class PeersWordTests
{
    [Fact]
    public void Rounds_of_several_turns_that_leave_in_one_are_payloads_of_their_own()
    {
        var node = new LoneNode();
        var outbox = new PeerOutbox(new NodeId(1), node.Store.Shared, node);
        foreach (ulong round in new ulong[] { 7, 8, 8, 9 })
        {
            var heartbeat = new Heartbeat(node.Replica.Id, new ReplicaId(1), 6, 5, round);
            outbox.Add(new PeerMessage(new GroupId(1), Epoch: 1, heartbeat), FeatureLevel.First, wallMs: 1);
        }

        outbox.Flush(wallMs: 1, stampTicks: 1);

        var heard = new List<PeerMessage>();
        Assert.All(node.Sent, payload => Assert.True(PeerPayload.TryRead(payload.Span, out _, heard)));
        Assert.Equal(3, node.Sent.Count);
        Assert.Equal([7UL, 8UL, 8UL, 9UL], heard.Select(m => ((Heartbeat)m.Message).Round));
    }

    [Theory]
    [InlineData(99U)]
    [InlineData(4U)]
    public void A_hint_at_a_node_without_a_replica_of_the_group_is_not_followed(uint hint)
    {
        var node = new LoneNode(self: 4, nodes: 5);
        var client = new WaitingClient();
        node.Store.Submit(new KvRequest { Operation = new Put("k"u8, default) }, client);
        node.Turn();
        node.Forwarded[^1].Completion.Replied(Replies.WrongNode(new GroupId(1), new NodeId(hint)));
        node.Turn();
        node.Pass(50);
        node.Turn();

        Assert.Equal(2, node.Forwarded.Count);
        Assert.All(node.Forwarded, f => Assert.InRange(f.To.Value, 1U, 3U));
        node.Forwarded[^1].Completion.Replied(new KvReply { Result = new Found(1, new byte[1]) });
        node.Turn();
        Assert.Equal(ErrorCode.None, client.Reply?.Code);
    }

    [Fact]
    public void The_answer_to_a_read_of_an_earlier_process_proves_nothing()
    {
        // Numbers of questions start where no earlier process has been.
        ulong asked = QuestionOf(incarnation: 1);
        Assert.True(QuestionOf(incarnation: 2) > asked + 1_000_000);
    }

    private static ulong QuestionOf(ulong incarnation)
    {
        var node = new LoneNode(adjust: o => o with { Incarnation = incarnation });
        node.HearHeartbeat(term: 6, round: 1, lowestMatch: 0);
        node.Turn();
        node.Store.Submit(new KvRequest { Operation = new Get(Encoding.UTF8.GetBytes("k")) }, new WaitingClient());
        node.Turn();
        var heard = new List<PeerMessage>();
        node.Sent.ForEach(payload => Assert.True(PeerPayload.TryRead(payload.Span, out _, heard)));
        return heard.Select(m => m.Message).OfType<ReadIndexRequest>().Single().Context;
    }
}
