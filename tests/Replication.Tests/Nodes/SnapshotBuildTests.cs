using System.Buffers.Binary;
using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;
using KvStore.Storage;

namespace KvStore.Replication.Tests;

/// <summary>A fetched snapshot becomes a table on the snapshot thread, in steps; what may come between two of them.</summary>
public sealed class SnapshotBuildTests
{
    private const ulong Term = 6;
    private const ulong Last = 25;
    private const int StepBytes = 4096;
    private static readonly ReplicaId Leader = LoneNode.IdOf(1);
    private static readonly ReplicaId Self = LoneNode.IdOf(2);

    [Fact]
    public void B10_while_a_snapshot_is_built_another_group_of_the_loop_executes_requests()
    {
        LoneNode node = WithFetchedSnapshot();
        Assert.Equal(5UL, node.Replica.Table.AppliedIndex);
        int executed = 0;
        while (node.Replica.Table.AppliedIndex == 5 && executed < 1_000)
        {
            // Whatever the loop does: it reads no snapshot, and its other group answers between any two steps.
            node.Disk.FailReadsOf = "/data/snap/";
            Assert.Equal(ErrorCode.None, Write(node, group: 2).Code);
            node.Turn();
            node.Disk.FailReadsOf = null;
            node.Store.Snapshots.RunOnce(StepBytes);
            executed++;
        }

        Assert.InRange(executed, 20, 999);
        Assert.Equal(Last, node.Replica.SnapshotIndex);
        Assert.Equal(Last, node.Replica.Table.AppliedIndex);
        Assert.Equal(20, node.Replica.Table.KeyCount);
        node.Restart();
        Assert.Equal(20, node.Replica.Table.KeyCount);
    }

    [Fact]
    public void B10_a_replica_follows_while_its_snapshot_is_built_and_its_leader_is_told_to_keep_the_log()
    {
        LoneNode node = WithFetchedSnapshot();
        node.Sent.Clear();
        for (ulong round = 10; round < 22; round++)
        {
            node.Store.Snapshots.RunOnce(64);
            node.Pass(50);
            node.HearHeartbeat(Term, round, lowestMatch: 0);
            node.Turn();
        }

        Assert.Contains(node.SentMessages().OfType<HeartbeatResponse>(), answer => answer.From == Self && answer.Round == 21);
        Assert.Equal(new NodeId(1), node.Replica.View.Leader);
        SnapshotPull[] kept = [.. node.Sent.Select(payload => SnapshotPayload.TryRead(new NodeId(2), payload.Span)).OfType<SnapshotPull>()];
        Assert.InRange(kept.Length, 1, 2);
        Assert.All(kept, pull => Assert.Equal((Last, Last, Term, long.MaxValue), (pull.MinIndex, pull.Index, pull.Term, pull.Offset)));
        Assert.True(node.Replica.BuildBytes > 0 && node.Store.Room.Memory.Tables >= node.Replica.BuildBytes);
        node.TurnSnapshots();
        node.Turn();
        Assert.Equal(Last, node.Replica.SnapshotIndex);
        Assert.Equal(0, node.Replica.BuildBytes);
    }

    [Fact]
    public void B10_appends_that_close_the_gap_end_the_build_and_its_file_goes()
    {
        LoneNode node = WithFetchedSnapshot();
        node.Store.Snapshots.RunOnce(StepBytes);
        Entry[] entries = [.. Enumerable.Range(6, (int)Last - 5).Select(i => LoneNode.NoOp(Term, (ulong)i))];
        node.Hear(new AppendEntries(Leader, Self, Term, 5, 5, Last, entries));
        for (int tick = 0; tick < 12; tick++)
        {
            node.Pass(50);
            node.Turn();
        }

        node.TurnSnapshots();
        node.Turn();
        node.TurnSnapshots();
        Assert.Empty(node.Disk.ListFiles("/data/snap/1"));
        Assert.Equal((5UL, Last), (node.Replica.SnapshotIndex, node.Replica.Table.AppliedIndex));
        Assert.Equal(0, node.Replica.BuildBytes);
    }

    [Fact]
    public void B10_appends_that_close_the_gap_in_the_last_moment_win_over_a_complete_build()
    {
        LoneNode node = WithFetchedSnapshot();
        node.TurnSnapshots();
        Entry[] entries = [.. Enumerable.Range(6, (int)Last - 5).Select(i => LoneNode.NoOp(Term, (ulong)i))];
        PeerFirst(node, new AppendEntries(Leader, Self, Term, 5, 5, Last, entries));
        Assert.Equal((5UL, Last, 0L), (node.Replica.SnapshotIndex, node.Replica.Table.AppliedIndex, node.Replica.Table.KeyCount));
        node.TurnSnapshots();
        Assert.Empty(node.Disk.ListFiles("/data/snap/1"));
    }

