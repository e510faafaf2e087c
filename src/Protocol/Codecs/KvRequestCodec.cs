using System.Buffers;

namespace KvStore.Protocol;

/// <summary>
/// Body of a Request frame: a MessagePack array with fields by position.
/// <code>
/// [operation, key bin, value bin, contentType str|nil, conditionKind, conditionRevision, delta, initial, level,
///  id nil|[client bin16, sequence, firstSentMs, ackedBelow, digest], timeoutMs, hopsLeft, epoch, [item, …],
///  terms nil|[maxStalenessMs, maxLag|nil, sessionApplied, sessionHistory, onUnmet, ack, withoutValue]]
/// </code>
/// An item has the same form and no items of its own. A reader takes the fields it knows and passes over what follows them.
/// Sizes of keys and values are not judged here but by the request handler, which can answer TooLarge; the frame bounds them.
/// </summary>
public static class KvRequestCodec
{
    private const int Fields = 15;
    private const int IdFields = 5;
    private const int TermsFields = 7;

    private static readonly KvRequest Blank = new() { Operation = KvOperation.Get, Key = default };

    public static void Encode(IBufferWriter<byte> output, KvRequest request)
    {
        var writer = new MessagePackWriter(output);
        Encode(ref writer, request);
        writer.Flush();
    }

    private static void Encode(ref MessagePackWriter writer, KvRequest request)
    {
        writer.WriteArrayHeader(Fields);
        writer.Write((int)request.Operation);
        writer.Write(request.Key.Span);
        writer.Write(request.Value.Span);
        writer.Write(request.ContentType);
        writer.Write((int)request.Condition.Kind);
        writer.Write(request.Condition.Revision);
        writer.Write(request.Delta);
        writer.Write(request.Initial);
        writer.Write((int)request.Level);
        if (request.Id is { } id)
        {
            writer.WriteArrayHeader(IdFields);
            writer.Write(id.Client);
            writer.Write(id.Sequence);
            writer.Write(id.FirstSentMs);
            writer.Write(id.AckedBelow);
            writer.Write(id.Digest);
        }
        else
        {
            writer.WriteNil();
        }

        writer.Write(request.TimeoutMs);
        writer.Write((int)request.HopsLeft);
        writer.Write(request.Epoch);
        writer.WriteArrayHeader(request.Items.Count);
        foreach (var item in request.Items)
        {
            Encode(ref writer, item);
        }

        EncodeTerms(ref writer, request);
    }

    /// <summary>The bytes of key and value are copied: the request owns what it holds.</summary>
    public static DecodeResult TryDecode(ReadOnlySpan<byte> payload, out KvRequest? request)
    {
        var reader = new MessagePackReader(payload);
        return TryDecode(ref reader, isItem: false, out request) ? DecodeResult.Ok : Reason(in reader);
    }

    private static bool TryDecode(ref MessagePackReader reader, bool isItem, out KvRequest? request)
    {
        request = null;
        if (!reader.TryReadArrayHeader(out int fields) || fields < Fields
            || !reader.TryRead(out byte operation) || operation is < (byte)KvOperation.Get or > (byte)KvOperation.Batch
            || !reader.TryReadBin(int.MaxValue, out var key) || !reader.TryReadBin(int.MaxValue, out var value)
            || !reader.TryReadOptionalString(Limits.MaxTextBytes, out string? contentType)
            || !reader.TryRead(out byte conditionKind) || conditionKind > (byte)ConditionKind.Absent
            || !reader.TryRead(out ulong conditionRevision) || !reader.TryRead(out long delta) || !reader.TryRead(out long initial)
            || !reader.TryRead(out byte level) || level > (byte)ReadLevel.Eventual
            || !TryReadId(ref reader, out var id) || !reader.TryRead(out int timeoutMs) || !reader.TryRead(out byte hopsLeft)
            || !reader.TryRead(out ulong epoch) || !TryReadItems(ref reader, isItem, out var items)
            || !TryReadTerms(ref reader, out var terms) || !reader.TrySkip(fields - Fields))
        {
            return false;
        }

        request = terms with
        {
            Operation = (KvOperation)operation,
            Key = key.ToArray(),
            Value = value.ToArray(),
            ContentType = contentType,
            Condition = new KvCondition((ConditionKind)conditionKind, conditionRevision),
            Delta = delta,
            Initial = initial,
            Level = (ReadLevel)level,
            Id = id,
            TimeoutMs = timeoutMs,
            HopsLeft = hopsLeft,
            Epoch = epoch,
            Items = items,
        };
        return true;
    }

