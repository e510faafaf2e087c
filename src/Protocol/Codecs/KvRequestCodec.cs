using System.Buffers;

namespace KvStore.Protocol;

/// <summary>
/// Body of a Request frame: a MessagePack array with fields by position.
/// <code>
/// [[code, body bin], id nil|[client bin16, sequence, firstSentMs, ackedBelow, digestAlgorithm, digest], timeoutMs, hopsLeft, epoch,
///  read nil|[level, maxStalenessMs, maxLag|nil, onUnmet], ack, session nil|[applied, history], requires, principal nil, namespace nil]
/// </code>
/// A reader takes the fields it knows and passes over what follows them: only a hint may be added there. What changes the meaning of a
/// request sets a bit of <c>requires</c>. Sizes are not judged here but by the request's handler, which can answer TooLarge; the
/// frame bounds them. The form of feature level 1 (<see cref="FlatRequestCodec"/>) is read, too, and written to whoever is at it.
/// </summary>
public static class KvRequestCodec
{
    private const int Fields = 11;
    private const int OperationFields = 2;
    private const int IdFields = 6;
    private const int ReadFields = 4;
    private const int SessionFields = 2;

    private static readonly Operation None = new UnknownOperation(0, default);

    /// <summary>False: a node of that level does not know this operation, or would pass over what the request requires. Nothing is written.</summary>
    /// <param name="output">Receives the body.</param>
    /// <param name="request">What is asked.</param>
    /// <param name="level">Feature level of whoever will read it.</param>
    public static bool TryEncode(IBufferWriter<byte> output, KvRequest request, ushort level)
    {
        if (level < OperationTable.BodiesSince)
        {
            if (request.Requires != Requirements.None || request.Operation.Flat is not { } flat)
            {
                return false;
            }

            FlatRequestCodec.Encode(output, request, flat);
            return true;
        }

        if (request.Operation.Level > level)
        {
            return false;
        }

        Encode(output, request);
        return true;
    }

    public static void Encode(IBufferWriter<byte> output, KvRequest request)
    {
        var writer = new MessagePackWriter(output);
        writer.WriteArrayHeader(Fields);
        writer.WriteArrayHeader(OperationFields);
        writer.Write((uint)request.Operation.Code);
        writer.Write(request.Operation.Body.Span);
        RequestIdCodec.Write(ref writer, request.Id);
        writer.Write(request.TimeoutMs);
        writer.Write((uint)request.HopsLeft);
        writer.Write(request.Epoch);
        WriteRead(ref writer, request.Read);
        writer.Write((uint)request.Ack);
        if (request.Session == default)
        {
            writer.WriteNil();
        }
        else
        {
            writer.WriteArrayHeader(SessionFields);
            writer.Write(request.Session.Applied);
            writer.Write(request.Session.History);
        }

        writer.Write((ulong)request.Requires);
        writer.WriteNil();
        writer.WriteNil();
        writer.Flush();
    }

    /// <summary>The bytes are copied: the request owns what it holds.</summary>
    public static DecodeResult TryDecode(ReadOnlySpan<byte> payload, out KvRequest? request)
    {
        var reader = new MessagePackReader(payload);
        if (IsFlat(payload) ? FlatRequestCodec.TryDecode(ref reader, out request) : TryDecode(ref reader, out request))
        {
            return DecodeResult.Ok;
        }

        // A check of ours that failed (range, field count) leaves the reader content: then the body is malformed.
        request = null;
        return reader.Result == DecodeResult.Ok ? DecodeResult.Malformed : reader.Result;
    }

    /// <summary>The first element of a request or reply is an array in the form of today, and a number in that of feature level 1.</summary>
    public static bool IsFlat(ReadOnlySpan<byte> payload)
    {
        if (payload.Length > 1 && MessagePackCode.IsFixArray(payload[0]) && MessagePackCode.IsFixArray(payload[1]))
        {
            return false; // as everything of today begins
        }

        var reader = new MessagePackReader(payload);
        return reader.TryReadArrayHeader(out _) && !reader.AtEnd && !reader.TryReadArrayHeader(out _);
    }

