using System.Buffers;
using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication.Tests;

/// <summary>What a node says of its disk, what it makes of what others say, and to whom it gives leadership.</summary>
public sealed class DiskHealthTests
{
    [Fact]
    public void Answers_say_how_old_the_oldest_write_is_to_those_who_can_read_it()
    {
        var node = new LoneNode();
        node.HearHeartbeat(term: 6, round: 1, lowestMatch: 0);
        node.Turn();
        Assert.All(node.Sent, payload => Assert.Null(HeadOf(payload).Disk));

        node.Store.OnPeerHello(new NodeId(1), incarnation: 1, DiskReport.Since);
        node.Sent.Clear();
        node.HearHeartbeat(term: 6, round: 2, lowestMatch: 0);
        node.Turn();
        Assert.Equal(new DiskReport(0), node.Sent.Select(HeadOf).Single(head => head.Disk is not null).Disk);
    }

    [Fact]
    public void A_report_with_more_fields_is_read_and_anything_else_in_its_place_is_passed_over()
    {
        Assert.Equal(new DiskReport(7), HeadOf(Answers("92" + "07" + "C0")).Disk);
        Assert.Equal(new DiskReport(300), HeadOf(Answers("91" + "CD012C", "C3")).Disk);
        Assert.Null(HeadOf(Answers("90")).Disk);
        Assert.Null(HeadOf(Answers("C0")).Disk);
        Assert.Null(HeadOf(Answers("A178")).Disk);
    }

    [Theory]
    [InlineData(0, 0, true)]
    [InlineData(249, 249, true)]
    [InlineData(250, 0, false)]
    [InlineData(0, 250, false)]
    public void C2_leadership_goes_to_the_preferred_replica_only_when_its_last_two_answers_say_that_its_disk_is_well(
        int before, int last, bool given)
    {
        var node = new LoneNode();
        node.Store.OnPeerHello(new NodeId(1), incarnation: 1, DiskReport.Since);
        node.Store.OnPeerHello(new NodeId(3), incarnation: 1, DiskReport.Since);
        node.LeadWithVotesOfNode1();
        Follow(node, 6000, first: (uint)before, second: (uint)last);
        Assert.Equal(given, node.SentMessages().OfType<TimeoutNow>().Any());
    }

    [Fact]
    public void C2_a_node_that_should_not_lead_ignores_the_order_to()
    {
        var node = new LoneNode();
        node.HearHeartbeat(term: 6, round: 1, lowestMatch: 0);
        node.Turn();
        node.Store.Shared.Fitness.Disk.Observe(0, node.Store.Shared.Clock.ElapsedMs(), ageMs: 0, worstMs: DiskWatch.SickAfterMs);
        node.Hear(new TimeoutNow(LoneNode.IdOf(1), node.Replica.Id, 6));
        node.Turn();
        Assert.Equal(Role.Follower, node.Replica.View.Role);
        Assert.Equal(NotReady.DiskSick, node.Store.Readiness.Reason);
        Assert.Single(node.Events, e => e.Kind == NodeEventKind.DiskSick);
    }

    [Fact]
    public void C2_a_disk_is_well_again_when_no_write_was_late_for_half_a_minute()
    {
        var changes = new List<(bool Sick, long AgeMs)>();
        var disk = new DiskWatch(loops: 2, (sick, age) => changes.Add((sick, age)));
        disk.Observe(0, nowMs: 0, ageMs: 1999, worstMs: 1999);
        Assert.Equal(1999u, disk.Report(0).AgeMs);
        Assert.False(disk.IsSick);
        disk.Observe(1, nowMs: 50, ageMs: 2000, worstMs: 2000);
        Assert.True(disk.IsSick);
        disk.Observe(0, nowMs: 100, ageMs: 0, worstMs: 0);
        disk.Observe(1, nowMs: 100, ageMs: 0, worstMs: 250);
        Assert.Equal(2000u, disk.Report(20_000).AgeMs);
        disk.Observe(0, nowMs: 30_099, ageMs: 0, worstMs: 249);
        Assert.True(disk.IsSick);
        disk.Observe(0, nowMs: 30_100, ageMs: 0, worstMs: 249);
        Assert.Equal([(true, 2000L), (false, 0L)], changes);
        Assert.Equal(0u, disk.Report(31_100).AgeMs);
    }

    // Nodes 1 and 3 answer every heartbeat; the reports of node 1 alternate.
    private static void Follow(LoneNode node, int milliseconds, uint first, uint second)
    {
        bool odd = false;
        for (int passed = 0; passed < milliseconds; passed += 50)
        {
            node.Pass(50);
            node.Turn();
            if (node.SentMessages().OfType<Heartbeat>().Any())
            {
                odd = !odd;
                Answer(node, from: 1, odd ? first : second);
                Answer(node, from: 3, 0);
            }

            node.HearAcknowledgement();
            node.Turn();
        }
    }

    private static void Answer(LoneNode node, uint from, uint ageMs)
    {
        var items = new ArrayBufferWriter<byte>();
        PeerPayload.WriteAnswer(
            items, new GroupId(1), epoch: 1,
            new HeartbeatResponse(LoneNode.IdOf(from), node.Replica.Id, node.Replica.View.Term, node.LastRoundSent()));
        byte[] payload = LoneNode.Payload(PeerPayload.AnswersKind, node.Store.Shared.Clock.WallMs(), [1, 1], items);
        var report = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(report);
        new DiskReport(ageMs).Write(ref writer);
        writer.Flush();
        payload[0]++; // one field more
        node.HearPayload((byte[])[.. payload, .. report.WrittenSpan], from);
    }

    private static PeerPayloadHead HeadOf(ReadOnlyMemory<byte> payload)
    {
        Assert.True(PeerPayload.TryRead(payload.Span, out PeerPayloadHead head, []));
        return head;
    }

    private static byte[] Answers(params string[] behind) =>
        [(byte)(0x96 + behind.Length), 1, PeerPayload.AnswersKind, 5, 1, 1, 0x90, .. Convert.FromHexString(string.Concat(behind))];
}
