namespace KvStore.Protocol;

public enum ServedRole : byte
{
    Leader = 1,
    Follower = 2,
    Learner = 3,
}

/// <summary>How the answer came about. Numbers are on the wire.</summary>
public enum ServedPath : byte
{
    Local = 0,
    Waited = 1,
    Forwarded = 2,
}

/// <summary>
/// What the serving replica says about its answer: at most 40 bytes on the wire. A number that is not proved is never sent:
/// <see cref="AgeMs"/> is <see cref="AgeUnknown"/> then.
/// </summary>
public readonly record struct Evidence(
    ReadLevel Level, uint AgeMs, GroupId Group, ulong Term, ulong Applied, NodeId Node, ServedRole Role, ServedPath Path)
{
    public const uint AgeUnknown = uint.MaxValue;
}

/// <summary>
/// How far behind a replica was: at the moment AgeMs ago, at most Entries log entries were committed in the group that it did not
/// show. A count alone would say nothing, for a replica that hears from nobody does not know what it lacks.
/// </summary>
public readonly record struct ReplicaLag(ulong Entries, uint AgeMs);

/// <summary>
/// The answer to a <see cref="KvRequest"/>. <see cref="Code"/> None is success; what <see cref="IsExecuted"/> carries evidence;
/// the rest executed nothing, or nobody knows (<see cref="Outcome"/>). TooStale carries evidence, too: the best age there was.
/// </summary>
public sealed record KvReply
{
    public ErrorCode Code { get; init; }
    public Outcome Outcome { get; init; }

    /// <summary>What the operation came to; null when it came to nothing.</summary>
    public Result? Result { get; init; }

    /// <summary>Who served it and how fresh it is; null when no group was touched.</summary>
    public Evidence? Evidence { get; init; }

    /// <summary>For a bounded read that asked for a largest lag.</summary>
    public ReplicaLag? Lag { get; init; }

    /// <summary>
    /// History of the evidence's group, for the session token; 0 when no token may be made from this reply: nothing was executed,
    /// or nobody knows.
    /// </summary>
    public uint History { get; init; }

    /// <summary>On WrongNode, NoLeader: who leads, as far as the answering node knows.</summary>
    public NodeId LeaderHint { get; init; }

    /// <summary>What went wrong and what to do, in a sentence; null on success.</summary>
    public string? Detail { get; init; }

    public int RetryAfterMs { get; init; }

    /// <summary>
    /// The group has carried it out, whatever it came to: that belongs into a session, and no other copy under its id can come to anything
    /// else. TooLarge is of both kinds: with a result an append came to it, without one the request was refused.
    /// </summary>
    public bool IsExecuted => Code is
            ErrorCode.None or ErrorCode.KeyNotFound or ErrorCode.ConditionFailed or ErrorCode.NotANumber or ErrorCode.NotOnAll
        || (Code == ErrorCode.TooLarge && Result is not null);

    /// <summary>Routing epoch of the answering node.</summary>
    public ulong Epoch { get; init; }

    /// <summary>
    /// Revision of the key: of the value read, of the write applied, or the current one on ConditionFailed. 0 when absent.
    /// </summary>
    public ulong Revision => Result?.Revision ?? 0;
}
