using System.Buffers;

namespace KvStore.Protocol;

/// <summary>
/// Body of a Request frame as feature level 1 wrote it, still read from and written to nodes and clients of that level: a MessagePack
/// array with the fields of all operations by position. It begins with a number, where <see cref="KvRequestCodec"/> has an array.
/// <code>
/// [operation, key bin, value bin, contentType str|nil, conditionKind, conditionRevision, delta, initial, level,
///  id nil|[client bin16, sequence, firstSentMs, ackedBelow, digest], timeoutMs, hopsLeft, epoch, [item, …],
///  terms nil|[maxStalenessMs, maxLag|nil, sessionApplied, sessionHistory, onUnmet, ack, withoutValue]]
/// </code>
/// An item has the same form and no items of its own. A reader takes the fields it knows and passes over what follows them.
/// </summary>
internal static class FlatRequestCodec
{
    private const int Fields = 15;
    private const int FieldsBeforeItems = 13;
    private const int IdFields = 5;
    private const int TermsFields = 7;

    /// <summary>An item has at least these: no array is longer than the bytes allow, whatever number of items they claim.</summary>
    private const int MinItemBytes = 18;

    /// <summary>The request must be one that level 1 can express.</summary>
    public static void Encode(IBufferWriter<byte> output, KvRequest request, FlatOperation operation)
    {
        var writer = new MessagePackWriter(output);
        Encode(ref writer, operation, request);
        writer.Flush();
    }

    private static void Encode(ref MessagePackWriter writer, FlatOperation operation, KvRequest? envelope)
    {
        writer.WriteArrayHeader(Fields);
        writer.Write((int)operation.Code);
        writer.Write(operation.Key.Span);
        writer.Write(StoredValue.ValueOf(operation.Stored).Span);
        writer.Write(StoredValue.ContentTypeOf(operation.Stored.Span));
        writer.Write((int)operation.Condition.Kind);
        writer.Write(operation.Condition.Revision);
        writer.Write(operation.Delta);
        writer.Write(operation.Initial);
        writer.Write((int)(envelope?.Read.Level ?? ReadLevel.Strong));
        if (envelope?.Id is { } id)
        {
            writer.WriteArrayHeader(IdFields);
            writer.Write(id.Client);
            writer.Write(id.Sequence);
            writer.Write(id.FirstSentMs);
            writer.Write(id.AckedBelow);
            writer.Write(id.Digest.AtLevel1(operation).Value);
        }
        else
        {
            writer.WriteNil();
        }

        // Of an item that build wrote what its record had when nobody set it.
        writer.Write(envelope?.TimeoutMs ?? 5000);
        writer.Write((int)(envelope?.HopsLeft ?? 1));
        writer.Write(envelope?.Epoch ?? 0);
        writer.WriteArrayHeader(operation.Items.Count);
        foreach (FlatOperation item in operation.Items)
        {
            Encode(ref writer, item, envelope: null);
        }

        EncodeTerms(ref writer, envelope, operation.WithoutValue);
    }

    /// <summary>The bytes are copied: the request owns what it holds.</summary>
    public static bool TryDecode(ref MessagePackReader reader, out KvRequest? request)
    {
        request = null;
        if (!TryDecode(ref reader, isItem: false, out FlatOperation flat, out KvRequest envelope))
        {
            return false;
        }

        Operation? operation = OperationTable.Of(flat);
        request = operation is null ? null : envelope with { Operation = operation };
        return operation is not null;
    }

    /// <summary>Why it could not be read. A younger operation among the items is unsupported, as it is alone.</summary>
    public static Refusal FaultOf(ReadOnlySpan<byte> payload)
    {
        var reader = new MessagePackReader(payload);
        if (!reader.TryReadArrayHeader(out int fields) || fields < Fields)
        {
            return Refusal.Invalid($"The request is in the form of feature level 1 and has {fields} fields; that has {Fields}.");
        }

        if (reader.TrySkip(FieldsBeforeItems) && reader.TryReadArrayHeader(out int count) && count <= Limits.MaxBatchItems)
        {
            for (int i = 1; i <= count && reader.TryReadArrayHeader(out int itemFields) && reader.TryRead(out byte code); i++)
            {
                if (OperationTable.Find(code)?.OfFlat is null)
                {
                    return new Refusal(
                        ErrorCode.Unsupported, $"item {i} is operation {code}, which this node does not know in the form of feature level 1; a newer one may.");
                }

                if (!reader.TrySkip(itemFields - 1))
                {
                    break;
                }
            }
        }

        return Refusal.Invalid(
            $"The request is in the form of feature level 1, and a field of it is not what it must be, or it has more than {Limits.MaxBatchItems} items.");
    }

