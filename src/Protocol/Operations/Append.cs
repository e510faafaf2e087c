namespace KvStore.Protocol;

/// <summary>
/// Adds bytes to the end of a value: <see cref="Written"/>, or TooLarge when the value would pass 1 MiB. A key that is absent comes to hold
/// them, with their content type; one that exists keeps its own. Body
/// <c>[key bin, condition kind, condition revision, stored value bin]</c>.
/// </summary>
public sealed class Append : KeyWrite
{
    public const byte OperationCode = 6;
    internal const ushort Since = 2;
    private const int Fields = 4;

    /// <param name="key">1 to 2,048 bytes; copied.</param>
    /// <param name="value">What is added; copied.</param>
    /// <param name="contentType">Of a key that is created: printable ASCII, at most 127 bytes; null means application/octet-stream.</param>
    /// <param name="condition">On the key as it is when the write is executed.</param>
    /// <exception cref="ArgumentException">The content type is longer, or not ASCII.</exception>
    public Append(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, string? contentType = null, KvCondition condition = default)
        : this(Encode(key, value, contentType, condition), key.Length, StoredValue.LengthOf(contentType, value), condition)
    {
    }

    private Append(byte[] body, int keyBytes, int storedBytes, KvCondition condition)
        : this(body, BodyWriter.KeyIn(body, keyBytes), condition, body.AsMemory(body.Length - storedBytes))
    {
    }

    private Append(ReadOnlyMemory<byte> body, ReadOnlyMemory<byte> key, KvCondition condition, ReadOnlyMemory<byte> stored)
        : base(body, key, condition) => Stored = stored;

    public override byte Code => OperationCode;

    public override ushort Level => Since;

    /// <summary>What is added, in the layout of <see cref="StoredValue"/>.</summary>
    public ReadOnlyMemory<byte> Stored { get; }

    public ReadOnlyMemory<byte> Value => StoredValue.ValueOf(Stored);

    public override bool GrowsValue => true;

    public override int DataBytes => Key.Length + Value.Length;

    public override Refusal? Violation(RequestLimits limits) => base.Violation(limits) ?? StoredValue.Violation(Stored.Span, limits);

    internal static Refusal? FaultOf(ReadOnlyMemory<byte> body) => BodyFault.OfKeyWrite(body, Fields);

    internal static Append? TryRead(ReadOnlyMemory<byte> body)
    {
        var reader = new BodyReader(body);
        return reader.TryReadKeyWrite(Fields, out ReadOnlyMemory<byte> key, out KvCondition condition)
            && reader.TryReadBin(out ReadOnlyMemory<byte> stored) && StoredValue.IsCanonical(stored.Span) && reader.IsWhole
            ? new Append(body, key, condition, stored)
            : null;
    }

    private static byte[] Encode(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, string? contentType, KvCondition condition)
    {
        MessagePackWriter writer = BodyWriter.Begin(Fields, key, condition);
        StoredValue.WriteBin(ref writer, contentType, value);
        return BodyWriter.End(ref writer);
    }
}
