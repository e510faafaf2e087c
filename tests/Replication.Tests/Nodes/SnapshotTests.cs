using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Storage;

namespace KvStore.Replication.Tests;

/// <summary>Snapshots that are taken, fetched and dropped in unlucky orders.</summary>
public sealed class SnapshotTests
{
    private const ulong Term = 6;
    private static readonly ReplicaId Leader = new(1);
    private static readonly ReplicaId Self = new(2);
    private static readonly ConfState Voters = ConfState.Of(new ReplicaId(1), new ReplicaId(2), new ReplicaId(3));

    [Fact]
    public void The_logs_snapshot_does_not_go_back_when_a_voter_catches_up_while_the_next_one_is_written()
    {
        var node = new LoneNode(adjust: o => o with { SnapshotMinEntries = 1500, MaxTrailingEntries = 1_000_000 });
        Follow(node, last: 2005);
        TakeSnapshot(node);
        Assert.Equal(2005UL, node.Replica.SnapshotIndex);
        Assert.Equal(2000UL, node.Replica.EntriesHeldBack);

        // The second one begins; before it is done, everybody has everything the first one covers. The tick at which that would
        // be used falls into the turn that hears of the second one, when its mark is not durable yet.
        Follow(node, first: 2006, last: 4005);
        node.Pass(50);
        node.Turn();
        node.HearHeartbeat(Term, round: 1, lowestMatch: 2005);
        node.Turn();
        node.TurnSnapshots();
        node.Pass(50);
        node.Turn();

        Assert.Equal(4005UL, node.Replica.SnapshotIndex);
        node.Restart();
        Assert.Equal(4005UL, node.Replica.SnapshotIndex);
    }

    [Fact]
    public void A_snapshot_that_is_fetched_a_second_time_by_mistake_stays_on_disk()
    {
        (SnapshotMetadata snapshot, byte[] piece) = SnapshotOfAnotherNode();
        var node = new LoneNode();
        node.HearHeartbeat(Term, round: 1, lowestMatch: 0);
        node.Hear(new InstallSnapshot(Leader, Self, Term, snapshot));
        node.Turn();
        node.TurnSnapshots();

        // The reminder is queued behind the last piece of the first fetch, so it begins a second one.
        node.HearPayload(piece);
        for (int tick = 0; tick < 10; tick++)
        {
            node.Pass(50);
            node.HearHeartbeat(Term, round: 2 + (ulong)tick, lowestMatch: 0);
            node.Turn();
        }

        node.TurnSnapshots();
        node.InstallFetched();
        Assert.Equal(snapshot.Index, node.Replica.SnapshotIndex);
        node.HearPayload(piece);
        node.TurnSnapshots();
        node.InstallFetched();
        node.TurnSnapshots();

        Assert.Contains(SnapshotName.Of(snapshot.Index, snapshot.Term), node.Disk.ListFiles("/data/snap/1"));
        node.Restart();
        Assert.Equal(snapshot.Index, node.Replica.SnapshotIndex);
    }

    [Fact]
    public void A_fetch_that_appends_made_unnecessary_gives_its_place_and_its_file_back()
    {
        (SnapshotMetadata snapshot, byte[] piece) = SnapshotOfAnotherNode();
        var node = new LoneNode();
        node.Hear(new InstallSnapshot(Leader, Self, Term, snapshot));
        node.Turn();
        node.TurnSnapshots();
        node.HearPayload(FirstHalf(piece));
        node.TurnSnapshots();
        Assert.Contains(SnapshotTransfer.PartName, node.Disk.ListFiles("/data/snap/1"));

        Follow(node, last: snapshot.Index);
        for (int tick = 0; tick < 10; tick++)
        {
            node.Pass(50);
            node.Turn();
        }

        node.TurnSnapshots();
        Assert.Empty(node.Disk.ListFiles("/data/snap/1"));
    }

