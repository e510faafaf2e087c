using KvStore.Protocol;

namespace KvStore.Replication.Tests;

/// <summary>What the answer to a forwarded write may say when an earlier attempt has vanished and could still execute.</summary>
public sealed class ForwardingTests
{
    private static readonly KvRequest Put = new() { Operation = KvOperation.Put, Key = "k"u8.ToArray(), TimeoutMs = 5000 };

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

    /// <summary>Its outcome is stored under the id of the request: no other copy can have another.</summary>
    [Fact]
    public void A_failed_condition_is_passed_on_whatever_vanished_before()
    {
        KvReply reply = AnswerAfter(first => first.Lost(notSent: false), Refused(ErrorCode.ConditionFailed));
        Assert.Equal((ErrorCode.ConditionFailed, Outcome.NotApplied), (reply.Code, reply.Outcome));
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