    [Fact]
    public void B10_another_leader_meanwhile_changes_nothing_and_its_older_snapshot_is_not_fetched()
    {
        LoneNode node = WithFetchedSnapshot();
        node.Store.Snapshots.RunOnce(StepBytes);
        ReplicaId other = LoneNode.IdOf(3);
        node.Sent.Clear();
        node.Hear(new InstallSnapshot(other, Self, Term + 1, new SnapshotMetadata(Last - 5, Term, (Last - 5) << 16, Voters)));
        for (int tick = 0; tick < 12; tick++)
        {
            node.Pass(20);
            node.Turn();
        }

        Assert.Equal(new NodeId(3), node.Replica.View.Leader);
        Assert.DoesNotContain(node.Sent, payload => SnapshotPayload.TryRead(new NodeId(2), payload.Span) is SnapshotPull { Offset: 0 });
        node.TurnSnapshots();
        node.Turn();
        Assert.Equal(Last, node.Replica.SnapshotIndex);
        Assert.Contains(node.SentMessages().OfType<AppendAccepted>(), accepted => accepted.To == other && accepted.Index == Last);
    }

    [Fact]
    public void B10_what_is_fetched_a_second_time_while_the_first_is_built_is_one_file()
    {
        LoneNode node = WithFetchedSnapshot();
        node.Store.Snapshots.RunOnce(StepBytes);
        node.Store.Loops[0].Front.Inbox.Post(new SnapshotWritten(node.Replica.Address, HeaderOf(node), SnapshotName.Of(Last, Term), fetched: true));
        node.Turn();
        node.TurnSnapshots();
        node.Turn();
        Assert.Equal(Last, node.Replica.SnapshotIndex);
        node.TurnSnapshots();
        Assert.Contains(SnapshotName.Of(Last, Term), node.Disk.ListFiles("/data/snap/1"));
        node.Restart();
        Assert.Equal(20, node.Replica.Table.KeyCount);
    }

