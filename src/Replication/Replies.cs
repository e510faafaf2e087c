using KvStore.Protocol;
using KvStore.StateMachine;

namespace KvStore.Replication;

/// <summary>
/// Replies that carry no data. "Not applied" appears here only where it is proved. A detail is a sentence, for people: REST, the
/// binary protocol and logs show it as it is.
/// </summary>
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
        Refused(ErrorCode.Overloaded, $"{what}; nothing was written, try again later.", retryAfterMs: 100);

    /// <summary>Said by the leader, of itself or of another member of the group.</summary>
    public static KvReply MemoryShort(string node) => Refused(
        ErrorCode.Overloaded,
        $"The memory of {node} is nearly full; nothing was written. Delete something or give it more (limits.memoryBytes); reads and deletes go on.",
        retryAfterMs: 1000);

    /// <summary>The leader has not heard lately whether a majority has room.</summary>
    public static KvReply RoomUnknown(GroupId group) => Refused(
        ErrorCode.Overloaded, $"The leader of group {group} does not know yet whether its members have room; nothing was written, try again.",
        retryAfterMs: 100);

    /// <summary>A client that numbers its writes and does not say which answers it has.</summary>
    public static KvReply TooMuchUnacknowledged() => Refused(
        ErrorCode.Overloaded,
        $"The results of this client's writes that it has not acknowledged take {KvStateMachine.MaxClientRecordBytes:N0} bytes beside this key; "
            + "nothing was written. Raise ackedBelow with each write, or wait until they are forgotten (10 minutes).",
        retryAfterMs: 1000);

    /// <summary>Of a read: it was not executed, and nobody will see this.</summary>
    public static KvReply Unwanted { get; } = new() { Code = ErrorCode.Timeout, Detail = "Whoever asked has left; it was not read." };

    public static KvReply DiskShort(string node) => Refused(
        ErrorCode.DiskFull,
        $"The disk of {node} is nearly full; nothing was written. Delete something or give it a larger one; reads and deletes go on.");

    public static KvReply DiskFull(string node) => Refused(
        ErrorCode.DiskFull, $"The disk of {node} is full and takes no writes; nothing was written. Make room on it; reads go on.");

    public static KvReply Draining() => Refused(ErrorCode.Draining, "This node is stopping; ask another node.", retryAfterMs: 1000);

    public static KvReply NoLeader(GroupId group, NodeId hint) => Refused(
        ErrorCode.NoLeader,
        $"Group {group} had no reachable leader before the deadline; nothing was done, try again.",
        hint,
        retryAfterMs: 500);

    /// <summary>A member of the group runs a build that could not execute it.</summary>
    public static KvReply NotYetSupported(GroupId group, Operation operation) => Refused(
        ErrorCode.Unsupported,
        $"Not every member of group {group} knows the operation {OperationTable.Find(operation.Youngest.Code)?.Name}; upgrade all nodes, then try again.");

    public static KvReply WrongNode(GroupId group, NodeId hint) => Refused(
        ErrorCode.WrongNode,
        hint.IsNone ? $"This node does not lead group {group}." : $"This node does not lead group {group}; node {hint} does.",
        hint);

    public static KvReply Indeterminate(string why) => new()
    {
        Code = ErrorCode.Indeterminate,
        Outcome = Outcome.Unknown,
        Detail = $"{why}; the write may or may not take effect, retry only with the same idempotency id.",
    };

    /// <summary>The same id is in an entry that is not committed yet: its result will tell, this copy's deadline came first.</summary>
    public static KvReply InFlight() => new()
    {
        Code = ErrorCode.IdempotencyInFlight,
        Outcome = Outcome.Unknown,
        Detail = "The first request under this idempotency id is still being committed; send it again to learn its result.",
        RetryAfterMs = 500,
    };

    /// <summary>Applied, durable on a majority, and promised to be on every voter.</summary>
    public static KvReply NotOnAll(KvReply applied, string when) => applied with
    {
        Code = ErrorCode.NotOnAll,
        Outcome = Outcome.Applied,
        Detail = $"The write is applied and durable on a majority, but not every voter had it {when}.",
    };

    /// <summary>The level cannot be proved here and now. The evidence has the best age there is.</summary>
    public static KvReply TooStale(string why, Evidence best) => new()
    {
        Code = ErrorCode.TooStale,
        Outcome = Outcome.NotApplied,
        Detail = best.AgeMs == Evidence.AgeUnknown
            ? $"{why}; the age of this replica's data is unknown."
            : $"{why}; the data here is at most {best.AgeMs} ms old.",
        Evidence = best,
        RetryAfterMs = 100,
    };

    public static KvReply TokenOfAnotherHistory(GroupId group) => Refused(
        ErrorCode.SessionTokenInvalid,
        $"Group {group} was restored or begun anew since the session token was made; what the session saw is gone, begin a new one.");

    public static KvReply TokenFromFuture(GroupId group, ulong asked, ulong committed) => Refused(
        ErrorCode.SessionTokenInvalid,
        $"The session token has seen entry {asked} of group {group}, which has committed {committed}; "
            + "it was not made by this cluster as it is.");

    public static KvReply ReadTimeout(GroupId group) => new()
    {
        Code = ErrorCode.Timeout,
        Detail = $"Group {group} could not prove the read before the deadline.",
        RetryAfterMs = 100,
    };
}
