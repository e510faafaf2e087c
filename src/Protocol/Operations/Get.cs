namespace KvStore.Protocol;

/// <summary>Reads a key: <see cref="Found"/>, or KeyNotFound. Body <c>[key bin, without value bool]</c>.</summary>
public sealed class Get : ReadOperation
{
    public const byte OperationCode = 1;
    private const int Fields = 2;

    /// <param name="key">1 to 2,048 bytes; copied.</param>
    /// <param name="withoutValue">Revision, content type and evidence are wanted, the value is not (explain).</param>
    public Get(ReadOnlySpan<byte> key, bool withoutValue = false)
        : this(Encode(key, withoutValue), key.Length, withoutValue)
    {
    }

    private Get(byte[] body, int keyBytes, bool withoutValue)
        : this(body, BodyWriter.KeyIn(body, keyBytes), withoutValue)
    {
    }

    private Get(ReadOnlyMemory<byte> body, ReadOnlyMemory<byte> key, bool withoutValue)
        : base(body)
    {
        Key = key;
        WithoutValue = withoutValue;
    }

    public override byte Code => OperationCode;

    public override ReadOnlyMemory<byte> Key { get; }

    public bool WithoutValue { get; }

    public override Refusal? Violation(RequestLimits limits) => KeyViolation(Key, limits);

    internal override FlatOperation? Flat => new FlatOperation(OperationCode, Key) { WithoutValue = WithoutValue };

    internal static Get Of(in FlatOperation flat) => new(flat.Key.Span, flat.WithoutValue);

    internal override Result Answer(ulong revision, ReadOnlyMemory<byte> stored) =>
        new Found(revision, WithoutValue ? StoredValue.WithoutValue(stored) : stored);

    private protected override Result? SuccessOf(in FlatResult flat) => new Found(flat.Revision, flat.Stored);

    internal static Get? TryRead(ReadOnlyMemory<byte> body)
    {
        var reader = new BodyReader(body);
        return reader.TryReadFields(Fields) && reader.TryReadBin(out ReadOnlyMemory<byte> key) && reader.TryRead(out bool withoutValue)
            && reader.IsWhole
            ? new Get(body, key, withoutValue)
            : null;
    }

    private static byte[] Encode(ReadOnlySpan<byte> key, bool withoutValue)
    {
        MessagePackWriter writer = BodyWriter.Begin(Fields);
        writer.Write(key);
        writer.Write(withoutValue);
        return BodyWriter.End(ref writer);
    }
}
