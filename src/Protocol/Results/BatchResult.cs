namespace KvStore.Protocol;

/// <summary>
/// What each write of a batch came to, in order: <c>[5, revision, [item, …]]</c>, an item as in <see cref="ItemResult"/>. When one failed
/// nothing was written, the reply has its code, and every item shows its key's current revision.
/// </summary>
/// <param name="Revision">Of the last write; 0 when nothing was written.</param>
/// <param name="Items">In the order of the batch.</param>
public sealed record BatchResult(ulong Revision, IReadOnlyList<ItemResult> Items) : Result(Revision)
{
    internal const byte ResultKind = 5;

    internal override byte Kind => ResultKind;

    internal override int Fields => 1;

    public override int HeldBytes => Items.Sum(item => item.Result?.HeldBytes ?? 0);

    internal override void WriteFields(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(Items.Count);
        foreach (ItemResult item in Items)
        {
            item.Write(ref writer);
        }
    }

    internal static bool TryReadFields(ref MessagePackReader reader, ulong revision, int fields, out Result? result)
    {
        result = null;
        if (fields < 1 || !ItemResult.TryReadList(ref reader, out ItemResult[] items))
        {
            return false;
        }

        result = new BatchResult(revision, items);
        return reader.TrySkip(fields - 1);
    }
}

/// <summary>
/// How one operation ended: <c>[code, outcome, detail str|nil, result nil|[…]]</c>, and as an item of a list that was held back <c>true</c> behind
/// them. A code this build does not know stays a number.
/// </summary>
public readonly record struct ItemResult(ErrorCode Code, Outcome Outcome, string? Detail, Result? Result)
{
    private const int Fields = 4;

    /// <summary>Nothing is wrong with this item of a list: it has the code of another one, which failed and took it along.</summary>
    public bool IsHeldBack { get; init; }

    internal void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(IsHeldBack ? Fields + 1 : Fields);
        writer.Write((uint)Code);
        writer.Write((uint)Outcome);
        writer.Write(Shortened(Detail));
        if (Result is null)
        {
            writer.WriteNil();
        }
        else
        {
            Result.Write(ref writer);
        }

        if (IsHeldBack)
        {
            writer.Write(IsHeldBack);
        }
    }

    /// <summary>Items of one result, which hold no lists of their own.</summary>
    internal static bool TryReadList(ref MessagePackReader reader, out ItemResult[] items)
    {
        items = [];
        if (!reader.TryReadArrayHeader(out int count) || count > Limits.MaxBatchItems)
        {
            return false;
        }

        items = new ItemResult[count];
        for (int i = 0; i < count; i++)
        {
            if (!TryRead(ref reader, isItem: true, out items[i]))
            {
                return false;
            }
        }

        return true;
    }

    internal static bool TryRead(ref MessagePackReader reader, bool isItem, out ItemResult item)
    {
        item = default;
        bool isHeldBack = false;
        if (!reader.TryReadArrayHeader(out int fields) || fields < Fields || !reader.TryRead(out ushort code)
            || !reader.TryRead(out byte outcome) || outcome > (byte)Outcome.Applied
            || !reader.TryReadOptionalString(Limits.MaxTextBytes, out string? detail)
            || !Result.TryRead(ref reader, isItem, out Result? result))
        {
            return false;
        }

        bool saysMore = isItem && fields > Fields;
        if ((saysMore && !reader.TryRead(out isHeldBack)) || !reader.TrySkip(fields - Fields - (saysMore ? 1 : 0)))
        {
            return false;
        }

        item = new ItemResult((ErrorCode)code, (Outcome)outcome, detail, result) { IsHeldBack = isHeldBack };
        return true;
    }

    // A character of UTF-16 is at most three bytes of UTF-8.
    internal static string? Shortened(string? detail) =>
        detail is { Length: > Limits.MaxTextBytes / 3 } ? detail[..(Limits.MaxTextBytes / 3)] : detail;
}
