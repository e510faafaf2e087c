namespace KvStore.Protocol;

/// <summary>The promise a read asks for (docs/consistency.md). Numbers are on the wire.</summary>
public enum ReadLevel : byte
{
    Strong = 0,
    Bounded = 1,
    Session = 2,
    Eventual = 3,
}

/// <summary>
/// What happens to a read when the replica that looks at it cannot give the proof its level asks for. Numbers are on the wire.
/// </summary>
public enum OnUnmet : byte
{
    /// <summary>The leader is asked for a fresh proof, or another replica for the answer.</summary>
    Forward = 0,

    /// <summary>The read fails, with the best age known.</summary>
    Fail = 1,

    /// <summary>The read is answered all the same; the evidence says which level was really met.</summary>
    Serve = 2,
}

/// <summary>Who must have a write on disk before it is answered. Numbers are on the wire.</summary>
public enum WriteAck : byte
{
    Majority = 0,

    /// <summary>Every voter. When one does not come in time: NotOnAll, outcome applied.</summary>
    All = 1,
}

public enum ConditionKind : byte
{
    None = 0,

    /// <summary>The key exists and has this revision.</summary>
    RevisionIs = 1,

    /// <summary>The key exists (If-Match: *).</summary>
    Exists = 2,

    /// <summary>The key does not exist (If-None-Match: *).</summary>
    Absent = 3,
}

public readonly record struct KvCondition(ConditionKind Kind, ulong Revision = 0)
{
    public static readonly KvCondition None;
}

/// <summary>
/// Identity of one write, the same on every retry. Client and Sequence name it; for a user-chosen key Client is the first
/// 16 bytes of SHA-256 over (principal, method, first key, key) and Sequence is 0.
/// </summary>
/// <param name="Client">Random id of the client process, or the hash of a user-chosen key.</param>
/// <param name="Sequence">Counts up from 1 within a client; 0 for a user-chosen key.</param>
/// <param name="FirstSentMs">Unix milliseconds of the first sending; 0 when unknown (the group's time at first apply is taken).</param>
/// <param name="AckedBelow">Lowest sequence of this client without a reply; 0 for a user-chosen key.</param>
/// <param name="Digest">Of what is asked, for a user-chosen key: another request under the same key is refused. Default: none.</param>
public readonly record struct RequestId(UInt128 Client, ulong Sequence, ulong FirstSentMs, ulong AckedBelow, RequestDigest Digest = default);

/// <summary>What a session has seen of one group: a replica serves it from this index on, in this history. Default: nothing.</summary>
/// <param name="Applied">Index of an applied entry.</param>
/// <param name="History">Of the group when the token was made (<see cref="SessionToken"/>); 0 while it has none, and nothing was there to see.</param>
public readonly record struct SessionPoint(ulong Applied, uint History)
{
    public bool IsNone => Applied == 0 || History == 0;
}

/// <summary>What a read must prove, and what happens when this replica cannot.</summary>
public sealed record ReadTerms
{
    public static readonly ReadTerms Strong = new();
    public static readonly ReadTerms Eventual = new() { Level = ReadLevel.Eventual };

    public ReadLevel Level { get; init; }

    /// <summary>Level bounded: the largest age served, milliseconds; 0 when only <see cref="MaxLag"/> bounds it.</summary>
    public int MaxStalenessMs { get; init; }

    /// <summary>Level bounded: log entries by which the replica may be behind what it knows to be committed; null when not asked.</summary>
    public ulong? MaxLag { get; init; }

    public OnUnmet OnUnmet { get; init; }
}

/// <summary>
/// What a reader must understand of a request before it may do anything with it. A node that finds a bit it does not know answers
/// Unsupported, not applied. Bits travel only on connections of feature level 2 and above: an older node would pass over them.
/// </summary>
[Flags]
public enum Requirements : ulong
{
    None = 0,

    /// <summary>The request names whom it is made for. Reserved.</summary>
    Principal = 1 << 0,

    /// <summary>The request names a namespace for its keys. Reserved.</summary>
    Namespace = 1 << 1,
}

/// <summary>
/// One request, whatever door it came through: REST, binary, or another node: an operation, and on which terms it is asked.
/// Immutable; it owns its bytes (copied once out of the frame).
/// </summary>
public sealed record KvRequest
{
    public required Operation Operation { get; init; }

    /// <summary>Of a read; a write does not look at them.</summary>
    public ReadTerms Read { get; init; } = ReadTerms.Strong;

    /// <summary>Of a write.</summary>
    public WriteAck Ack { get; init; }

    /// <summary>
    /// What the caller's session has seen of this key's group. A write names it, too, so that a token of another history is
    /// noticed.
    /// </summary>
    public SessionPoint Session { get; init; }

    /// <summary>Null for reads; a write that has none gets one from the node that received it.</summary>
    public RequestId? Id { get; init; }

    /// <summary>Time left when the request was sent, milliseconds. The receiver counts down on its own clock.</summary>
    public int TimeoutMs { get; init; } = 5000;

    /// <summary>
    /// How often nodes may pass the request on. With 0 a node that does not lead answers WrongNode with its leader hint; with 1 it asks the
    /// leader; with 2 it also asks another node, which asks the leader, when it cannot reach that one itself.
    /// </summary>
    public byte HopsLeft { get; init; } = 1;

    /// <summary>What a request through REST has, and no request has more.</summary>
    public const byte MostHops = 2;

    /// <summary>Routing epoch of the sender; 0 when it has none.</summary>
    public ulong Epoch { get; init; }

    /// <summary>Bits that this build does not know are kept as they are, and the request is refused.</summary>
    public Requirements Requires { get; init; }

    public ReadOnlyMemory<byte> Key => Operation.Key;

    public bool IsWrite => Operation is WriteOperation;
}
