namespace KvStore.Protocol;

/// <summary>
/// Why a request could not be read, as far as its bytes tell: for the answer, and looked for only then. An operation in a list that this
/// build does not know is Unsupported, as it is alone; everything else is InvalidRequest.
/// </summary>
internal static class RequestFault
{
    private delegate bool FieldReader(ref MessagePackReader reader);

    /// <summary>The envelope behind the operation, by position: what it is called, what it must be, and whether it is that.</summary>
    private static readonly (string Name, string Form, FieldReader Read)[] Fields =
    [
        ("id", "nil or [client bin16, sequence, firstSentMs, ackedBelow, digestAlgorithm, digest]",
            static (ref reader) => RequestIdCodec.TryRead(ref reader, out _)),
        ("timeoutMs", "a whole number of milliseconds", static (ref reader) => reader.TryRead(out int _)),
        ("hopsLeft", "0 to 255", static (ref reader) => reader.TryRead(out byte _)),
        ("epoch", "a whole number", static (ref reader) => reader.TryRead(out ulong _)),
        ("read", "nil or [level 0 to 3, maxStalenessMs, maxLag or nil, onUnmet 0 to 2]",
            static (ref reader) => KvRequestCodec.TryReadRead(ref reader, out _)),
        ("ack", "0 or 1", static (ref reader) => reader.TryRead(out byte ack) && ack <= (byte)WriteAck.All),
        ("session", "nil or [applied, history]", static (ref reader) => KvRequestCodec.TryReadSession(ref reader, out _)),
        ("requires", "a whole number", static (ref reader) => reader.TryRead(out ulong _)),
        ("principal", "nil", static (ref reader) => reader.TrySkip()),
        ("namespace", "nil", static (ref reader) => reader.TrySkip()),
    ];

    /// <summary>Of a payload that <see cref="KvRequestCodec.TryDecode(ReadOnlySpan{byte}, out KvRequest?)"/> does not read.</summary>
    public static Refusal Of(ReadOnlySpan<byte> payload)
    {
        var reader = new MessagePackReader(payload);
        if (!reader.TryReadArrayHeader(out int fields))
        {
            return Refusal.Invalid($"The payload is no request of protocol version {ProtocolVersion.Max}: it is no MessagePack array.");
        }

        if (KvRequestCodec.IsFlat(payload))
        {
            return FlatRequestCodec.FaultOf(payload);
        }

        if (fields < Fields.Length + 1)
        {
            return Refusal.Invalid($"The envelope of the request has {fields} fields; it has {Fields.Length + 1}.");
        }

        if (!reader.TryReadArrayHeader(out int parts) || parts != 2 || !reader.TryRead(out byte code) || !reader.TryReadBin(int.MaxValue, out var body))
        {
            return Refusal.Invalid("The envelope of the request does not begin with the operation: [number 0 to 255, body bin].");
        }

        foreach (var (name, form, read) in Fields)
        {
            if (!read(ref reader))
            {
                return Refusal.Invalid($"The field {name} in the envelope of the request must be {form}.");
            }
        }

        return OperationTable.Find(code) is { } row && reader.TrySkip(fields - Fields.Length - 1)
            ? BodyFault.Of(row, body.ToArray())
            : Refusal.Invalid("The envelope of the request ends before its last field does.");
    }
}
