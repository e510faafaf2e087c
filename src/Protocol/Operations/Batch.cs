namespace KvStore.Protocol;

/// <summary>
/// Writes of one group, all or none, in order: <see cref="BatchResult"/>. Body <c>[[code, body bin], …]</c>, 1 to 512 items.
/// </summary>
public sealed class Batch : WriteOperation
{
    public const byte OperationCode = 5;

    /// <param name="items">
    /// 1 to 512. Each sees what those before it would write. The values that appends lead to have at most 4 MiB together.
    /// </param>
    /// <exception cref="ArgumentException">None, or more.</exception>
    public Batch(params IReadOnlyList<KeyWrite> items)
        : this(Encode(items), items)
    {
    }

    private Batch(ReadOnlyMemory<byte> body, IReadOnlyList<KeyWrite> items)
        : base(body) => Items = items;

    public override byte Code => OperationCode;

    public IReadOnlyList<KeyWrite> Items { get; }

    public override ReadOnlyMemory<byte> Key => Items[0].Key;

    /// <summary>That of the youngest operation in it.</summary>
    public override ushort Level => Math.Max(base.Level, Items.Max(item => item.Level));

    public override Operation Youngest => Items.MaxBy(item => item.Level) is { } youngest && youngest.Level > base.Level ? youngest : this;

    public override int KeyCount => Items.Count;

    public override ReadOnlyMemory<byte> KeyAt(int index) => Items[index].Key;

    public override IReadOnlyList<Operation> Singles() => Items;

    public override int DataBytes => Items.Sum(item => item.DataBytes);

    public override int StoredBytesAtMost => StoredBytesAtMostOf(Items);

    public override bool OnlyRemoves => Items.All(item => item.OnlyRemoves);

    public override Refusal? Violation(RequestLimits limits)
    {
        long bytes = 0;
        foreach (KeyWrite item in Items)
        {
            if (item.Violation(limits) is { } violation)
            {
                return violation;
            }

            bytes += item.DataBytes;
        }

        return bytes > limits.RequestBytes ? Refusal.TooLarge("batch", bytes, "requestBytes", limits.RequestBytes) : null;
    }

    internal override FlatOperation? Flat
    {
        get
        {
            var items = new FlatOperation[Items.Count];
            for (int i = 0; i < items.Length; i++)
            {
                if (Items[i].Flat is not { } flat)
                {
                    return null;
                }

                items[i] = flat;
            }

            return new FlatOperation(OperationCode, Key) { Items = items };
        }
    }

    internal static Batch? Of(in FlatOperation flat)
    {
        var items = new KeyWrite[flat.Items.Count];
        for (int i = 0; i < items.Length; i++)
        {
            if (OperationTable.Of(flat.Items[i]) is not KeyWrite item)
            {
                return null;
            }

            items[i] = item;
        }

        return items.Length > 0 ? new Batch(items) : null;
    }

    private protected override Result? SuccessOf(in FlatResult flat) => ItemsOf(flat);

    private protected override Result? FailureOf(in FlatResult flat) => ItemsOf(flat);

    private BatchResult ItemsOf(in FlatResult flat)
    {
        var items = new ItemResult[Math.Min(flat.Items.Count, Items.Count)];
        for (int i = 0; i < items.Length; i++)
        {
            FlatResult item = flat.Items[i];
            items[i] = new ItemResult(item.Code, item.Outcome, item.Detail, Items[i].ResultOf(item)) { IsHeldBack = item.IsHeldBack };
        }

        return new BatchResult(flat.Revision, items);
    }

    internal static Refusal? FaultOf(ReadOnlyMemory<byte> body)
    {
        var reader = new BodyReader(body);
        return BodyFault.OfItems(ref reader, least: 1, static type => type.IsSubclassOf(typeof(KeyWrite)));
    }

    internal static Batch? TryRead(ReadOnlyMemory<byte> body)
    {
        var reader = new BodyReader(body);
        if (!reader.TryReadCount(Limits.MaxBatchItems, out int count) || count == 0)
        {
            return null;
        }

        var items = new KeyWrite[count];
        for (int i = 0; i < count; i++)
        {
            // A batch is no item, and must not be read as one first: batches within batches would use up the stack.
            if (!reader.TryReadFields(2) || !reader.TryRead(out byte code) || code == OperationCode
                || !reader.TryReadBin(out ReadOnlyMemory<byte> itemBody) || OperationTable.TryRead(code, itemBody) is not KeyWrite item)
            {
                return null;
            }

            items[i] = item;
        }

        return reader.IsWhole ? new Batch(body, items) : null;
    }

    private static byte[] Encode(IReadOnlyList<KeyWrite> items)
    {
        if (items.Count is 0 or > Limits.MaxBatchItems)
        {
            throw new ArgumentException($"A batch has 1 to {Limits.MaxBatchItems} items.", nameof(items));
        }

        MessagePackWriter writer = BodyWriter.Begin(items.Count);
        foreach (KeyWrite item in items)
        {
            writer.WriteArrayHeader(2);
            writer.Write((uint)item.Code);
            writer.Write(item.Body.Span);
        }

        return BodyWriter.End(ref writer);
    }
}
