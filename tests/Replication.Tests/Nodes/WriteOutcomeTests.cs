using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication.Tests;

/// <summary>What the sender of a write is told when its deadline comes before the whole promise is kept.</summary>
public sealed class WriteOutcomeTests
{
    private static readonly RequestId UserKey = new(Client: 99, Sequence: 0, FirstSentMs: 0, AckedBelow: 0, new RequestDigest(DigestAlgorithm.Body, 7));

    [Fact]
    public void A_copy_whose_deadline_comes_before_the_first_is_committed_is_told_that_it_is_in_flight()
    {
        LoneNode node = Leading();
        WaitingClient first = Put(node, timeoutMs: 60_000, UserKey);
        WaitingClient copy = Put(node, timeoutMs: 200, UserKey);
        node.Pass(250);
        node.Turn();
        Assert.Null(first.Reply);
        Assert.Equal((ErrorCode.IdempotencyInFlight, Outcome.Unknown, 0U), (copy.Reply!.Code, copy.Reply.Outcome, copy.Reply.History));

        node.HearAcknowledgement();
        WaitingClient later = Put(node, timeoutMs: 1000, UserKey);
        node.HearAcknowledgement();
        Assert.Equal((ErrorCode.None, Outcome.Applied), (first.Reply!.Code, first.Reply.Outcome));
        Assert.Equal((ErrorCode.None, first.Reply.Revision), (later.Reply!.Code, later.Reply.Revision));
    }

    [Fact]
    public void The_first_itself_is_indeterminate_when_its_deadline_comes()
    {
        LoneNode node = Leading();
        WaitingClient first = Put(node, timeoutMs: 200, UserKey);
        WaitingClient other = Put(node, timeoutMs: 200, UserKey with { Client = 100 });
        node.Pass(250);
        node.Turn();
        Assert.Equal((ErrorCode.Indeterminate, Outcome.Unknown), (first.Reply!.Code, first.Reply.Outcome));
        Assert.Equal(ErrorCode.Indeterminate, other.Reply!.Code);
    }

    [Fact]
    public void A_write_for_all_is_applied_and_not_on_all_while_one_voter_is_silent()
    {
        LoneNode node = Leading();
        WaitingClient all = Put(node, timeoutMs: 200, UserKey, WriteAck.All);
        WaitingClient majority = Put(node, timeoutMs: 200, UserKey with { Client = 100 });
        node.HearAcknowledgement();
        Assert.Equal(ErrorCode.None, majority.Reply!.Code);
        Assert.Null(all.Reply); // node 3 has said nothing

        node.Pass(250);
        node.Turn();
        Assert.Equal((ErrorCode.NotOnAll, Outcome.Applied), (all.Reply!.Code, all.Reply.Outcome));
        Assert.NotEqual(0UL, all.Reply.Revision);

        // Applied is applied: it belongs into the session and can be read.
        Assert.NotEqual(0U, all.Reply.History);
        WaitingClient read = new();
        node.Store.Submit(new KvRequest { Operation = new Get("key"u8), Read = ReadTerms.Eventual }, read);
        Assert.True(read.Reply!.Revision >= all.Reply.Revision);
    }

    [Fact]
    public void Writes_for_all_are_answered_as_far_as_every_voter_has_come()
    {
        LoneNode node = Leading();
        WaitingClient first = Put(node, timeoutMs: 60_000, UserKey, WriteAck.All);
        ulong hasFirst = node.Replica.DurableLastIndex;
        WaitingClient soon = Put(node, timeoutMs: 200, UserKey with { Client = 100 }, WriteAck.All);
        WaitingClient last = Put(node, timeoutMs: 60_000, UserKey with { Client = 101 }, WriteAck.All);
        node.HearAcknowledgement();
        node.Hear(new AppendAccepted(LoneNode.IdOf(3), node.Replica.Id, node.Replica.View.Term, hasFirst));
        node.Turn();
        Assert.Equal(ErrorCode.None, first.Reply!.Code);
        Assert.Null(soon.Reply);

        node.Pass(250);
        node.Turn();
        Assert.Equal(ErrorCode.NotOnAll, soon.Reply!.Code);
        Assert.Null(last.Reply);
        node.Hear(new AppendAccepted(LoneNode.IdOf(3), node.Replica.Id, node.Replica.View.Term, node.Replica.DurableLastIndex));
        node.Turn();
        Assert.Equal(ErrorCode.None, last.Reply!.Code);
    }

