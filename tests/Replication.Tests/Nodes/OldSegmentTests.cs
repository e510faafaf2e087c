using KvStore.Raft;

namespace KvStore.Replication.Tests;

/// <summary>All groups of a node share one log, whose segments go from the oldest end only: what a quiet group does about that.</summary>
public sealed class OldSegmentTests
{
    private const ulong Term = 6;
    private const long SegmentBytes = 16 << 10;
    private const long PurgeTriggerBytes = 4 * SegmentBytes;

    [Fact]
    public void A_quiet_group_moves_its_few_entries_and_takes_no_snapshot()
    {
        LoneNode node = Node(snapshotMinEntries: 20);
        Follow(node, group: 2, first: 6, last: 15);
        long mostBytes = WriteToGroupOne(node);

        Assert.InRange(mostBytes, PurgeTriggerBytes, PurgeTriggerBytes + (4 * SegmentBytes));
        Assert.InRange(node.Store.Counters.Wal.RewrittenEntries, 10, 1000);
        Assert.Equal(5UL, node.SecondReplica.SnapshotIndex);
        node.Restart();
        Assert.Equal(15UL, node.SecondReplica.DurableLastIndex);
    }

    [Fact]
    public void A_group_with_a_long_log_takes_a_snapshot_instead_although_its_own_limits_ask_for_none()
    {
        LoneNode node = Node(snapshotMinEntries: 500);
        Follow(node, group: 2, first: 6, last: 405);
        long mostBytes = WriteToGroupOne(node);

        Assert.Equal(405UL, node.SecondReplica.SnapshotIndex);
        Assert.InRange(mostBytes, PurgeTriggerBytes, 3 * PurgeTriggerBytes);
        node.Restart();
        Assert.Equal(405UL, node.SecondReplica.DurableLastIndex);
    }

    private static LoneNode Node(ulong snapshotMinEntries) => new(groups: 2, adjust: o => o with
    {
        Wal = new() { SegmentBytes = SegmentBytes, PurgeTriggerBytes = PurgeTriggerBytes },
        SnapshotMinEntries = snapshotMinEntries,
        MaxTrailingEntries = 0,
    });

    /// <summary>A hundred segments of the busy group; the answer is how large the live log has been.</summary>
    private static long WriteToGroupOne(LoneNode node)
    {
        long most = 0;
        for (ulong first = 6; first < 1006; first += 10)
        {
            Follow(node, group: 1, first, last: first + 9);
            node.Pass(50);
            node.Turn();
            node.TurnSnapshots();
            node.Turn();
            most = Math.Max(most, node.Store.Counters.Wal.LiveBytes);
        }

        return most;
    }

    /// <summary>The leader of a group appends no-ops, all committed.</summary>
    private static void Follow(LoneNode node, uint group, ulong first, ulong last)
    {
        Replica replica = group == 1 ? node.Replica : node.SecondReplica;
        Entry[] entries = [.. Enumerable.Range((int)first, (int)(last + 1 - first)).Select(i => LoneNode.NoOp(Term, (ulong)i))];
        ulong previousTerm = first == 6 ? 5 : Term;
        node.Hear(new AppendEntries(new(replica.Id.Value - 1), replica.Id, Term, first - 1, previousTerm, last, entries), group);
        node.Turn();
    }
}