    /// <summary>Most requests are on the default terms: one byte then.</summary>
    private static void EncodeTerms(ref MessagePackWriter writer, KvRequest request)
    {
        if (request is { MaxStalenessMs: 0, MaxLag: null, Session: (0, 0), OnUnmet: OnUnmet.Forward, Ack: WriteAck.Majority, WithoutValue: false })
        {
            writer.WriteNil();
            return;
        }

        writer.WriteArrayHeader(TermsFields);
        writer.Write(request.MaxStalenessMs);
        if (request.MaxLag is { } maxLag)
        {
            writer.Write(maxLag);
        }
        else
        {
            writer.WriteNil();
        }

        writer.Write(request.Session.Applied);
        writer.Write(request.Session.History);
        writer.Write((int)request.OnUnmet);
        writer.Write((int)request.Ack);
        writer.Write(request.WithoutValue);
    }

    /// <summary>A request that has its terms and nothing else yet.</summary>
    private static bool TryReadTerms(ref MessagePackReader reader, out KvRequest request)
    {
        request = Blank;
        if (!reader.TryReadNil(out bool areDefault))
        {
            return false;
        }

        if (areDefault)
        {
            return true;
        }

        ulong maxLag = 0;
        if (!reader.TryReadArrayHeader(out int fields) || fields < TermsFields
            || !reader.TryRead(out int maxStalenessMs) || !reader.TryReadNil(out bool anyLag) || (!anyLag && !reader.TryRead(out maxLag))
            || !reader.TryRead(out ulong applied) || !reader.TryRead(out uint history)
            || !reader.TryRead(out byte onUnmet) || onUnmet > (byte)OnUnmet.Serve
            || !reader.TryRead(out byte ack) || ack > (byte)WriteAck.All
            || !reader.TryRead(out bool withoutValue) || !reader.TrySkip(fields - TermsFields))
        {
            return false;
        }

        request = Blank with
        {
            MaxStalenessMs = maxStalenessMs,
            MaxLag = anyLag ? null : maxLag,
            Session = new SessionPoint(applied, history),
            OnUnmet = (OnUnmet)onUnmet,
            Ack = (WriteAck)ack,
            WithoutValue = withoutValue,
        };
        return true;
    }

    private static bool TryReadId(ref MessagePackReader reader, out RequestId? id)
    {
        id = null;
        if (!reader.TryReadNil(out bool none))
        {
            return false;
        }

        if (none)
        {
            return true;
        }

        if (!reader.TryReadArrayHeader(out int fields) || fields < IdFields
            || !reader.TryRead(out UInt128 client) || !reader.TryRead(out ulong sequence) || !reader.TryRead(out ulong firstSentMs)
            || !reader.TryRead(out ulong ackedBelow) || !reader.TryRead(out ulong digest)
            || !reader.TrySkip(fields - IdFields))
        {
            return false;
        }

        id = new RequestId(client, sequence, firstSentMs, ackedBelow, digest);
        return true;
    }

    private static bool TryReadItems(ref MessagePackReader reader, bool isItem, out IReadOnlyList<KvRequest> items)
    {
        items = [];
        if (!reader.TryReadArrayHeader(out int count) || count > (isItem ? 0 : Limits.MaxBatchItems))
        {
            return false;
        }

        if (count == 0)
        {
            return true;
        }

        var list = new KvRequest[count];
        for (int i = 0; i < count; i++)
        {
            if (!TryDecode(ref reader, isItem: true, out var item) || item is null)
            {
                return false;
            }

            list[i] = item;
        }

        items = list;
        return true;
    }

    // A check of ours that failed (range, field count) leaves the reader content: then the body is malformed.
    private static DecodeResult Reason(in MessagePackReader reader) =>
        reader.Result == DecodeResult.Ok ? DecodeResult.Malformed : reader.Result;
}
