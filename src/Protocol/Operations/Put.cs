namespace KvStore.Protocol;

/// <summary>
/// Writes a value: <see cref="Written"/>. Body <c>[key bin, condition kind, condition revision, stored value bin]</c>; the last one is
/// copied into the table as it is.
/// </summary>
public sealed class Put : KeyWrite
{
    public const byte OperationCode = 2;
    private const int Fields = 4;

    /// <param name="key">1 to 2,048 bytes; copied.</param>
    /// <param name="value">At most 1 MiB; copied.</param>
    /// <param name="contentType">Stored beside the value: printable ASCII, at most 127 bytes; null means application/octet-stream.</param>
    /// <param name="condition">On the key as it is when the write is executed.</param>
    /// <exception cref="ArgumentException">The content type is longer, or not ASCII.</exception>
    public Put(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, string? contentType = null, KvCondition condition = default)
        : this(Encode(key, value, contentType, condition), key.Length, StoredValue.LengthOf(contentType, value), condition)
    {
    }

    private Put(byte[] body, int keyBytes, int storedBytes, KvCondition condition)
        : this(body, BodyWriter.KeyIn(body, keyBytes), condition, body.AsMemory(body.Length - storedBytes))
    {
    }

    private Put(ReadOnlyMemory<byte> body, ReadOnlyMemory<byte> key, KvCondition condition, ReadOnlyMemory<byte> stored)
        : base(body, key, condition) => Stored = stored;

    public override byte Code => OperationCode;

    /// <summary>In the layout of <see cref="StoredValue"/>.</summary>
    public ReadOnlyMemory<byte> Stored { get; }

    public ReadOnlyMemory<byte> Value => StoredValue.ValueOf(Stored);

    public string? ContentType => StoredValue.ContentTypeOf(Stored.Span);

    public override int DataBytes => Key.Length + Value.Length;

    public override Refusal? Violation(RequestLimits limits) => base.Violation(limits) ?? StoredValue.Violation(Stored.Span, limits);

    /// <summary>
    /// The operation does not keep that application/octet-stream was spelled out, and a node of feature level 1 hashed it as it was
    /// said: any other digest would make a retry through such a node another request. Nodes of later levels compare it by way of the
    /// request (<see cref="RequestDigest.Contradicts"/>), so it hides nothing from them.
    /// </summary>
    public override RequestDigest DigestAsSaid(string? contentType) => contentType == StoredValue.OctetStream
        ? RequestDigest.OfFields(Flat!.Value, contentType)
        : base.DigestAsSaid(contentType);

    internal override FlatOperation? Flat => new FlatOperation(OperationCode, Key) { Condition = Condition, Stored = Stored };

    internal static Put Of(in FlatOperation flat) => StoredValue.IsValid(flat.Stored.Span)
        ? new(flat.Key.Span, StoredValue.ValueOf(flat.Stored).Span, StoredValue.ContentTypeOf(flat.Stored.Span), flat.Condition)
        : new(default, flat.Key, flat.Condition, flat.Stored);

    private protected override Result? SuccessOf(in FlatResult flat) => new Written(flat.Revision, flat.Changed);

    internal static Refusal? FaultOf(ReadOnlyMemory<byte> body) => BodyFault.OfKeyWrite(body, Fields);

    internal static Put? TryRead(ReadOnlyMemory<byte> body)
    {
        var reader = new BodyReader(body);
        return reader.TryReadKeyWrite(Fields, out ReadOnlyMemory<byte> key, out KvCondition condition)
            && reader.TryReadBin(out ReadOnlyMemory<byte> stored) && StoredValue.IsCanonical(stored.Span) && reader.IsWhole
            ? new Put(body, key, condition, stored)
            : null;
    }

    private static byte[] Encode(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, string? contentType, KvCondition condition)
    {
        MessagePackWriter writer = BodyWriter.Begin(Fields, key, condition);
        StoredValue.WriteBin(ref writer, contentType, value);
        return BodyWriter.End(ref writer);
    }
}
