using System.Buffers;
using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication.Tests;

/// <summary>
/// Frames in perfect form whose numbers are absurd. A message with a number beyond its limit is passed over; one below it is
/// believed, for nobody can tell it from a fact, and must leave the node able to go on.
/// </summary>
public sealed class ExtremeValuesTests
{
    private const ulong Term = 6;
    private const ulong LastIndex = 12;
    private static readonly ReplicaId Peer = new(1);
    private static readonly ReplicaId Self = new(2);

    [Theory]
    [InlineData(Term + RaftNode.MaxTermJump, true)]
    [InlineData(Term + RaftNode.MaxTermJump + 1, false)]
    [InlineData(PeerPayload.MaxTerm, false)]
    public void D1_a_higher_term_is_believed_up_to_the_jump_and_counted_beyond_it(ulong term, bool believed)
    {
        LoneNode node = Following();
        Assert.True(Says(node, new AppendEntries(Peer, Self, term, LastIndex, Term, LastIndex, [])));
        Assert.True(Says(node, new TransferVoteRequest(Peer, Self, term, LastIndex, Term)));
        node.Turn();
        Assert.Equal(believed ? term : Term, node.Replica.View.Term);
        Assert.Equal(believed ? 0 : 2, node.Store.Counters.TermsRefused);

        // What was refused is not on the disk either: the group goes on after a restart.
        node.Restart();
        Assert.Equal(believed ? term : Term, node.Replica.RecoveredHardState.Term);
    }

    [Theory]
    [InlineData(PeerPayload.MaxTerm + 1)]
    [InlineData(ulong.MaxValue)]
    public void A_term_that_no_cluster_can_have_reached_is_no_message(ulong term) =>
        Assert.False(Says(Following(), new AppendEntries(Peer, Self, term, LastIndex, Term, LastIndex, [])));

    [Theory]
    [InlineData(PeerPayload.MaxWallMs, true)]
    [InlineData(PeerPayload.MaxWallMs + 1, false)]
    [InlineData(ulong.MaxValue, false)]
    public void A_wall_clock_passes_up_to_the_limit(ulong wallMs, bool passes) =>
        Assert.Equal(passes, PeerPayload.TryRead(Payload(new TimeoutNow(Peer, Self, Term), wallMs), out _, []));

    [Fact]
    public void Terms_that_fall_within_a_log_are_refused()
    {
        Entry[] falling = [LoneNode.NoOp(5, LastIndex + 1), LoneNode.NoOp(4, LastIndex + 2)];
        Assert.False(Says(Following(), new AppendEntries(Peer, Self, Term, LastIndex, 5, 0, falling)));
        Assert.False(Says(Following(), new AppendEntries(Peer, Self, Term, LastIndex, Term, 0, [LoneNode.NoOp(Term + 1, LastIndex + 1)])));
        Assert.False(Says(Following(), new VoteRequest(Peer, Self, Term, LastIndex, Term + 1)));
    }

