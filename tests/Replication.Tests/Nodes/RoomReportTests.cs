using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Simulation;

namespace KvStore.Replication.Tests;

/// <summary>What a node says of its room, and what a leader makes of what the others say.</summary>
public sealed class RoomReportTests
{
    [Fact]
    public void B2_a_leader_takes_what_grows_only_while_no_voter_says_that_it_has_no_room_for_it()
    {
        LoneNode node = Leader();
        Assert.Null(Refusal(node, new Put("a"u8, new byte[10])));

        node.PeersLack = Shortage.Disk;
        node.HearAcknowledgement();
        Assert.Equal((ErrorCode.DiskFull, Outcome.NotApplied), Refusal(node, new Put("a"u8, new byte[10])));
        Assert.Null(Refusal(node, new Delete("a"u8)));

        node.PeersLack = Shortage.Memory;
        node.HearAcknowledgement();
        Assert.Equal((ErrorCode.Overloaded, Outcome.NotApplied), Refusal(node, new Put("a"u8, new byte[10])));

        // What a later build may lack is nothing that this one could act upon.
        node.PeersLack = (Shortage)64;
        node.HearAcknowledgement();
        Assert.Null(Refusal(node, new Put("a"u8, new byte[10])));
    }

    [Fact]
    public void B2_what_a_lost_voter_lacked_keeps_nobody_from_writing()
    {
        LoneNode node = Leader();
        node.PeersLack = Shortage.Disk;
        node.Hear(new AppendAccepted(LoneNode.IdOf(3), node.Replica.Id, node.Replica.View.Term, 0));
        node.PeersLack = Shortage.None;
        node.HearAcknowledgement();
        Assert.Equal((ErrorCode.DiskFull, Outcome.NotApplied), Refusal(node, new Put("a"u8, new byte[10])));
        node.Store.OnPeerLost(new NodeId(3));
        Assert.Null(Refusal(node, new Put("a"u8, new byte[10])));
    }

    [Fact]
    public void B2_a_new_leader_takes_nothing_that_grows_before_a_majority_has_reported()
    {
        LoneNode node = Leader(said: null);
        Assert.Equal((ErrorCode.Overloaded, Outcome.NotApplied), Refusal(node, new Put("a"u8, new byte[10])));
        Assert.Null(Refusal(node, new Delete("a"u8)));
        node.PeersLack = Shortage.None;
        node.HearAcknowledgement();
        Assert.Null(Refusal(node, new Put("a"u8, new byte[10])));
    }

    [Fact]
    public void A_report_counts_for_two_election_timeouts()
    {
        var rooms = new PeerRooms(3, validMs: 2000);
        Assert.Null(rooms.Of(new NodeId(2), 0));
        rooms.Hear(new NodeId(2), new RoomReport(Shortage.Disk), 100);
        Assert.Equal(new RoomReport(Shortage.Disk), rooms.Of(new NodeId(2), 2100));
        Assert.Null(rooms.Of(new NodeId(2), 2101));
        rooms.Hear(new NodeId(2), new RoomReport(Shortage.Disk), 2000);
        Assert.NotNull(rooms.Of(new NodeId(2), 4000));
        rooms.Lost(new NodeId(2));
        Assert.Null(rooms.Of(new NodeId(2), 4000));
    }

    [Fact]
    public void Votes_and_answers_say_what_their_node_lacks_to_those_who_can_read_it()
    {
        var node = new LoneNode();
        node.HearHeartbeat(term: 6, round: 1, lowestMatch: 0);
        node.Turn();
        Assert.All(node.Sent, payload => Assert.Null(RoomIn(payload)));

        node.Store.OnPeerHello(new NodeId(1), incarnation: 1, RoomReport.Since);
        node.Disk.CapacityBytes = 1;
        node.Store.Snapshots.MeasureRoomOnDisk();
        node.Sent.Clear();
        node.HearHeartbeat(term: 6, round: 2, lowestMatch: 0);
        node.Turn();
        Assert.Equal(new RoomReport(Shortage.Disk), node.Sent.Select(RoomIn).Single(room => room is not null));

        var voter = new LoneNode();
        voter.Store.OnPeerHello(new NodeId(1), incarnation: 1, RoomReport.Since);
        voter.Hear(new VoteRequest(LoneNode.IdOf(1), voter.Replica.Id, 9, 100, 8));
        voter.Turn();
        Assert.Single(voter.SentMessages().OfType<VoteGranted>());
        Assert.Equal(new RoomReport(Shortage.None), voter.Sent.Select(RoomIn).Single(room => room is not null));
    }

    private static RoomReport? RoomIn(ReadOnlyMemory<byte> payload)
    {
        Assert.True(PeerPayload.TryRead(payload.Span, out PeerPayloadHead head, []));
        return head.Room;
    }

    private static LoneNode Leader(Shortage? said = Shortage.None)
    {
        var node = new LoneNode { PeersLack = said };
        node.Store.OnPeerHello(new NodeId(1), incarnation: 1, RoomReport.Since);
        node.Store.OnPeerHello(new NodeId(3), incarnation: 1, RoomReport.Since);
        node.LeadWithVotesOfNode1();
        return node;
    }

    /// <summary>Null: it was proposed.</summary>
    private static (ErrorCode Code, Outcome Outcome)? Refusal(LoneNode node, WriteOperation write)
    {
        KvReply? answer = null;
        node.Pass(1);
        node.Store.Submit(new KvRequest { Operation = write, TimeoutMs = 5_000 }, new ReplySink(reply => answer = reply));
        node.Turn();
        return answer is { Code: not ErrorCode.None } refused ? (refused.Code, refused.Outcome) : null;
    }
}