    /// <summary>A snapshot may contain the write: that its second copy is refused does not prove it was not applied.</summary>
    [Fact]
    public void A_refusal_after_a_snapshot_took_the_place_of_the_entry_is_indeterminate()
    {
        LoneNode node = Leading();
        ulong nextTerm = node.Replica.View.Term + 1;
        WaitingClient put = Put(node, timeoutMs: 60_000, UserKey);
        (SnapshotMetadata snapshot, byte[] piece) = SnapshotOfNode3.Take(nextTerm);
        node.Hear(new InstallSnapshot(LoneNode.IdOf(1), node.Replica.Id, nextTerm, snapshot));
        node.Turn();
        node.TurnSnapshots();
        node.HearPayload(piece);
        node.TurnSnapshots();
        node.InstallFetched();
        Assert.Equal(snapshot.Index, node.Replica.SnapshotIndex);
        RefuseForwarded(node);
        Assert.Equal((ErrorCode.Indeterminate, Outcome.Unknown), (put.Reply!.Code, put.Reply.Outcome));
    }

    /// <summary>
    /// The entry is cut from this log before it is committed or another in its place is; elsewhere a copy may live, and win.
    /// </summary>
    [Fact]
    public void A_refusal_after_the_entry_was_cut_from_the_log_is_indeterminate()
    {
        LoneNode node = Leading();
        ulong term = node.Replica.View.Term;
        ulong last = node.Replica.DurableLastIndex;
        Put(node, timeoutMs: 60_000, UserKey with { Client = 100 });
        WaitingClient put = Put(node, timeoutMs: 60_000, UserKey);
        node.Hear(new AppendEntries(LoneNode.IdOf(1), node.Replica.Id, term + 1, last, term, last, [LoneNode.NoOp(term + 1, last + 1)]));
        node.Turn();
        Assert.Equal(term + 2, node.LeadWithVotesOfNode1());
        Entry[] others = [.. Enumerable.Range(1, 3).Select(i => LoneNode.NoOp(term + 3, last + 1 + (ulong)i))];
        node.Hear(new AppendEntries(LoneNode.IdOf(1), node.Replica.Id, term + 3, last + 1, term + 1, others[^1].Index, others));
        node.Turn();
        RefuseForwarded(node);
        Assert.Equal((ErrorCode.Indeterminate, Outcome.Unknown), (put.Reply!.Code, put.Reply.Outcome));
    }

    /// <summary>Node 1 leads by now, and has no room for anything it is passed.</summary>
    private static void RefuseForwarded(LoneNode node)
    {
        node.Pass(50);
        node.Turn();
        Assert.NotEmpty(node.Forwarded);
        node.Forwarded.ForEach(f => f.Completion.Replied(Replies.Overloaded("Node 1 has no room")));
        node.Turn();
    }

    private static LoneNode Leading()
    {
        var node = new LoneNode();
        node.LeadWithVotesOfNode1();
        node.HearAcknowledgement();
        return node;
    }

    private static WaitingClient Put(LoneNode node, int timeoutMs, RequestId id, WriteAck ack = WriteAck.Majority)
    {
        var client = new WaitingClient();
        var put = new KvRequest
        {
            Operation = new Put("key"u8, "v"u8),
            TimeoutMs = timeoutMs,
            Id = id,
            Ack = ack,
        };
        node.Store.Submit(put, client);
        node.Turn();
        return client;
    }
}