    [Fact]
    public void A_configuration_that_claims_more_members_than_a_group_has_allocates_nothing_for_them()
    {
        ReplicaId[] crowd = [.. Enumerable.Range(1, 500_000).Select(id => new ReplicaId((ulong)id))];
        byte[] payload = Payload(new InstallSnapshot(Peer, Self, Term, new SnapshotMetadata(20, Term, 1, ConfState.Of(crowd))), wallMs: 1);
        long least = long.MaxValue;
        for (int i = 0; i < 10; i++)
        {
            // A collection that another test causes ends the thread's allocation block, whose rest then counts.
            long before = GC.GetAllocatedBytesForCurrentThread();
            Assert.True(PeerPayload.TryRead(payload, out PeerPayloadHead head, []));
            Assert.Equal(1, head.SkippedItems);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.InRange(least, 0, 1024);
    }

    [Fact]
    public void An_answer_to_a_round_that_was_never_started_proves_no_read()
    {
        LoneNode node = Following();
        ulong term = node.LeadWithVotesOfNode1();
        Assert.True(Says(node, new AppendAccepted(Peer, Self, term, node.Replica.DurableLastIndex)));
        node.Turn();
        node.HearAnswer(term, ulong.MaxValue);
        var reader = new WaitingClient();
        node.Store.Submit(new KvRequest { Operation = new Get("k"u8) }, reader);
        node.Turn();
        Assert.Null(reader.Reply);

        node.HearAnswer(term, node.LastRoundSent());
        node.Turn();
        Assert.NotNull(reader.Reply);
    }

    [Fact]
    public void Extreme_values_in_well_formed_frames_trip_no_invariant_and_change_nothing_committed()
    {
        int accepted = 0;
        int refused = 0;
        for (int seed = 0; seed < 60; seed++)
        {
            var random = new Random(seed);
            LoneNode node = Following();
            if (seed % 2 == 1)
            {
                node.LeadWithVotesOfNode1();
            }

            for (int frame = 0; frame < 40; frame++)
            {
                ulong term = node.Replica.View.Term;
                Message message = Draw(random, node);
                try
                {
                    bool passes = Says(node, message);
                    node.Turn();
                    (accepted, refused) = passes ? (accepted + 1, refused) : (accepted, refused + 1);
                    Assert.True(passes || node.Replica.View.Term == term);
                    Assert.True(node.Replica.View.Term <= PeerPayload.MaxTerm + 1);
                    Assert.True(node.Replica.DurableLastIndex >= LastIndex);
                    Assert.Equal(Term, node.Replica.DurableTermAt(LastIndex));
                }
                catch (Exception e)
                {
                    throw new InvalidOperationException($"seed {seed}, frame {frame}: {message}", e);
                }
            }
        }

        Assert.True(accepted > 100, $"{accepted} frames were accepted");
        Assert.True(refused > 1000, $"{refused} frames were refused");
    }

    /// <summary>A follower of node 1 that has applied entries 6 to 12.</summary>
    private static LoneNode Following()
    {
        var node = new LoneNode();
        Entry[] entries = [.. Enumerable.Range(6, 7).Select(index => LoneNode.NoOp(Term, (ulong)index))];
        Assert.True(Says(node, new AppendEntries(Peer, Self, Term, 5, 5, LastIndex, entries)));
        node.Turn();
        Assert.Equal(LastIndex, node.Replica.DurableLastIndex);
        return node;
    }

    private static Message Draw(Random random, LoneNode node)
    {
        ulong now = node.Replica.View.Term;
        ulong[] terms = [0, Term, now, now + 1, now + RaftNode.MaxTermJump, PeerPayload.MaxTerm, PeerPayload.MaxTerm + 1, ulong.MaxValue];
        ulong[] indices = [0, 5, LastIndex, LastIndex + 1, PeerPayload.MaxIndex, PeerPayload.MaxIndex + 1, 1UL << 63, ulong.MaxValue];
        ulong[] clocks = [1, PeerPayload.MaxClock, PeerPayload.MaxClock + 1, ulong.MaxValue];
        ulong AnyTerm() => terms[random.Next(terms.Length)];
        ulong AnyIndex() => indices[random.Next(indices.Length)];
        Entry AnyEntry() => new(AnyTerm(), 0, EntryKind.NoOp, 0, clocks[random.Next(clocks.Length)], uint.MaxValue, default);
        bool Flag() => random.Next(2) == 0;

        // A leader's word goes at random terms above ours only: two leaders in one term are no number, but the end of safety.
        ulong leaderTerm = node.Replica.IsLeader ? node.Replica.View.Term + (ulong)random.Next(1, 3) : AnyTerm();

        // A commit index in a heartbeat that is possible and above our log says that we lost what we acknowledged: that must stop us.
        ulong[] commits = [0, LastIndex, PeerPayload.MaxIndex + 1, ulong.MaxValue];
        return random.Next(16) switch
        {
            0 => new AppendEntries(Peer, Self, leaderTerm, AnyIndex(), AnyTerm(), AnyIndex(), [AnyEntry()]),
            1 => new AppendEntries(Peer, Self, leaderTerm, AnyIndex(), AnyTerm(), AnyIndex(), []),
            2 => new AppendAccepted(Peer, Self, AnyTerm(), AnyIndex()),
            10 => new AppendRejected(Peer, Self, AnyTerm(), AnyIndex(), AnyIndex(), AnyTerm()),
            3 => new VoteRequest(Peer, Self, AnyTerm(), AnyIndex(), AnyTerm()),
            11 => new PreVoteRequest(Peer, Self, AnyTerm(), AnyIndex(), AnyTerm()),
            12 => new TransferVoteRequest(Peer, Self, AnyTerm(), AnyIndex(), AnyTerm()),
            4 => new VoteRefused(Peer, Self, AnyTerm(), AnyIndex(), AnyTerm()),
            13 => new PreVoteRefused(Peer, Self, AnyTerm(), AnyIndex(), AnyTerm()),
            14 => Flag() ? new VoteGranted(Peer, Self, AnyTerm()) : new PreVoteGranted(Peer, Self, AnyTerm()),
            5 => new ReadIndexRequest(Peer, Self, AnyTerm(), AnyIndex()),
            6 => new ReadIndexResponse(Peer, Self, AnyTerm(), AnyIndex(), AnyIndex()),
            7 => new InstallSnapshot(
                Peer, Self, leaderTerm, new SnapshotMetadata(AnyIndex(), AnyTerm(), clocks[random.Next(clocks.Length)], ConfState.Of(Peer))),
            8 => new Heartbeat(Peer, Self, leaderTerm, commits[random.Next(commits.Length)], AnyIndex()),
            9 => new HeartbeatResponse(Peer, Self, AnyTerm(), AnyIndex()),
            _ => new TimeoutNow(Peer, Self, AnyTerm()),
        };
    }

    /// <summary>Whether the message was taken; the connection is kept either way.</summary>
    private static bool Says(LoneNode node, Message message)
    {
        long skipped = node.Store.Counters.PeerItemsSkipped;
        node.HearPayload(Payload(message, node.Store.Shared.Clock.WallMs()));
        return node.Store.Counters.PeerItemsSkipped == skipped;
    }

    private static byte[] Payload(Message message, ulong wallMs)
    {
        var items = new ArrayBufferWriter<byte>();
        (byte kind, ulong[] extra) = message switch
        {
            Heartbeat heartbeat => (PeerPayload.HeartbeatsKind, new[] { heartbeat.Round }),
            HeartbeatResponse => (PeerPayload.AnswersKind, new[] { 1UL, 1UL }),
            _ => (PeerPayload.MessagesKind, Array.Empty<ulong>()),
        };
        switch (message)
        {
            case Heartbeat heartbeat:
                PeerPayload.WriteHeartbeat(items, new GroupId(1), 1, heartbeat, lowestMatch: heartbeat.Commit);
                break;
            case HeartbeatResponse answer:
                PeerPayload.WriteAnswer(items, new GroupId(1), 1, answer);
                break;
            default:
                PeerPayload.WriteMessage(items, new GroupId(1), 1, message);
                break;
        }

        return LoneNode.Payload(kind, wallMs, extra, items);
    }
}
