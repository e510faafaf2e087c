namespace KvStore.Protocol;

/// <summary>
/// Adds to a counter, a decimal 64-bit integer in ASCII: <see cref="Counted"/>, or NotANumber. Body
/// <c>[key bin, condition kind, condition revision, delta, initial]</c>.
/// </summary>
public sealed class Increment : KeyWrite
{
    public const byte OperationCode = 4;
    private const int Fields = 5;

    /// <param name="key">1 to 2,048 bytes; copied.</param>
    /// <param name="delta">What is added; negative counts down.</param>
    /// <param name="initial">What an absent key holds before the delta.</param>
    /// <param name="condition">On the key as it is when the write is executed.</param>
    public Increment(ReadOnlySpan<byte> key, long delta = 1, long initial = 0, KvCondition condition = default)
        : this(Encode(key, delta, initial, condition), key.Length, delta, initial, condition)
    {
    }

    private Increment(byte[] body, int keyBytes, long delta, long initial, KvCondition condition)
        : this(body, BodyWriter.KeyIn(body, keyBytes), condition, delta, initial)
    {
    }

    private Increment(ReadOnlyMemory<byte> body, ReadOnlyMemory<byte> key, KvCondition condition, long delta, long initial)
        : base(body, key, condition)
    {
        Delta = delta;
        Initial = initial;
    }

    public override byte Code => OperationCode;

    public long Delta { get; }

    public long Initial { get; }

    internal override FlatOperation? Flat =>
        new FlatOperation(OperationCode, Key) { Condition = Condition, HasNumbers = true, Delta = Delta, Initial = Initial };

    internal static Increment Of(in FlatOperation flat) => new(flat.Key.Span, flat.Delta, flat.Initial, flat.Condition);

    private protected override Result? SuccessOf(in FlatResult flat) => new Counted(flat.Revision, flat.Number);

    internal static Refusal? FaultOf(ReadOnlyMemory<byte> body) => BodyFault.OfKeyWrite(body, Fields);

    internal static Increment? TryRead(ReadOnlyMemory<byte> body)
    {
        var reader = new BodyReader(body);
        return reader.TryReadKeyWrite(Fields, out ReadOnlyMemory<byte> key, out KvCondition condition)
            && reader.TryRead(out long delta) && reader.TryRead(out long initial) && reader.IsWhole
            ? new Increment(body, key, condition, delta, initial)
            : null;
    }

    private static byte[] Encode(ReadOnlySpan<byte> key, long delta, long initial, KvCondition condition)
    {
        MessagePackWriter writer = BodyWriter.Begin(Fields, key, condition);
        writer.Write(delta);
        writer.Write(initial);
        return BodyWriter.End(ref writer);
    }
}
