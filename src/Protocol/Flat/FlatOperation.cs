namespace KvStore.Protocol;

/// <summary>
/// An operation as feature level 1 wrote it: one record with the fields of all of them, on the wire, in the log and in the digest.
/// Its five operations are all there will ever be. Members an operation does not use hold what that build put there.
/// </summary>
internal readonly record struct FlatOperation(byte Code, ReadOnlyMemory<byte> Key)
{
    public KvCondition Condition { get; init; }

    /// <summary>Value and content type, in the layout of <see cref="StoredValue"/>; empty for operations without a value.</summary>
    public ReadOnlyMemory<byte> Stored { get; init; }

    /// <summary>Delta and initial are of this operation, and not what stood in the record.</summary>
    public bool HasNumbers { get; init; }

    public long Delta { get; init; } = 1;

    public long Initial { get; init; }

    public bool WithoutValue { get; init; }

    public IReadOnlyList<FlatOperation> Items { get; init; } = [];
}
