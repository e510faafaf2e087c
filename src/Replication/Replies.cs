using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>Replies that carry no data. "Not applied" appears here only where it is proved.</summary>
internal static class Replies
{
    public static KvReply Refused(ErrorCode code, string detail, NodeId leader = default, int retryAfterMs = 0) => new()
    {
        Code = code,
        Outcome = Outcome.NotApplied,
        Detail = detail,
        LeaderHint = leader,
        RetryAfterMs = retryAfterMs,
    };

    public static KvReply Overloaded(string what) =>
        Refused(ErrorCode.Overloaded, $"{what}; nothing was written, try again later", retryAfterMs: 100);

    public static KvReply Draining() => Refused(ErrorCode.Draining, "this node is stopping; ask another node", retryAfterMs: 1000);

    public static KvReply NoLeader(GroupId group, NodeId hint) => Refused(
        ErrorCode.NoLeader,
        $"group {group} had no reachable leader before the deadline; nothing was done, try again",
        hint,
        retryAfterMs: 500);

    public static KvReply WrongNode(GroupId group, NodeId hint) => Refused(
        ErrorCode.WrongNode,
        hint.IsNone ? $"this node does not lead group {group}" : $"this node does not lead group {group}; node {hint} does",
        hint);

    public static KvReply Indeterminate(string why) => new()
    {
        Code = ErrorCode.Indeterminate,
        Outcome = Outcome.Unknown,
        Detail = $"{why}; the write may or may not take effect, retry only with the same idempotency id",
    };

    public static KvReply ReadTimeout(GroupId group) => new()
    {
        Code = ErrorCode.Timeout,
        Detail = $"group {group} could not prove the read before the deadline",
        RetryAfterMs = 100,
    };
}