    [Fact]
    public void A_fetched_snapshot_that_came_too_late_is_deleted()
    {
        (SnapshotMetadata snapshot, byte[] piece) = SnapshotOfAnotherNode();
        var node = new LoneNode();
        node.Hear(new InstallSnapshot(Leader, Self, Term, snapshot));
        node.Turn();
        node.TurnSnapshots();
        Follow(node, last: snapshot.Index);
        node.HearPayload(piece);
        node.TurnSnapshots();
        node.InstallFetched();
        node.TurnSnapshots();
        Assert.Empty(node.Disk.ListFiles("/data/snap/1"));
    }

    [Fact]
    public void A2_a_snapshot_of_a_group_that_the_log_has_lost_stops_the_start_and_stays()
    {
        var node = new LoneNode(adjust: o => o with { SnapshotMinEntries = 10 });
        Follow(node, last: 20);
        TakeSnapshot(node);
        string snapshot = $"/data/snap/1/{SnapshotName.Of(20, Term)}";
        Assert.True(node.Disk.Exists(snapshot));

        // The log as it was before the group's first write, whole in itself.
        var empty = new LoneNode();
        foreach (string file in node.Disk.ListFiles("/data/wal"))
        {
            node.Disk.Delete($"/data/wal/{file}");
        }

        foreach (string file in empty.Disk.ListFiles("/data/wal"))
        {
            node.Disk.Put($"/data/wal/{file}", empty.Disk.ReadAll($"/data/wal/{file}"));
        }

        var found = Assert.Throws<CorruptStorageException>(() => node.Restart());
        Assert.Equal(snapshot, found.Path);
        Assert.True(node.Disk.Exists(snapshot));
    }

    [Fact]
    public void A_replica_fetches_no_snapshot_before_it_is_in_the_log()
    {
        (SnapshotMetadata snapshot, byte[] piece) = SnapshotOfAnotherNode();
        var node = new LoneNode();
        node.Hear(new InstallSnapshot(Leader, Self, Term, snapshot));
        while (node.Store.Loops[0].RunOnce())
        {
            // The log stands still meanwhile.
        }

        node.TurnSnapshots();
        node.HearPayload(piece);
        node.TurnSnapshots();
        Assert.Empty(node.Disk.ListFiles("/data/snap/1"));

        node.Turn();
        node.TurnSnapshots();
        node.HearPayload(piece);
        node.TurnSnapshots();
        node.InstallFetched();
        Assert.Equal(snapshot.Index, node.Replica.SnapshotIndex);
    }

    /// <summary>The leader appends no-ops up to an index, all committed.</summary>
    private static void Follow(LoneNode node, ulong last, ulong first = 6)
    {
        Entry[] entries = [.. Enumerable.Range((int)first, (int)(last + 1 - first)).Select(i => LoneNode.NoOp(Term, (ulong)i))];
        ulong previousTerm = first == 6 ? 5 : Term;
        node.Hear(new AppendEntries(Leader, node.Replica.Id, Term, first - 1, previousTerm, last, entries));
        node.Turn();
    }

    private static void TakeSnapshot(LoneNode node)
    {
        node.Pass(50);
        node.Turn();
        node.TurnSnapshots();
        node.Turn();
    }

    private static (SnapshotMetadata Snapshot, byte[] Piece) SnapshotOfAnotherNode()
    {
        var other = new LoneNode(self: 3, adjust: o => o with { SnapshotMinEntries = 10 });
        Follow(other, last: 20);
        TakeSnapshot(other);
        var snapshot = new SnapshotMetadata(20, Term, LoneNode.NoOp(Term, 20).LastClock, Voters);
        byte[] file = other.Disk.ReadAll($"/data/snap/1/{SnapshotName.Of(20, Term)}");
        return (snapshot, SnapshotPayload.Piece(new GroupId(1), 20, Term, 0, file.Length, file));
    }

    private static byte[] FirstHalf(byte[] piece)
    {
        var whole = (SnapshotPiece)SnapshotPayload.TryRead(new NodeId(1), piece)!;
        return SnapshotPayload.Piece(whole.Group, whole.Index, whole.Term, 0, whole.TotalBytes, whole.Bytes.AsSpan(0, whole.Bytes.Length / 2));
    }
}
