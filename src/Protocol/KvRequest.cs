namespace KvStore.Protocol;

/// <summary>What a request asks. Numbers are on the wire.</summary>
public enum KvOperation : byte
{
    Get = 1,
    Put = 2,
    Delete = 3,
    Increment = 4,

    /// <summary>Several writes of one group, applied as one.</summary>
    Batch = 5,
}

/// <summary>The promise a read asks for (docs/consistency.md). Numbers are on the wire.</summary>
public enum ReadLevel : byte
{
    Strong = 0,
    Bounded = 1,
    Session = 2,
    Eventual = 3,
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
/// <param name="Digest">First 8 bytes of SHA-256 of the payload for a user-chosen key, else 0: another payload under the same key is refused.</param>
public readonly record struct RequestId(UInt128 Client, ulong Sequence, ulong FirstSentMs, ulong AckedBelow, ulong Digest);

/// <summary>
/// One request, whatever door it came through: REST, binary, or another node. Immutable; key and value bytes are owned by it
/// (copied once out of the frame).
/// </summary>
public sealed record KvRequest
{
    public required KvOperation Operation { get; init; }

    /// <summary>1…2,048 bytes. For a batch: the first key, which decides the group and holds the idempotency record.</summary>
    public required ReadOnlyMemory<byte> Key { get; init; }

    public ReadOnlyMemory<byte> Value { get; init; }

    /// <summary>Stored beside the value, at most 127 ASCII bytes; null means application/octet-stream.</summary>
    public string? ContentType { get; init; }

    public KvCondition Condition { get; init; }
    public long Delta { get; init; } = 1;
    public long Initial { get; init; }
    public ReadLevel Level { get; init; }

    /// <summary>Null for reads; a write that has none gets one from the node that received it.</summary>
    public RequestId? Id { get; init; }

    /// <summary>Time left when the request was sent, milliseconds. The receiver counts down on its own clock.</summary>
    public int TimeoutMs { get; init; } = 5000;

    /// <summary>Internal hops left; a node that may not forward answers WrongNode with its leader hint.</summary>
    public byte HopsLeft { get; init; } = 1;

    /// <summary>Routing epoch of the sender; 0 when it has none.</summary>
    public ulong Epoch { get; init; }

    /// <summary>Items of a batch (puts, deletes, increments), all in one group; empty otherwise.</summary>
    public IReadOnlyList<KvRequest> Items { get; init; } = [];

    public bool IsWrite => Operation != KvOperation.Get;
}
