using System.Buffers;

namespace KvStore.Protocol;

/// <summary>
/// Body of a Reply frame as feature level 1 wrote it, for requests that came in that form: a MessagePack array with the fields of all
/// results by position. It begins with a number, where <see cref="KvReplyCodec"/> has an array.
/// <code>
/// [code, outcome, revision, changed, value bin, contentType str|nil, number, evidence nil|[level, ageMs, group, term, applied, node,
///  role, path], leaderHint, detail str|nil, retryAfterMs, epoch, [item, …], history, lag nil|[entries, ageMs]]
/// </code>
/// The evidence takes at most 37 bytes (definition: 40). An item has the same form and no items of its own. A reader takes the
/// fields it knows and passes over what follows them; a code it does not know stays a number.
/// </summary>
internal static class FlatReplyCodec
{
    private const int Fields = 15;

    /// <summary>Detail of an item that was held back: the form has no other mark, and this is what builds of level 1 say.</summary>
    internal const string HeldBackDetail = "not written because another item of the batch failed";

    /// <summary>An item has at least these: no array is longer than the bytes allow, whatever number of items they claim.</summary>
    private const int MinItemBytes = 17;

    public static void Encode(IBufferWriter<byte> output, KvReply reply)
    {
        var writer = new MessagePackWriter(output);
        Encode(ref writer, reply, new ItemResult(reply.Code, reply.Outcome, reply.Detail, reply.Result));
        writer.Flush();
    }

    private static void Encode(ref MessagePackWriter writer, KvReply? envelope, in ItemResult item)
    {
        writer.WriteArrayHeader(Fields);
        writer.Write((int)item.Code);
        writer.Write((int)item.Outcome);
        writer.Write(item.Result?.Revision ?? 0);
        writer.Write(item.Result is Written { Created: true } or Deleted { Existed: true });
        var found = item.Result as Found;
        writer.Write(found is null ? default : found.Value.Span);
        writer.Write(found?.ContentType);
        writer.Write(item.Result is Counted counted ? counted.Number : 0);
        if (envelope?.Evidence is { } evidence)
        {
            EvidenceCodec.Encode(ref writer, evidence);
        }
        else
        {
            writer.WriteNil();
        }

        writer.Write(envelope?.LeaderHint.Value ?? 0);
        writer.Write(item.IsHeldBack ? HeldBackDetail : ItemResult.Shortened(item.Detail));
        writer.Write(envelope?.RetryAfterMs ?? 0);
        writer.Write(envelope?.Epoch ?? 0);
        IReadOnlyList<ItemResult> items = item.Result is BatchResult batch ? batch.Items : [];
        writer.WriteArrayHeader(items.Count);
        foreach (ItemResult part in items)
        {
            Encode(ref writer, envelope: null, part);
        }

        writer.Write(envelope?.History ?? 0);
        EvidenceCodec.Encode(ref writer, envelope?.Lag);
    }

    /// <param name="reader">At the reply.</param>
    /// <param name="asked">The form does not say what its fields mean: that depends on what was asked.</param>
    /// <param name="reply">What was said.</param>
    public static bool TryDecode(ref MessagePackReader reader, Operation asked, out KvReply? reply)
    {
        reply = null;
        if (!TryDecode(ref reader, isItem: false, out FlatResult flat, out KvReply envelope))
        {
            return false;
        }

        reply = envelope with { Code = flat.Code, Outcome = flat.Outcome, Detail = flat.Detail, Result = asked.ResultOf(flat) };
        return true;
    }

    private static bool TryDecode(ref MessagePackReader reader, bool isItem, out FlatResult flat, out KvReply envelope)
    {
        flat = default;
        envelope = Blank;
        if (!reader.TryReadArrayHeader(out int fields) || fields < Fields
            || !reader.TryRead(out ushort code) || !reader.TryRead(out byte outcome) || outcome > (byte)Outcome.Applied
            || !reader.TryRead(out ulong revision) || !reader.TryRead(out bool changed)
            || !reader.TryReadBin(int.MaxValue, out var value)
            || !reader.TryReadOptionalString(Limits.MaxTextBytes, out string? contentType)
            || !reader.TryRead(out long number) || !EvidenceCodec.TryRead(ref reader, out Evidence? evidence)
            || !reader.TryRead(out uint leaderHint) || !reader.TryReadOptionalString(Limits.MaxTextBytes, out string? detail)
            || !reader.TryRead(out int retryAfterMs) || !reader.TryRead(out ulong epoch)
            || !TryReadItems(ref reader, isItem, out var items) || !reader.TryRead(out uint history)
            || !EvidenceCodec.TryRead(ref reader, out ReplicaLag? lag) || !reader.TrySkip(fields - Fields))
        {
            return false;
        }

        ReadOnlyMemory<byte> stored = StoredValue.Of(contentType, value);
        if (!StoredValue.IsValid(stored.Span))
        {
            // No node can have stored this type: taken as it is, the value would be lost without a word.
            return false;
        }

        flat = new FlatResult((ErrorCode)code, (Outcome)outcome, detail)
        {
            Revision = revision,
            Changed = changed,
            Stored = stored,
            Number = number,
            Items = items,
        };
        envelope = isItem ? Blank : new KvReply
        {
            Evidence = evidence,
            LeaderHint = new NodeId(leaderHint),
            RetryAfterMs = retryAfterMs,
            Epoch = epoch,
            History = history,
            Lag = lag,
        };
        return true;
    }

    private static bool TryReadItems(ref MessagePackReader reader, bool isItem, out IReadOnlyList<FlatResult> items)
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

        var list = new FlatResult[Math.Min(count, 1 + (reader.Remaining.Length / MinItemBytes))];
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

    private static readonly KvReply Blank = new();
}

/// <summary>A result as feature level 1 wrote it: the fields of all of them.</summary>
internal readonly record struct FlatResult(ErrorCode Code, Outcome Outcome, string? Detail)
{
    public ulong Revision { get; init; }

    public bool Changed { get; init; }

    public ReadOnlyMemory<byte> Stored { get; init; }

    public long Number { get; init; }

    public IReadOnlyList<FlatResult> Items { get; init; } = [];

    public bool IsHeldBack => Detail == FlatReplyCodec.HeldBackDetail;

    /// <summary>It was executed and has written something, or read it.</summary>
    public bool IsSuccess => Code is ErrorCode.None or ErrorCode.NotOnAll;
}
