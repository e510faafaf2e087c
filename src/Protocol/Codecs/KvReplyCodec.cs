using System.Buffers;

namespace KvStore.Protocol;

/// <summary>
/// Body of a Reply frame: a MessagePack array with fields by position.
/// <code>
/// [code, outcome, revision, changed, value bin, contentType str|nil, number, evidence nil|[level, ageMs, group, term, applied, node,
///  role, path], leaderHint, detail str|nil, retryAfterMs, epoch, [item, …], history, lag nil|[entries, ageMs]]
/// </code>
/// The evidence takes at most 37 bytes (definition: 40). An item has the same form and no items of its own. A reader takes the
/// fields it knows and passes over what follows them; a code it does not know stays a number.
/// </summary>
public static class KvReplyCodec
{
    private const int Fields = 15;
    private const int EvidenceFields = 8;
    private const int LagFields = 2;

    public static void Encode(IBufferWriter<byte> output, KvReply reply)
    {
        var writer = new MessagePackWriter(output);
        Encode(ref writer, reply);
        writer.Flush();
    }

    public static void Encode(IBufferWriter<byte> output, Evidence evidence)
    {
        var writer = new MessagePackWriter(output);
        Encode(ref writer, evidence);
        writer.Flush();
    }

    private static void Encode(ref MessagePackWriter writer, KvReply reply)
    {
        writer.WriteArrayHeader(Fields);
        writer.Write((int)reply.Code);
        writer.Write((int)reply.Outcome);
        writer.Write(reply.Revision);
        writer.Write(reply.Changed);
        writer.Write(reply.Value.Span);
        writer.Write(reply.ContentType);
        writer.Write(reply.Number);
        if (reply.Evidence is { } evidence)
        {
            Encode(ref writer, evidence);
        }
        else
        {
            writer.WriteNil();
        }

        writer.Write(reply.LeaderHint.Value);
        writer.Write(Shortened(reply.Detail));
        writer.Write(reply.RetryAfterMs);
        writer.Write(reply.Epoch);
        writer.WriteArrayHeader(reply.Items.Count);
        foreach (var item in reply.Items)
        {
            Encode(ref writer, item);
        }

        writer.Write(reply.History);
        if (reply.Lag is { } lag)
        {
            writer.WriteArrayHeader(LagFields);
            writer.Write(lag.Entries);
            writer.Write(lag.AgeMs);
        }
        else
        {
            writer.WriteNil();
        }
    }

    private static void Encode(ref MessagePackWriter writer, Evidence evidence)
    {
        writer.WriteArrayHeader(EvidenceFields);
        writer.Write((int)evidence.Level);
        writer.Write(evidence.AgeMs);
        writer.Write(evidence.Group.Value);
        writer.Write(evidence.Term);
        writer.Write(evidence.Applied);
        writer.Write(evidence.Node.Value);
        writer.Write((int)evidence.Role);
        writer.Write((int)evidence.Path);
    }

    public static DecodeResult TryDecode(ReadOnlySpan<byte> payload, out KvReply? reply)
    {
        var reader = new MessagePackReader(payload);
        if (TryDecode(ref reader, isItem: false, out reply))
        {
            return DecodeResult.Ok;
        }

        // A check of ours that failed (range, field count) leaves the reader content: then the body is malformed.
        return reader.Result == DecodeResult.Ok ? DecodeResult.Malformed : reader.Result;
    }

    private static bool TryDecode(ref MessagePackReader reader, bool isItem, out KvReply? reply)
    {
        reply = null;
        if (!reader.TryReadArrayHeader(out int fields) || fields < Fields
            || !reader.TryRead(out ushort code) || !reader.TryRead(out byte outcome) || outcome > (byte)Outcome.Applied
            || !reader.TryRead(out ulong revision) || !reader.TryRead(out bool changed)
            || !reader.TryReadBin(int.MaxValue, out var value)
            || !reader.TryReadOptionalString(Limits.MaxTextBytes, out string? contentType)
            || !reader.TryRead(out long number) || !TryReadEvidence(ref reader, out var evidence)
            || !reader.TryRead(out uint leaderHint) || !reader.TryReadOptionalString(Limits.MaxTextBytes, out string? detail)
            || !reader.TryRead(out int retryAfterMs) || !reader.TryRead(out ulong epoch)
            || !TryReadItems(ref reader, isItem, out var items) || !reader.TryRead(out uint history)
            || !TryReadLag(ref reader, out var lag) || !reader.TrySkip(fields - Fields))
        {
            return false;
        }

        reply = new KvReply
        {
            Code = (ErrorCode)code,
            Outcome = (Outcome)outcome,
            Revision = revision,
            Changed = changed,
            Value = value.ToArray(),
            ContentType = contentType,
            Number = number,
            Evidence = evidence,
            LeaderHint = new NodeId(leaderHint),
            Detail = detail,
            RetryAfterMs = retryAfterMs,
            Epoch = epoch,
            Items = items,
            History = history,
            Lag = lag,
        };
        return true;
    }

    // A character of UTF-16 is at most three bytes of UTF-8.
    private static string? Shortened(string? detail) =>
        detail is { Length: > Limits.MaxTextBytes / 3 } ? detail[..(Limits.MaxTextBytes / 3)] : detail;

    private static bool TryReadEvidence(ref MessagePackReader reader, out Evidence? evidence)
    {
        evidence = null;
        if (!reader.TryReadNil(out bool none))
        {
            return false;
        }

        if (none)
        {
            return true;
        }

        if (!reader.TryReadArrayHeader(out int fields) || fields < EvidenceFields
            || !reader.TryRead(out byte level) || level > (byte)ReadLevel.Eventual
            || !reader.TryRead(out uint ageMs) || !reader.TryRead(out uint group) || !reader.TryRead(out ulong term)
            || !reader.TryRead(out ulong applied) || !reader.TryRead(out uint node)
            || !reader.TryRead(out byte role) || role is < (byte)ServedRole.Leader or > (byte)ServedRole.Learner
            || !reader.TryRead(out byte path) || path > (byte)ServedPath.Forwarded
            || !reader.TrySkip(fields - EvidenceFields))
        {
            return false;
        }

        evidence = new Evidence(
            (ReadLevel)level, ageMs, new GroupId(group), term, applied, new NodeId(node), (ServedRole)role, (ServedPath)path);
        return true;
    }

    private static bool TryReadLag(ref MessagePackReader reader, out ReplicaLag? lag)
    {
        lag = null;
        if (!reader.TryReadNil(out bool none))
        {
            return false;
        }

        if (none)
        {
            return true;
        }

        if (!reader.TryReadArrayHeader(out int fields) || fields < LagFields || !reader.TryRead(out ulong entries)
            || !reader.TryRead(out uint ageMs) || !reader.TrySkip(fields - LagFields))
        {
            return false;
        }

        lag = new ReplicaLag(entries, ageMs);
        return true;
    }

    private static bool TryReadItems(ref MessagePackReader reader, bool isItem, out IReadOnlyList<KvReply> items)
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

        var list = new KvReply[count];
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
}
