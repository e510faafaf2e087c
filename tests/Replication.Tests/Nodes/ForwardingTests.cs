using KvStore.Protocol;

namespace KvStore.Replication.Tests;

/// <summary>What the answer to a forwarded write may say when an earlier attempt has vanished and could still execute.</summary>
public sealed class ForwardingTests
{
    private static readonly KvRequest Put = new() { Operation = new Put("k"u8, default), TimeoutMs = 5000, Id = new RequestId(5, 1, 0, 0) };

    public static TheoryData<ErrorCode> RefusalsOfThisAttempt => [ErrorCode.Overloaded, ErrorCode.InvalidRequest, ErrorCode.IdempotencyReused];

    [Theory]
    [MemberData(nameof(RefusalsOfThisAttempt))]
    public void A_refusal_after_an_attempt_that_vanished_is_indeterminate(ErrorCode refusal)
    {
        KvReply reply = AnswerAfter(first => first.Lost(notSent: false), Refused(refusal));
        Assert.Equal((ErrorCode.Indeterminate, Outcome.Unknown), (reply.Code, reply.Outcome));
    }

    [Theory]
    [MemberData(nameof(RefusalsOfThisAttempt))]
    public void A_refusal_after_an_attempt_whose_outcome_is_unknown_is_indeterminate(ErrorCode refusal)
    {
        KvReply reply = AnswerAfter(first => first.Replied(Replies.Indeterminate("its leader changed")), Refused(refusal));
        Assert.Equal((ErrorCode.Indeterminate, Outcome.Unknown), (reply.Code, reply.Outcome));
    }

    [Theory]
    [MemberData(nameof(RefusalsOfThisAttempt))]
    public void A_refusal_after_an_attempt_that_was_never_sent_is_passed_on(ErrorCode refusal)
    {
        KvReply reply = AnswerAfter(first => first.Lost(notSent: true), Refused(refusal));
        Assert.Equal((refusal, Outcome.NotApplied), (reply.Code, reply.Outcome));
    }

    /// <summary>With a result it is what the write came to when it was executed; without, a node would not take the request.</summary>
    [Fact]
    public void A_value_that_was_too_large_at_execution_is_passed_on_whatever_vanished_before()
    {
        KvReply refused = Refused(ErrorCode.TooLarge);
        KvReply reply = AnswerAfter(first => first.Lost(notSent: false), refused with { Result = new Current(7) });
        Assert.Equal((ErrorCode.TooLarge, Outcome.NotApplied), (reply.Code, reply.Outcome));
        Assert.Equal(ErrorCode.Indeterminate, AnswerAfter(first => first.Lost(notSent: false), refused).Code);
    }

    /// <summary>Its outcome is stored under the id of the request: no other copy can have another.</summary>
    [Fact]
    public void A_failed_condition_is_passed_on_whatever_vanished_before()
    {
        KvReply reply = AnswerAfter(first => first.Lost(notSent: false), Refused(ErrorCode.ConditionFailed));
        Assert.Equal((ErrorCode.ConditionFailed, Outcome.NotApplied), (reply.Code, reply.Outcome));
    }

    /// <summary>
    /// Found by the simulation (seeds 300329, 300379 and 300406 at 0462358): a write at a node without a replica waited for a leader that
    /// was cut off until its own deadline.
    /// </summary>
    [Fact]
    public void A_node_that_says_nothing_is_asked_once_and_then_another_one_under_the_same_id()
    {
        var node = new LoneNode(self: 4, nodes: 5);
        var client = new WaitingClient();
        node.Store.Submit(Put with { Id = null }, client);
        node.Turn();
        (NodeId silent, KvRequest first, IForwardCompletion late) = Assert.Single(node.Forwarded);
        for (int i = 0; i < 25 && node.Forwarded.Count == 1; i++)
        {
            node.Pass(50);
            node.Turn();
        }

        Assert.Equal(2, node.Forwarded.Count);
        Assert.NotEqual(silent, node.Forwarded[1].To);
        Assert.NotNull(first.Id);
        Assert.Equal(first.Id, node.Forwarded[1].Request.Id);

        // Its hint at the silent one is not followed now.
        node.Forwarded[1].Completion.Replied(Replies.WrongNode(new GroupId(1), silent));
        node.Turn();
        node.Pass(50);
        node.Turn();
        Assert.Equal(3, node.Forwarded.Count);
        Assert.NotEqual(silent, node.Forwarded[2].To);
        node.Forwarded[2].Completion.Replied(new KvReply { Result = new Found(7, new byte[1]) });
        late.Replied(new KvReply { Result = new Found(7, new byte[1]) });
        node.Turn();
        Assert.Equal(7UL, client.Reply!.Revision);
    }

    [Fact]
    public void A_node_that_was_silent_and_answers_again_is_trusted_again()
    {
        var node = new LoneNode(self: 4, nodes: 5);
        node.Store.Submit(Put, new WaitingClient());
        node.Turn();
        (NodeId silent, _, IForwardCompletion late) = Assert.Single(node.Forwarded);
        node.Pass(1100);
        node.Turn();
        late.Replied(new KvReply { Result = new Found(7, new byte[1]) });
        node.Turn();

        var client = new WaitingClient();
        node.Store.Submit(Put with { Id = new RequestId(9, 1, 0, 0) }, client);
        node.Turn();
        node.Forwarded[^1].Completion.Replied(Replies.WrongNode(new GroupId(1), silent));
        node.Turn();
        Assert.Equal(silent, node.Forwarded[^1].To);
    }

    private static KvReply Refused(ErrorCode code) => new() { Code = code, Outcome = Outcome.NotApplied };

    private static KvReply AnswerAfter(Action<IForwardCompletion> endFirst, KvReply second)
    {
        var node = new LoneNode(self: 4, nodes: 5);
        var client = new WaitingClient();
        node.Store.Submit(Put, client);
        node.Turn();
        endFirst(Assert.Single(node.Forwarded).Completion);
        node.Turn();
        node.Pass(50);
        node.Turn();
        Assert.Equal(2, node.Forwarded.Count);
        Assert.Null(client.Reply);
        node.Forwarded[^1].Completion.Replied(second);
        node.Turn();
        Assert.NotNull(client.Reply);
        return client.Reply;
    }
}
