namespace KvStore.Protocol;

/// <summary>
/// Which list of a transaction was executed, and what each of its items came to: <c>[8, revision, succeeded bool, [item, …]]</c>, an item as
/// in <see cref="ItemResult"/>. A read that found nothing is KeyNotFound; one whose version is gone when a copy of the request is
/// answered, or whose value was not kept for a client that reads too slowly, is Superseded, with the revision it saw. When a write failed
/// nothing was written, and the reply has its code.
/// </summary>
/// <param name="Revision">The highest that the executed list could use; 0 when nothing was written.</param>
/// <param name="Succeeded">All conditions held, so the items are those of the first list.</param>
/// <param name="Items">In the order of that list.</param>
public sealed record TransactionResult(ulong Revision, bool Succeeded, IReadOnlyList<ItemResult> Items) : Result(Revision)
{
    internal const byte ResultKind = 8;

    internal override byte Kind => ResultKind;

    internal override int Fields => 2;

    public override int HeldBytes => Items.Sum(item => item.Result?.HeldBytes ?? 0);

    /// <summary>A value that was read becomes Superseded, without a word: there is one such answer for each of many requests.</summary>
    public override Result WithoutValues() => this with
    {
        Items = [.. Items.Select(item => item.Result is Found { HeldBytes: > 0 } found ? new ItemResult(ErrorCode.Superseded, Outcome.None, null, new Current(found.Revision)) : item)],
    };

    internal override void WriteFields(ref MessagePackWriter writer)
    {
        writer.Write(Succeeded);
        writer.WriteArrayHeader(Items.Count);
        foreach (ItemResult item in Items)
        {
            item.Write(ref writer);
        }
    }

    internal static bool TryReadFields(ref MessagePackReader reader, ulong revision, int fields, out Result? result)
    {
        result = null;
        if (fields < 2 || !reader.TryRead(out bool succeeded) || !ItemResult.TryReadList(ref reader, out ItemResult[] items))
        {
            return false;
        }

        result = new TransactionResult(revision, succeeded, items);
        return reader.TrySkip(fields - 2);
    }
}
