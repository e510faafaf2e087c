using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;

namespace KvStore.Replication.Tests;

/// <summary>A node that was just started has its whole log to apply, and is asked for its vote meanwhile.</summary>
public sealed class ReplayTests
{
    private const ulong Term = 6;
    private const int Groups = 16;
    private const int Entries = 300;
    private const int PayloadBytes = 1000;

    [Fact]
    public void A_turn_replays_no_more_for_many_groups_than_for_one()
    {
        var node = new LoneNode(groups: Groups);
        for (uint group = 1; group <= Groups; group++)
        {
            Follow(node, group);
        }

        node.Restart();
        long inTurn = 0, most = 0, sum = 0;
        node.Store.Shared.Events.Applied = (_, _, entry) => inTurn += entry.ChargedBytes;
        for (bool more = true; more;)
        {
            more = node.Store.Loops[0].RunOnce();
            (most, sum, inTurn) = (Math.Max(most, inTurn), sum + inTurn, 0);
        }

        // One entry may go beyond the share of its group.
        Assert.True(sum > Groups * Entries * PayloadBytes, $"only {sum} bytes were replayed");
        Assert.InRange(most, 1, Replica.MaxApplyBytesPerTurn + (Groups * 2 * PayloadBytes));
    }

    /// <summary>The leader of a group appends large entries, all committed.</summary>
    private static void Follow(LoneNode node, uint group)
    {
        ReplicaId self = node.ReplicaOf(group).Id;
        var put = new CommandBatchWriter(Groups);
        put.Add(new Put("k"u8, new byte[PayloadBytes]), null, FeatureLevel.First);
        ReadOnlyMemory<byte> payload = put.TakePayload();
        Entry[] entries = [.. Enumerable.Range(6, Entries).Select(
            index => LoneNode.NoOp(Term, (ulong)index) with { Kind = EntryKind.Command, Payload = payload })];
        node.Hear(new AppendEntries(LoneNode.IdOf(1, group), self, Term, 5, 5, (ulong)(5 + Entries), entries), group);
        node.Turn();
    }
}