    [Fact]
    public void B10_a_file_that_is_damaged_after_it_was_fetched_is_reported_and_fetched_again()
    {
        LoneNode node = WithFetchedSnapshot();
        string path = $"/data/snap/1/{SnapshotName.Of(Last, Term)}";
        byte[] bytes = node.Disk.ReadAll(path);
        bytes[bytes.Length / 2] ^= 1;
        using (IFile file = node.Disk.Open(path))
        {
            file.Write(bytes, 0);
        }

        node.TurnSnapshots();
        node.Turn();
        node.TurnSnapshots();
        Assert.Contains(node.Events, e => e.Kind == NodeEventKind.SnapshotDamaged && e.Text.Contains("on this node", StringComparison.Ordinal));
        Assert.Equal(5UL, node.Replica.SnapshotIndex);
        Assert.Empty(node.Disk.ListFiles("/data/snap/1"));

        node.Sent.Clear();
        for (int tick = 0; tick < 60; tick++)
        {
            node.Pass(50);
            node.HearHeartbeat(Term, 100 + (ulong)tick, lowestMatch: 0);
            node.Turn();
            node.TurnSnapshots();
        }

        Assert.Contains(node.Sent, payload => SnapshotPayload.TryRead(new NodeId(2), payload.Span) is SnapshotPull { Offset: 0 });
        node.HearPayload(Snapshot());
        node.TurnSnapshots();
        node.Turn();
        node.TurnSnapshots();
        node.Turn();
        Assert.Equal(20, node.Replica.Table.KeyCount);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void B10_a_replica_that_leaves_meanwhile_takes_the_build_with_it(bool complete)
    {
        LoneNode node = WithFetchedSnapshot();
        for (int step = 0; step < (complete ? 1_000 : 1); step++)
        {
            node.Store.Snapshots.RunOnce(StepBytes);
        }

        RoutingTable now = node.Options.Routing;
        node.Store.UseRouting(new RoutingTable(
            2, [new GroupId(1), new GroupId(2)], [[], [new(1, new NodeId(1)), new(3, new NodeId(3))], [.. now.ReplicasOf(new GroupId(2))]]));
        node.Turn();
        node.TurnSnapshots();
        node.Turn();
        Assert.Null(node.Store.LocalReplica(new GroupId(1)));
        Assert.Empty(node.Disk.ListFiles("/data/snap/1"));
        long left = node.Store.Loops[0].Front.Arena.LiveBytes;
        Assert.InRange(left, 0, 10_000);
        Assert.Equal(ErrorCode.None, Write(node, group: 2).Code);
    }

    [Fact]
    public void B10_a_node_that_stops_meanwhile_starts_without_it_and_fetches_again()
    {
        LoneNode node = WithFetchedSnapshot();
        node.Store.Snapshots.RunOnce(StepBytes);
        node.Store.Snapshots.Dispose();
        node.Restart();
        Assert.Equal((5UL, 0L), (node.Replica.SnapshotIndex, node.Replica.Table.KeyCount));
        Assert.Empty(node.Disk.ListFiles("/data/snap/1"));
    }

    private static ConfState Voters => ConfState.Of(LoneNode.IdOf(1), LoneNode.IdOf(2), LoneNode.IdOf(3));

    private static SnapshotHeader HeaderOf(LoneNode node)
    {
        using SnapshotReader reader = SnapshotReader.Open(node.Disk, $"/data/snap/1/{SnapshotName.Of(Last, Term)}");
        return reader.Header;
    }

    /// <summary>Both are in the inbox when the loop turns, this message before what is there already: a peer's word that came first.</summary>
    private static void PeerFirst(LoneNode node, Message message)
    {
        node.Replica.Step(message);
        node.Turn();
    }

    /// <summary>Leads group 2; of group 1 it has fetched what node 1 told it to, and has built nothing yet.</summary>
    private static LoneNode WithFetchedSnapshot()
    {
        var node = new LoneNode(groups: 2);
        node.LeadWithVotesOfNode1(group: 2);
        node.HearAcknowledgement(group: 2);
        byte[] piece = Snapshot();
        node.HearHeartbeat(Term, round: 1, lowestMatch: 0);
        node.Hear(new InstallSnapshot(Leader, Self, Term, new SnapshotMetadata(Last, Term, Last << 16, Voters)));
        node.Turn();
        node.TurnSnapshots();
        node.HearPayload(piece);
        while (node.Disk.ListFiles("/data/snap/1").Any(name => name == SnapshotTransfer.PartName) || node.Disk.ListFiles("/data/snap/1").Count == 0)
        {
            Assert.True(node.Store.Snapshots.RunOnce(StepBytes));
        }

        node.Turn();
        return node;
    }

    /// <summary>Twenty values of eight kilobytes, as node 3 wrote them down.</summary>
    private static byte[] Snapshot()
    {
        var other = new LoneNode(self: 3, groups: 2, adjust: o => o with { SnapshotMinEntries = 10 });
        Entry[] entries = [.. Enumerable.Range(6, (int)Last - 5).Select(index =>
        {
            var put = new CommandBatchWriter(other.Options.Routing.VirtualNodeCount);
            put.Add(new Put(KeyOf(other, group: 1, index), new byte[8_000]), null, FeatureLevel.First);
            return LoneNode.NoOp(Term, (ulong)index) with { Kind = EntryKind.Command, Payload = put.TakePayload() };
        })];
        other.Hear(new AppendEntries(Leader, other.Replica.Id, Term, 5, 5, Last, entries));
        other.Turn();
        other.Pass(50);
        other.Turn();
        other.TurnSnapshots();
        other.Turn();
        byte[] file = other.Disk.ReadAll($"/data/snap/1/{SnapshotName.Of(Last, Term)}");
        return SnapshotPayload.Piece(new GroupId(1), Last, Term, 0, file.Length, file);
    }

    private static KvReply Write(LoneNode node, uint group)
    {
        var client = new WaitingClient();
        node.Store.Submit(new KvRequest { Operation = new Put(KeyOf(node, group, 0), "v"u8), TimeoutMs = 10_000 }, client);
        node.Turn();
        node.HearAcknowledgement(group);
        return client.Reply ?? throw new InvalidOperationException("not answered");
    }

    private static byte[] KeyOf(LoneNode node, uint group, int number)
    {
        byte[] key = new byte[8];
        BinaryPrimitives.WriteInt32LittleEndian(key, number);
        for (int i = 0; ; i++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(key.AsSpan(4), i);
            RoutingTable routing = node.Options.Routing;
            if (routing.GroupOf(routing.VirtualNodeOf(key)) == new GroupId(group))
            {
                return key;
            }
        }
    }
}