    private static bool TryDecode(ref MessagePackReader reader, out KvRequest? request)
    {
        request = null;
        if (!reader.TryReadArrayHeader(out int fields) || fields < Fields
            || !reader.TryReadArrayHeader(out int operationFields) || operationFields != OperationFields
            || !reader.TryRead(out byte code) || !reader.TryReadBin(int.MaxValue, out ReadOnlySpan<byte> body)
            || !RequestIdCodec.TryRead(ref reader, out RequestId? id) || !reader.TryRead(out int timeoutMs)
            || !reader.TryRead(out byte hopsLeft) || !reader.TryRead(out ulong epoch) || !TryReadRead(ref reader, out ReadTerms read)
            || !reader.TryRead(out byte ack) || ack > (byte)WriteAck.All
            || !TryReadSession(ref reader, out SessionPoint session) || !reader.TryRead(out ulong requires)
            || !TrySkipReserved(ref reader, Requirements.Principal, ref requires)
            || !TrySkipReserved(ref reader, Requirements.Namespace, ref requires)
            || !reader.TrySkip(fields - Fields)
            || OperationTable.TryRead(code, body.ToArray()) is not { } operation)
        {
            return false;
        }

        request = new KvRequest
        {
            Operation = operation,
            Id = id,
            TimeoutMs = timeoutMs,
            HopsLeft = hopsLeft,
            Epoch = epoch,
            Read = read,
            Ack = (WriteAck)ack,
            Session = session,
            Requires = (Requirements)requires,
        };
        return true;
    }

    /// <summary>Most requests are on the default terms: one byte then.</summary>
    private static void WriteRead(ref MessagePackWriter writer, ReadTerms read)
    {
        if (read is { Level: ReadLevel.Strong, MaxStalenessMs: 0, MaxLag: null, OnUnmet: OnUnmet.Forward })
        {
            writer.WriteNil();
            return;
        }

        writer.WriteArrayHeader(ReadFields);
        writer.Write((uint)read.Level);
        writer.Write(read.MaxStalenessMs);
        if (read.MaxLag is { } maxLag)
        {
            writer.Write(maxLag);
        }
        else
        {
            writer.WriteNil();
        }

        writer.Write((uint)read.OnUnmet);
    }

    internal static bool TryReadRead(ref MessagePackReader reader, out ReadTerms read)
    {
        read = ReadTerms.Strong;
        if (!reader.TryReadNil(out bool areDefault))
        {
            return false;
        }

        if (areDefault)
        {
            return true;
        }

        ulong maxLag = 0;
        if (!reader.TryReadArrayHeader(out int fields) || fields < ReadFields
            || !reader.TryRead(out byte level) || level > (byte)ReadLevel.Eventual || !reader.TryRead(out int maxStalenessMs)
            || !reader.TryReadNil(out bool anyLag) || (!anyLag && !reader.TryRead(out maxLag))
            || !reader.TryRead(out byte onUnmet) || onUnmet > (byte)OnUnmet.Serve || !reader.TrySkip(fields - ReadFields))
        {
            return false;
        }

        read = level == (byte)ReadLevel.Eventual && maxStalenessMs == 0 && anyLag && onUnmet == (byte)OnUnmet.Forward
            ? ReadTerms.Eventual
            : new ReadTerms
            {
                Level = (ReadLevel)level,
                MaxStalenessMs = maxStalenessMs,
                MaxLag = anyLag ? null : maxLag,
                OnUnmet = (OnUnmet)onUnmet,
            };
        return true;
    }

    internal static bool TryReadSession(ref MessagePackReader reader, out SessionPoint session)
    {
        session = default;
        if (!reader.TryReadNil(out bool none))
        {
            return false;
        }

        if (none)
        {
            return true;
        }

        if (!reader.TryReadArrayHeader(out int fields) || fields < SessionFields || !reader.TryRead(out ulong applied)
            || !reader.TryRead(out uint history) || !reader.TrySkip(fields - SessionFields))
        {
            return false;
        }

        session = new SessionPoint(applied, history);
        return true;
    }

    /// <summary>A reserved field that holds something asks for what this build does not do, whether its sender said so or not.</summary>
    private static bool TrySkipReserved(ref MessagePackReader reader, Requirements requirement, ref ulong requires)
    {
        if (!reader.TryReadNil(out bool isEmpty))
        {
            return false;
        }

        requires |= isEmpty ? 0 : (ulong)requirement;
        return isEmpty || reader.TrySkip();
    }
}
