using KvStore.Protocol;

namespace KvStore.Client.Routing;

internal enum StepKind
{
    /// <summary>The reply is the caller's.</summary>
    Answer,

    /// <summary>Again, at another node if there is one.</summary>
    Elsewhere,

    /// <summary>Again, at the node that was named.</summary>
    ToLeader,

    /// <summary>Again, at any node, when the pause is over.</summary>
    Later,
}

/// <param name="Kind">What comes next.</param>
/// <param name="Free">Nothing was asked of anybody, so nothing is taken from the budget.</param>
/// <param name="Leader">Of ToLeader.</param>
/// <param name="Pause">At least so long, milliseconds.</param>
internal readonly record struct Step(StepKind Kind, bool Free = false, NodeId Leader = default, int Pause = 0);

/// <summary>
/// Where a client goes when an attempt has ended; what the end proves is <see cref="AttemptRule"/>'s to say. A function of its arguments
/// and of nothing else.
/// </summary>
internal static class AttemptStep
{
    /// <summary>The write may have been done by this attempt. No later refusal takes that back.</summary>
    public static bool LeavesUnknown(bool isWrite, in RequestResult result) => AttemptRule.Proves(
        isWrite,
        result.Reply is not null ? AttemptEnd.Answered : result.NeverSent ? AttemptEnd.NotSent : AttemptEnd.Lost,
        result.Reply) == Outcome.Unknown;

    public static Step After(bool isWrite, in RequestResult result) => result.Reply is { } reply
        ? AfterReply(isWrite, reply)
        : result.End switch
        {
            RequestEnd.TooLarge or RequestEnd.Unsupported => new Step(StepKind.Answer),
            RequestEnd.Full => new Step(StepKind.Later, Pause: 5),
            RequestEnd.NotSent or RequestEnd.GoingAway => new Step(StepKind.Elsewhere, Free: true),
            _ => new Step(StepKind.Elsewhere),
        };

    private static Step AfterReply(bool isWrite, KvReply reply) => reply.Code switch
    {
        ErrorCode.WrongNode or ErrorCode.NoLeader when !reply.LeaderHint.IsNone => new Step(StepKind.ToLeader, Leader: reply.LeaderHint),
        ErrorCode.WrongNode or ErrorCode.Draining or ErrorCode.Starting or ErrorCode.TooStale or ErrorCode.NoLeader =>
            new Step(StepKind.Elsewhere),
        ErrorCode.Overloaded or ErrorCode.IdempotencyInFlight => new Step(StepKind.Later, Pause: Math.Max(reply.RetryAfterMs, 1)),
        ErrorCode.Timeout when !isWrite => new Step(StepKind.Elsewhere),
        ErrorCode.Indeterminate when isWrite => new Step(StepKind.Elsewhere),
        _ => new Step(StepKind.Answer),
    };
}
