using System.Buffers;

namespace KvStore.Protocol;

/// <summary>
/// Body of a Reply frame: a MessagePack array with fields by position.
/// <code>
/// [[code, outcome, detail str|nil, result nil|[kind, revision, …]], evidence, leaderHint, retryAfterMs, epoch, history, lag]
/// </code>
/// The first is an <see cref="ItemResult"/>; evidence and lag are drawn at <see cref="EvidenceCodec"/>. A reader takes the fields it knows
/// and passes over what follows them; a code it does not know stays a number. A request in the form of feature level 1 is
/// answered in that form (<see cref="FlatReplyCodec"/>).
/// </summary>
public static class KvReplyCodec
{
    private const int Fields = 7;

    public static void Encode(IBufferWriter<byte> output, KvReply reply)
    {
        var writer = new MessagePackWriter(output);
        writer.WriteArrayHeader(Fields);
        new ItemResult(reply.Code, reply.Outcome, reply.Detail, reply.Result).Write(ref writer);
        if (reply.Evidence is { } evidence)
        {
            EvidenceCodec.Encode(ref writer, evidence);
        }
        else
        {
            writer.WriteNil();
        }

        writer.Write(reply.LeaderHint.Value);
        writer.Write(reply.RetryAfterMs);
        writer.Write(reply.Epoch);
        writer.Write(reply.History);
        EvidenceCodec.Encode(ref writer, reply.Lag);
        writer.Flush();
    }

    /// <summary>In the form the request came in.</summary>
    public static void Encode(IBufferWriter<byte> output, KvReply reply, bool flat)
    {
        if (flat)
        {
            FlatReplyCodec.Encode(output, reply);
        }
        else
        {
            Encode(output, reply);
        }
    }

    /// <param name="payload">The body; its bytes are copied.</param>
    /// <param name="asked">What this is the answer to: the form of level 1 cannot be understood without.</param>
    /// <param name="reply">Null unless Ok.</param>
    public static DecodeResult TryDecode(ReadOnlySpan<byte> payload, Operation asked, out KvReply? reply)
    {
        var reader = new MessagePackReader(payload);
        if (KvRequestCodec.IsFlat(payload) ? FlatReplyCodec.TryDecode(ref reader, asked, out reply) : TryDecode(ref reader, out reply))
        {
            return DecodeResult.Ok;
        }

        // A check of ours that failed (range, field count) leaves the reader content: then the body is malformed.
        return reader.Result == DecodeResult.Ok ? DecodeResult.Malformed : reader.Result;
    }

    private static bool TryDecode(ref MessagePackReader reader, out KvReply? reply)
    {
        reply = null;
        if (!reader.TryReadArrayHeader(out int fields) || fields < Fields || !ItemResult.TryRead(ref reader, isItem: false, out ItemResult item)
            || !EvidenceCodec.TryRead(ref reader, out Evidence? evidence) || !reader.TryRead(out uint leaderHint)
            || !reader.TryRead(out int retryAfterMs) || !reader.TryRead(out ulong epoch) || !reader.TryRead(out uint history)
            || !EvidenceCodec.TryRead(ref reader, out ReplicaLag? lag) || !reader.TrySkip(fields - Fields))
        {
            return false;
        }

        reply = new KvReply
        {
            Code = item.Code,
            Outcome = item.Outcome,
            Detail = item.Detail,
            Result = item.Result,
            Evidence = evidence,
            LeaderHint = new NodeId(leaderHint),
            RetryAfterMs = retryAfterMs,
            Epoch = epoch,
            History = history,
            Lag = lag,
        };
        return true;
    }
}
