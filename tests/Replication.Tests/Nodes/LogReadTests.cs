using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;

namespace KvStore.Replication.Tests;

/// <summary>Entries that a leader no longer has in memory are read from the disk by its loop: so many bytes in a turn.</summary>
public sealed class LogReadTests
{
    private const ulong Term = 6;
    private const int Entries = 120;
    private const int PayloadBytes = 100_000;
    private static readonly ReplicaId Far = LoneNode.IdOf(3);

    [Fact]
    public void B10_a_follower_that_is_far_behind_makes_no_turn_read_more_of_the_log_than_its_share()
    {
        LoneNode node = LeaderWithNothingInMemory();
        ulong term = node.Replica.View.Term;
        ulong last = node.Replica.DurableLastIndex;
        long before = node.Disk.Counters.BytesRead;

        // Its window takes all of the log at once.
        node.Hear(new AppendRejected(Far, node.Replica.Id, term, last - 1, HintIndex: 5, HintTerm: 5));
        long most = 0;
        ulong round = node.LastRoundSent();
        ulong acknowledged = 5;
        for (int turn = 0; turn < 2_000 && acknowledged < last; turn++)
        {
            long atStart = node.Disk.Counters.BytesRead;
            node.Store.Loops[0].RunOnce();
            most = Math.Max(most, node.Disk.Counters.BytesRead - atStart);
            ulong known = acknowledged;
            foreach (AppendEntries append in node.SentMessages().OfType<AppendEntries>().Where(m => m.To == Far && m.PrevIndex <= acknowledged))
            {
                acknowledged = Math.Max(acknowledged, append.PrevIndex + (ulong)append.Entries.Count);
            }

            round = Math.Max(round, node.LastRoundSent());
            node.Sent.Clear();
            if (acknowledged > known)
            {
                node.Hear(new AppendAccepted(Far, node.Replica.Id, term, acknowledged));
            }
            else
            {
                node.Pass(50);
                node.HearAnswer(term, round, from: 3);
            }
        }

        Assert.True(acknowledged == last, $"{acknowledged} of {last} were sent");
        Assert.True(node.Disk.Counters.BytesRead - before >= Entries * PayloadBytes, "the entries were in memory");
        Assert.InRange(most, PayloadBytes, LoopWrites.MaxLogReadBytesPerTurn + new RaftConfig { Id = Far, Seed = 1 }.MaxAppendBytes);
    }

    /// <summary>A restart remembers no entry.</summary>
    private static LoneNode LeaderWithNothingInMemory()
    {
        var node = new LoneNode();
        var put = new CommandBatchWriter(node.Options.Routing.VirtualNodeCount);
        put.Add(new Put("k"u8, new byte[PayloadBytes]), null, FeatureLevel.First);
        ReadOnlyMemory<byte> payload = put.TakePayload();
        for (int first = 6; first < 6 + Entries; first += 10)
        {
            Entry[] entries = [.. Enumerable.Range(first, 10).Select(
                index => LoneNode.NoOp(Term, (ulong)index) with { Kind = EntryKind.Command, Payload = payload })];
            node.Hear(new AppendEntries(
                LoneNode.IdOf(1), node.Replica.Id, Term, (ulong)first - 1, first == 6 ? 5 : Term, (ulong)first + 9, entries));
            node.Turn();
        }

        node.Restart();
        node.LeadWithVotesOfNode1();
        node.HearAcknowledgement();
        node.Turn();
        Assert.Equal(node.Replica.DurableLastIndex, node.Replica.Table.AppliedIndex);
        node.Sent.Clear();
        return node;
    }
}