    private static bool TryDecode(ref MessagePackReader reader, bool isItem, out FlatOperation operation, out KvRequest envelope)
    {
        operation = default;
        envelope = Blank;
        if (!reader.TryReadArrayHeader(out int fields) || fields < Fields
            || !reader.TryRead(out byte code) || (isItem && OperationTable.Find(code)?.OfFlat is null)
            || !reader.TryReadBin(int.MaxValue, out var key) || !reader.TryReadBin(int.MaxValue, out var value)
            || !reader.TryReadOptionalString(Limits.MaxTextBytes, out string? contentType)
            || !reader.TryRead(out byte conditionKind) || conditionKind > (byte)ConditionKind.Absent
            || !reader.TryRead(out ulong conditionRevision) || !reader.TryRead(out long delta) || !reader.TryRead(out long initial)
            || !reader.TryRead(out byte level) || level > (byte)ReadLevel.Eventual
            || !TryReadId(ref reader, out var id) || !reader.TryRead(out int timeoutMs) || !reader.TryRead(out byte hopsLeft)
            || !reader.TryRead(out ulong epoch) || !TryReadItems(ref reader, isItem, out var items)
            || !TryReadTerms(ref reader, isItem, (ReadLevel)level, out envelope, out bool withoutValue) || !reader.TrySkip(fields - Fields))
        {
            return false;
        }

        operation = new FlatOperation(code, key.ToArray())
        {
            Condition = new KvCondition((ConditionKind)conditionKind, conditionRevision),
            Stored = StoredValue.Of(contentType, value),
            Delta = delta,
            Initial = initial,
            WithoutValue = withoutValue,
            Items = items,
        };
        envelope = isItem ? Blank : envelope with { Id = id, TimeoutMs = timeoutMs, HopsLeft = hopsLeft, Epoch = epoch };
        return true;
    }

    private static readonly KvRequest Blank = new() { Operation = new UnknownOperation(0, default) };

    /// <summary>Most requests are on the default terms: one byte then.</summary>
    private static void EncodeTerms(ref MessagePackWriter writer, KvRequest? envelope, bool withoutValue)
    {
        ReadTerms read = envelope?.Read ?? ReadTerms.Strong;
        SessionPoint session = envelope?.Session ?? default;
        WriteAck ack = envelope?.Ack ?? WriteAck.Majority;
        if (!withoutValue && session == default && ack == WriteAck.Majority
            && read is { MaxStalenessMs: 0, MaxLag: null, OnUnmet: OnUnmet.Forward })
        {
            writer.WriteNil();
            return;
        }

        writer.WriteArrayHeader(TermsFields);
        writer.Write(read.MaxStalenessMs);
        if (read.MaxLag is { } maxLag)
        {
            writer.Write(maxLag);
        }
        else
        {
            writer.WriteNil();
        }

        writer.Write(session.Applied);
        writer.Write(session.History);
        writer.Write((int)read.OnUnmet);
        writer.Write((int)ack);
        writer.Write(withoutValue);
    }

    /// <summary>A request that has its terms and nothing else yet. Those of an item say nothing, and so nothing is made of them.</summary>
    private static bool TryReadTerms(
        ref MessagePackReader reader, bool isItem, ReadLevel level, out KvRequest request, out bool withoutValue)
    {
        request = Blank;
        withoutValue = false;
        if (!reader.TryReadNil(out bool areDefault))
        {
            return false;
        }

        if (areDefault)
        {
            request = isItem || level == ReadLevel.Strong ? Blank : Blank with { Read = new ReadTerms { Level = level } };
            return true;
        }

        ulong maxLag = 0;
        if (!reader.TryReadArrayHeader(out int fields) || fields < TermsFields
            || !reader.TryRead(out int maxStalenessMs) || !reader.TryReadNil(out bool anyLag) || (!anyLag && !reader.TryRead(out maxLag))
            || !reader.TryRead(out ulong applied) || !reader.TryRead(out uint history)
            || !reader.TryRead(out byte onUnmet) || onUnmet > (byte)OnUnmet.Serve
            || !reader.TryRead(out byte ack) || ack > (byte)WriteAck.All
            || !reader.TryRead(out withoutValue) || !reader.TrySkip(fields - TermsFields))
        {
            return false;
        }

        request = isItem ? Blank : Blank with
        {
            Read = new ReadTerms
            {
                Level = level,
                MaxStalenessMs = maxStalenessMs,
                MaxLag = anyLag ? null : maxLag,
                OnUnmet = (OnUnmet)onUnmet,
            },
            Session = new SessionPoint(applied, history),
            Ack = (WriteAck)ack,
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

        id = new RequestId(client, sequence, firstSentMs, ackedBelow, RequestDigest.OfFlat(digest));
        return true;
    }

    private static bool TryReadItems(ref MessagePackReader reader, bool isItem, out IReadOnlyList<FlatOperation> items)
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

        var list = new FlatOperation[Math.Min(count, 1 + (reader.Remaining.Length / MinItemBytes))];
        for (int i = 0; i < count; i++)
        {
            if (!TryDecode(ref reader, isItem: true, out list[i], out _))
            {
                return false;
            }
        }

        items = list;
        return true;
    }
}
