using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Storage;

namespace KvStore.Replication.Tests;

/// <summary>Followers that fetch a snapshot slowly, from a leader that goes on taking newer ones; and fetches nobody answers.</summary>
public sealed class SlowFetchTests
{
    private static readonly ReplicaId Self = new(2);
    private static readonly ReplicaId Slow = new(3);

    [Fact]
    public void A_slow_fetch_ends_with_the_snapshot_it_began_with_and_goes_on_in_the_log_behind_it()
    {
        (LoneNode node, ulong term, ulong snapshot) = LeaderWithASlowFollower();
        long offset = 0;
        for (int round = 0; round < 5; round++)
        {
            SnapshotPiece piece = Pull(node, snapshot, snapshot, term, offset);
            Assert.Equal((snapshot, offset), (piece.Index, piece.Offset));
            offset += piece.Bytes.Length;
            TakeAnotherSnapshot(node, term);
            node.Pass(5_000);

            // It answers heartbeats while it fetches, and is reminded.
            node.HearAnswer(term, node.LastRoundSent(), from: 3);
            node.Turn();
        }

        Assert.True(node.Replica.SnapshotIndex >= snapshot + 50, $"{node.Replica.SnapshotIndex} after {snapshot}");
        Assert.Equal(snapshot + 1, FirstIndex(node));

        node.Hear(new AppendAccepted(Slow, Self, term, snapshot));
        node.Turn();
        Assert.Contains(node.SentMessages().OfType<AppendEntries>(), m => m.To == Slow && m.PrevIndex == snapshot && m.Entries.Count > 0);

        // Once it has caught up, neither the log nor the file is kept for it.
        node.Hear(new AppendAccepted(Slow, Self, term, node.Replica.DurableLastIndex));
        node.Pass(SnapshotPull.IdleLimitMs);
        TakeAnotherSnapshot(node, term);
        TakeAnotherSnapshot(node, term);
        Assert.Equal(node.Replica.SnapshotIndex + 1, FirstIndex(node));
        Assert.DoesNotContain(SnapshotName.Of(snapshot, term), node.Disk.ListFiles("/data/snap/1"));
    }

    [Fact]
    public void A_follower_that_stops_fetching_holds_neither_log_nor_file_for_longer_than_the_limit()
    {
        (LoneNode node, ulong term, ulong snapshot) = LeaderWithASlowFollower();
        Pull(node, snapshot, 0, 0, 0);
        TakeAnotherSnapshot(node, term);
        Assert.Equal(snapshot + 1, FirstIndex(node));
        Assert.Contains(SnapshotName.Of(snapshot, term), node.Disk.ListFiles("/data/snap/1"));

        node.Pass(SnapshotPull.IdleLimitMs);
        TakeAnotherSnapshot(node, term);
        TakeAnotherSnapshot(node, term);
        Assert.Equal(node.Replica.SnapshotIndex + 1, FirstIndex(node));
        Assert.DoesNotContain(SnapshotName.Of(snapshot, term), node.Disk.ListFiles("/data/snap/1"));
    }

    [Fact]
    public void A_log_that_grows_too_large_is_cut_although_a_follower_fetches()
    {
        (LoneNode node, ulong term, ulong snapshot) = LeaderWithASlowFollower(maxCatchUpLogBytes: 2_000);
        Pull(node, snapshot, 0, 0, 0);
        TakeAnotherSnapshot(node, term);
        TakeAnotherSnapshot(node, term);
        TakeAnotherSnapshot(node, term);
        Assert.True(FirstIndex(node) > snapshot + 1);
    }

    [Fact]
    public void Fetches_that_nobody_answers_give_their_places_to_one_that_waits()
    {
        var node = new LoneNode(groups: SnapshotTransfer.MaxFetches + 1);
        HashSet<uint> asked = [];
        for (int second = 0; second <= SnapshotTransfer.StallLimitMs / 1000; second++)
        {
            foreach (Replica replica in node.Store.LocalReplicas)
            {
                ReplicaId leader = new(replica.Id.Value - 1);
                ConfState voters = ConfState.Of(leader, replica.Id, new(replica.Id.Value + 1));
                node.Hear(new InstallSnapshot(leader, replica.Id, 6, new SnapshotMetadata(20, 6, 20 << 16, voters)), replica.Group.Value);
            }

            for (int tick = 0; tick < 20; tick++)
            {
                node.Pass(50);
                node.Turn();
            }

            node.TurnSnapshots();
            asked.UnionWith(Transfers<SnapshotPull>(node).Select(pull => pull.Group.Value));
            if (second == 2)
            {
                Assert.Equal(SnapshotTransfer.MaxFetches, asked.Count);
            }
        }

        Assert.Equal(SnapshotTransfer.MaxFetches + 1, asked.Count);
    }

    /// <summary>Node 3 has nothing, and was told to fetch the leader's snapshot, behind which the log starts.</summary>
    private static (LoneNode Node, ulong Term, ulong Snapshot) LeaderWithASlowFollower(long maxCatchUpLogBytes = 1 << 20)
    {
        var node = new LoneNode(
            adjust: o => o with { SnapshotMinEntries = 10, MaxTrailingEntries = 0, MaxCatchUpLogBytes = maxCatchUpLogBytes });
        ulong term = node.LeadWithVotesOfNode1();
        TakeAnotherSnapshot(node, term);
        ulong snapshot = node.Replica.SnapshotIndex;
        node.HearAnswer(term, node.LastRoundSent(), from: 3);
        node.Turn();
        Assert.Equal(snapshot, node.SentMessages().OfType<InstallSnapshot>().Last(m => m.To == Slow).Snapshot.Index);
        return (node, term, snapshot);
    }

    /// <summary>Twelve writes that node 1 acknowledges, and the snapshot that is due then.</summary>
    private static void TakeAnotherSnapshot(LoneNode node, ulong term)
    {
        ulong before = node.Replica.SnapshotIndex;

        // As it answers each heartbeat: a leader that has heard nothing of the others' room for a while takes nothing that grows.
        node.Hear(new AppendAccepted(new ReplicaId(1), Self, term, node.Replica.DurableLastIndex));
        node.Turn();
        for (int i = 0; i < 12; i++)
        {
            var put = new KvRequest { Operation = new Put("k"u8, new byte[50]), TimeoutMs = 500 };
            node.Store.Submit(put, new WaitingClient());
            node.Turn();
            node.Hear(new AppendAccepted(new ReplicaId(1), Self, term, node.Replica.DurableLastIndex));
            node.Turn();
        }

        for (int tick = 0; tick < 2; tick++)
        {
            node.Pass(50);
            node.Turn();
            node.TurnSnapshots();
            node.Turn();
        }

        node.TurnSnapshots();
        Assert.True(node.Replica.SnapshotIndex > before, $"still at {before}");
    }

    /// <summary>Node 3 asks for a piece and gets a small one.</summary>
    private static SnapshotPiece Pull(LoneNode node, ulong minIndex, ulong index, ulong term, long offset)
    {
        node.HearPayload(SnapshotPayload.Pull(new GroupId(1), minIndex, index, term, offset), from: 3);
        node.Store.Snapshots.RunOnce(16);
        node.Turn();
        return Transfers<SnapshotPiece>(node).Last();
    }

    private static IEnumerable<T> Transfers<T>(LoneNode node)
        where T : class => node.Sent.Select(payload => SnapshotPayload.TryRead(new NodeId(2), payload.Span)).OfType<T>();

    private static ulong FirstIndex(LoneNode node)
    {
        node.Pass(50);
        node.Turn();
        return node.Store.Groups[0].FirstIndex;
    }
}
