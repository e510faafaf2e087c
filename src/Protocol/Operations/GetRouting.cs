namespace KvStore.Protocol;

/// <summary>
/// Asks a node what it knows of the cluster: addresses, who owns what, who leads. Answered with <see cref="ClusterRouting"/>. Body
/// <c>[since epoch]</c>.
/// </summary>
public sealed class GetRouting : NodeOperation
{
    public const byte OperationCode = 7;
    internal const ushort Since = 2;
    private const int Fields = 1;

    /// <param name="sinceEpoch">Of the table the asking side has; the answer has one only if it is newer. 0: none.</param>
    public GetRouting(ulong sinceEpoch)
        : this(Encode(sinceEpoch), sinceEpoch)
    {
    }

    private GetRouting(ReadOnlyMemory<byte> body, ulong sinceEpoch)
        : base(body) => SinceEpoch = sinceEpoch;

    public override byte Code => OperationCode;

    public override ushort Level => Since;

    public ulong SinceEpoch { get; }

    internal static GetRouting? TryRead(ReadOnlyMemory<byte> body)
    {
        var reader = new BodyReader(body);
        return reader.TryReadFields(Fields) && reader.TryRead(out ulong sinceEpoch) && reader.IsWhole ? new GetRouting(body, sinceEpoch) : null;
    }

    private static byte[] Encode(ulong sinceEpoch)
    {
        MessagePackWriter writer = BodyWriter.Begin(Fields);
        writer.Write(sinceEpoch);
        return BodyWriter.End(ref writer);
    }
}
