namespace KvStore.Protocol;

/// <summary>
/// What a request asks: one class per operation, and <see cref="OperationTable"/> knows them all. Immutable. The body is its one
/// encoding, the same bytes on the wire, in the log and for the idempotency digest; key and value are views of it.
/// </summary>
public abstract class Operation : IEquatable<Operation>
{
    private protected Operation(ReadOnlyMemory<byte> body) => Body = body;

    /// <summary>Its number in <see cref="OperationTable"/>; never reused, never changed.</summary>
    public abstract byte Code { get; }

    /// <summary>
    /// One MessagePack array with the operation's fields by position, each in its shortest form: equal operations have equal
    /// bytes. A reader refuses a number of fields that is not the operation's; what changes its meaning is another operation,
    /// or a bit of <see cref="KvRequest.Requires"/>.
    /// </summary>
    public ReadOnlyMemory<byte> Body { get; }

    /// <summary>The first key: it decides the group, and its virtual node holds the idempotency record.</summary>
    public abstract ReadOnlyMemory<byte> Key { get; }

    /// <summary>Lowest feature level of a group that may hold it in its log, and of a connection that may carry it.</summary>
    public virtual ushort Level => FeatureLevel.First;

    /// <summary>The part that decides <see cref="Level"/>: the operation itself, unless it is made of several.</summary>
    public virtual Operation Youngest => this;

    /// <summary>Null when the operation is well formed and within the limits; otherwise what is wrong with it.</summary>
    public abstract Refusal? Violation(RequestLimits limits);

    /// <summary>As a node of feature level 1 understands it; null for what it has never heard of.</summary>
    internal virtual FlatOperation? Flat => null;

    /// <summary>The result in an answer of feature level 1, whose fields mean what the operation says they do.</summary>
    internal Result? ResultOf(in FlatResult flat) => flat.IsSuccess
        ? SuccessOf(flat)
        : flat.Code is ErrorCode.ConditionFailed or ErrorCode.NotANumber ? FailureOf(flat) : null;

    private protected virtual Result? SuccessOf(in FlatResult flat) => null;

    private protected virtual Result? FailureOf(in FlatResult flat) => new Current(flat.Revision);

    public bool Equals(Operation? other) => other is not null && Code == other.Code && Body.Span.SequenceEqual(other.Body.Span);

    public sealed override bool Equals(object? obj) => Equals(obj as Operation);

    public sealed override int GetHashCode()
    {
        var hash = new HashCode();
        hash.Add(Code);
        hash.AddBytes(Body.Span);
        return hash.ToHashCode();
    }

    private protected static Refusal? KeyViolation(ReadOnlyMemory<byte> key, RequestLimits limits) => key.Length switch
    {
        0 => Refusal.Invalid("The key is empty."),
        int bytes when bytes > limits.KeyBytes => Refusal.TooLarge("key", bytes, "keyBytes", limits.KeyBytes),
        _ => null,
    };
}

/// <summary>
/// Answered from a replica's table at the level the request asks for; never in the log. It reads one key, and what it answers follows
/// from the record alone: how the record is found, on which thread and at which index, is the same for every read.
/// </summary>
public abstract class ReadOperation : Operation
{
    private protected ReadOperation(ReadOnlyMemory<byte> body)
        : base(body)
    {
    }

    /// <summary>The answer when there is a record under <see cref="Operation.Key"/>; without one it is KeyNotFound.</summary>
    /// <param name="revision">Of the record.</param>
    /// <param name="stored">As <see cref="StoredValue"/> draws it; the answer may keep it.</param>
    internal abstract Result Answer(ulong revision, ReadOnlyMemory<byte> stored);
}

/// <summary>
/// Answered by the node it reaches, at once and from what that node knows itself: it has no key, touches no group and proves no level.
/// </summary>
public abstract class NodeOperation : Operation
{
    private protected NodeOperation(ReadOnlyMemory<byte> body)
        : base(body)
    {
    }

    public sealed override ReadOnlyMemory<byte> Key => default;

    public override Refusal? Violation(RequestLimits limits) => null;
}

/// <summary>Executed by every replica from the log, in its order, once per request id.</summary>
public abstract class WriteOperation : Operation
{
    private protected WriteOperation(ReadOnlyMemory<byte> body)
        : base(body)
    {
    }

    /// <summary>Keys it writes, in order, all in one group. It uses up a revision for each, whether it writes it or not.</summary>
    public abstract int KeyCount { get; }

    public abstract ReadOnlyMemory<byte> KeyAt(int index);

    /// <summary>Operations of one key that it may execute: itself, or the items of its lists.</summary>
    public virtual IReadOnlyList<Operation> Singles() => [this];

    /// <summary>Bytes of keys and values: what it adds to an entry, and to what waits in memory.</summary>
    public abstract int DataBytes { get; }

    /// <summary>Bytes of the values it may store, at most: more than was sent where a value grows.</summary>
    public abstract int StoredBytesAtMost { get; }

    /// <summary>It only takes away: a node that is short of room executes it all the same.</summary>
    public virtual bool OnlyRemoves => false;

    /// <summary>The same of several, executed as one: what makes values grow has a limit together.</summary>
    private protected static int StoredBytesAtMostOf(IEnumerable<Operation> items)
    {
        int sent = 0;
        long grown = 0;
        foreach (KeyWrite item in items.OfType<KeyWrite>())
        {
            sent += item.GrowsValue ? 0 : item.StoredBytesAtMost;
            grown += item.GrowsValue ? item.StoredBytesAtMost : 0;
        }

        return sent + (int)Math.Min(grown, Limits.MaxBatchAppendedBytes);
    }

    /// <summary>Names what it asks, for its idempotency record.</summary>
    /// <param name="contentType">As the request spelled it out; null when it did not.</param>
    public virtual RequestDigest DigestAsSaid(string? contentType) => RequestDigest.OfBody(this);
}

/// <summary>
/// A write of one key under a condition. Its body begins with <c>[key bin, condition kind, condition revision, …</c>
/// </summary>
public abstract class KeyWrite : WriteOperation
{
    private protected KeyWrite(ReadOnlyMemory<byte> body, ReadOnlyMemory<byte> key, KvCondition condition)
        : base(body)
    {
        Key = key;
        Condition = condition;
    }

    public sealed override ReadOnlyMemory<byte> Key { get; }

    public KvCondition Condition { get; }

    public sealed override int KeyCount => 1;

    public sealed override ReadOnlyMemory<byte> KeyAt(int index) => Key;

    public override int DataBytes => Key.Length;

    /// <summary>
    /// What it stores holds what was stored before and more, at either end or between: its size does not follow from what was sent, and
    /// values that grow so have a limit together in a list (<see cref="Limits.MaxBatchAppendedBytes"/>).
    /// </summary>
    public virtual bool GrowsValue => false;

    public sealed override int StoredBytesAtMost => GrowsValue ? Limits.MaxValueBytes : DataBytes;

    public override Refusal? Violation(RequestLimits limits) => KeyViolation(Key, limits);
}

/// <summary>A number that this build does not know: a newer client's, or nonsense. It is refused by name and costs nobody else.</summary>
public sealed class UnknownOperation(byte code, ReadOnlyMemory<byte> body) : Operation(body)
{
    public override byte Code => code;

    public override ReadOnlyMemory<byte> Key => default;

    public override Refusal? Violation(RequestLimits limits) => new(
        ErrorCode.Unsupported, $"This node knows no operation {code}; a newer one may.");
}
