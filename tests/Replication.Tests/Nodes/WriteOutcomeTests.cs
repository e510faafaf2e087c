using KvStore.Protocol;

namespace KvStore.Replication.Tests;

/// <summary>What the sender of a write is told when its deadline comes before the whole promise is kept.</summary>
public sealed class WriteOutcomeTests
{
    private static readonly RequestId UserKey = new(Client: 99, Sequence: 0, FirstSentMs: 0, AckedBelow: 0, Digest: 7);

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
        node.Store.Submit(new KvRequest { Operation = KvOperation.Get, Key = "key"u8.ToArray(), Level = ReadLevel.Eventual }, read);
        Assert.True(read.Reply!.Revision >= all.Reply.Revision);
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
            Operation = KvOperation.Put,
            Key = "key"u8.ToArray(),
            Value = "v"u8.ToArray(),
            TimeoutMs = timeoutMs,
            Id = id,
            Ack = ack,
        };
        node.Store.Submit(put, client);
        node.Turn();
        return client;
    }
}
