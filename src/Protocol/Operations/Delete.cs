namespace KvStore.Protocol;

/// <summary>Removes a key: <see cref="Deleted"/>, also when it was not there. Body <c>[key bin, condition kind, condition revision]</c>.</summary>
public sealed class Delete : KeyWrite
{
    public const byte OperationCode = 3;
    private const int Fields = 3;

    /// <param name="key">1 to 2,048 bytes; copied.</param>
    /// <param name="condition">On the key as it is when the write is executed.</param>
    public Delete(ReadOnlySpan<byte> key, KvCondition condition = default)
        : this(Encode(key, condition), key.Length, condition)
    {
    }

    private Delete(byte[] body, int keyBytes, KvCondition condition)
        : this(body, BodyWriter.KeyIn(body, keyBytes), condition)
    {
    }

    private Delete(ReadOnlyMemory<byte> body, ReadOnlyMemory<byte> key, KvCondition condition)
        : base(body, key, condition)
    {
    }

    public override byte Code => OperationCode;

    public override bool OnlyRemoves => true;

    internal override FlatOperation? Flat => new FlatOperation(OperationCode, Key) { Condition = Condition };

    internal static Delete Of(in FlatOperation flat) => new(flat.Key.Span, flat.Condition);

    private protected override Result? SuccessOf(in FlatResult flat) => new Deleted(flat.Revision, flat.Changed);

    internal static Refusal? FaultOf(ReadOnlyMemory<byte> body) => BodyFault.OfKeyWrite(body, Fields);

    internal static Delete? TryRead(ReadOnlyMemory<byte> body)
    {
        var reader = new BodyReader(body);
        return reader.TryReadKeyWrite(Fields, out ReadOnlyMemory<byte> key, out KvCondition condition) && reader.IsWhole
            ? new Delete(body, key, condition)
            : null;
    }

    private static byte[] Encode(ReadOnlySpan<byte> key, KvCondition condition)
    {
        MessagePackWriter writer = BodyWriter.Begin(Fields, key, condition);
        return BodyWriter.End(ref writer);
    }
}
