namespace KvStore.Protocol;

/// <summary>
/// Conditions on keys of one slot; when all of them hold the first list is executed, otherwise the second, all of it or nothing:
/// <see cref="TransactionResult"/>. Nothing else happens in between, so its reads are of one moment. Body
/// <c>[[condition, …], [[code, body bin], …], [[code, body bin], …]]</c>, a condition as drawn at <see cref="KeyCondition"/>; 1 to 512
/// conditions and items in all.
/// </summary>
public sealed class Transaction : WriteOperation
{
    public const byte OperationCode = 8;
    internal const ushort Since = 2;
    private const int Fields = 3;

    private readonly ReadOnlyMemory<byte>[] _keys;

    /// <param name="conditions">What must hold for <paramref name="then"/> to be executed; none: it always is.</param>
    /// <param name="then">Writes of one key, and reads: each sees what those before it would write.</param>
    /// <param name="otherwise">Executed instead when a condition does not hold.</param>
    /// <exception cref="ArgumentException">Nothing at all, more than 512 in all, or an item that is none.</exception>
    public Transaction(IReadOnlyList<KeyCondition> conditions, IReadOnlyList<Operation> then, IReadOnlyList<Operation> otherwise)
        : this(Encode(conditions, then, otherwise), conditions, then, otherwise)
    {
    }

    private Transaction(
        ReadOnlyMemory<byte> body, IReadOnlyList<KeyCondition> conditions, IReadOnlyList<Operation> then, IReadOnlyList<Operation> otherwise)
        : base(body)
    {
        (Conditions, Then, Otherwise) = (conditions, then, otherwise);
        _keys = [.. conditions.Select(condition => condition.Key), .. then.Concat(otherwise).Select(item => item.Key)];
    }

    public override byte Code => OperationCode;

    public IReadOnlyList<KeyCondition> Conditions { get; }

    public IReadOnlyList<Operation> Then { get; }

    public IReadOnlyList<Operation> Otherwise { get; }

    public override ReadOnlyMemory<byte> Key => _keys[0];

    /// <summary>That of the youngest operation in it.</summary>
    public override ushort Level => Math.Max(Since, Then.Concat(Otherwise).Select(item => item.Level).DefaultIfEmpty().Max());

    /// <summary>Of the conditions, then of the first list, then of the second.</summary>
    public override int KeyCount => _keys.Length;

    public override ReadOnlyMemory<byte> KeyAt(int index) => _keys[index];

    public override IReadOnlyList<Operation> Singles() => [.. Then, .. Otherwise];

    public override int DataBytes => Conditions.Sum(condition => condition.Key.Length + condition.Value.Length) + DataBytesOf(Then) + DataBytesOf(Otherwise);

    /// <summary>Its writes do, and it has some: reads alone give nothing back, and what is remembered of them takes room.</summary>
    public override bool OnlyRemoves => Then.Concat(Otherwise).OfType<WriteOperation>() is var writes && writes.Any() && writes.All(write => write.OnlyRemoves);

    /// <summary>What its reads return counts, too: it lies in memory as long.</summary>
    public override int StoredBytesAtMost => Math.Max(BytesAtMostOf(Then), BytesAtMostOf(Otherwise));

    public override Refusal? Violation(RequestLimits limits)
    {
        foreach (KeyCondition condition in Conditions)
        {
            if (KeyViolation(condition.Key, limits) is { } violation)
            {
                return violation;
            }
        }

        foreach (Operation item in Then.Concat(Otherwise))
        {
            if (item.Violation(limits) is { } violation)
            {
                return violation;
            }
        }

        int slot = Slot.Of(Key.Span);
        foreach (ReadOnlyMemory<byte> key in _keys)
        {
            if (Slot.Of(key.Span) is var other && other != slot)
            {
                return new Refusal(
                    ErrorCode.CrossGroupTransaction,
                    $"The keys of a transaction lie in slots {slot} and {other}; give them one hash tag {{…}}, which puts them into one slot.");
            }
        }

        return DataBytes > limits.RequestBytes ? Refusal.TooLarge("transaction", DataBytes, "requestBytes", limits.RequestBytes) : null;
    }

    internal static Refusal? FaultOf(ReadOnlyMemory<byte> body)
    {
        var reader = new BodyReader(body);
        if (!reader.TryReadCount(int.MaxValue, out int fields) || fields != Fields)
        {
            return Refusal.Invalid($"it has {fields} fields; it has to have {Fields}: conditions, then, otherwise.");
        }

        if (!reader.TryReadCount(Limits.MaxBatchItems, out int count))
        {
            return Refusal.Invalid($"its conditions are no list of at most {Limits.MaxBatchItems}.");
        }

        for (int i = 1; i <= count; i++)
        {
            if (!KeyCondition.TryRead(ref reader, out _))
            {
                return Refusal.Invalid($"condition {i} is none: [kind 1 to 5, key bin, and what the kind compares].");
            }
        }

        return BodyFault.OfItems(ref reader, least: 0, IsItem) ?? BodyFault.OfItems(ref reader, least: 0, IsItem)
            ?? (reader.IsWhole ? Refusal.Invalid($"a transaction has 1 to {Limits.MaxBatchItems} conditions and items in all.") : null);
    }

    internal static Transaction? TryRead(ReadOnlyMemory<byte> body)
    {
        var reader = new BodyReader(body);
        if (!reader.TryReadFields(Fields) || !reader.TryReadCount(Limits.MaxBatchItems, out int count))
        {
            return null;
        }

        List<KeyCondition> conditions = []; // grows with what is there, not with what is claimed to be
        for (int i = 0; i < count; i++)
        {
            if (!KeyCondition.TryRead(ref reader, out KeyCondition condition))
            {
                return null;
            }

            conditions.Add(condition);
        }

        return TryReadItems(ref reader, out Operation[] then) && TryReadItems(ref reader, out Operation[] otherwise) && reader.IsWhole
            && count + then.Length + otherwise.Length is > 0 and <= Limits.MaxBatchItems
            ? new Transaction(body, conditions, then, otherwise)
            : null;
    }

    private static bool TryReadItems(ref BodyReader reader, out Operation[] items)
    {
        items = [];
        if (!reader.TryReadCount(Limits.MaxBatchItems, out int count))
        {
            return false;
        }

        items = new Operation[count];
        for (int i = 0; i < count; i++)
        {
            // Lists of operations are no items, and must not be read as one first: lists within lists would use up the stack.
            if (!reader.TryReadFields(2) || !reader.TryRead(out byte code) || OperationTable.Find(code) is not { } row || !IsItem(row.Type)
                || !reader.TryReadBin(out ReadOnlyMemory<byte> itemBody) || OperationTable.TryRead(code, itemBody) is not { } item)
            {
                return false;
            }

            items[i] = item;
        }

        return true;
    }

    private static bool IsItem(Type type) => type.IsSubclassOf(typeof(KeyWrite)) || type.IsSubclassOf(typeof(ReadOperation));

    private static int BytesAtMostOf(IReadOnlyList<Operation> items) => StoredBytesAtMostOf(items)
        + (int)Math.Min((long)items.Count(item => item is ReadOperation) * Limits.MaxValueBytes, Limits.MaxTransactionReadBytes);

    private static int DataBytesOf(IReadOnlyList<Operation> items) =>
        items.Sum(item => item is WriteOperation write ? write.DataBytes : item.Key.Length);

    private static byte[] Encode(IReadOnlyList<KeyCondition> conditions, IReadOnlyList<Operation> then, IReadOnlyList<Operation> otherwise)
    {
        if (conditions.Count + then.Count + otherwise.Count is 0 or > Limits.MaxBatchItems)
        {
            throw new ArgumentException($"A transaction has 1 to {Limits.MaxBatchItems} conditions and items.", nameof(then));
        }

        MessagePackWriter writer = BodyWriter.Begin(Fields);
        writer.WriteArrayHeader(conditions.Count);
        foreach (KeyCondition condition in conditions)
        {
            condition.Write(ref writer);
        }

        Write(ref writer, then);
        Write(ref writer, otherwise);
        return BodyWriter.End(ref writer);
    }

    private static void Write(ref MessagePackWriter writer, IReadOnlyList<Operation> items)
    {
        writer.WriteArrayHeader(items.Count);
        foreach (Operation item in items)
        {
            if (!IsItem(item.GetType()))
            {
                throw new ArgumentException($"A transaction takes writes of one key and reads, and no {item.GetType().Name}.", nameof(items));
            }

            writer.WriteArrayHeader(2);
            writer.Write((uint)item.Code);
            writer.Write(item.Body.Span);
        }
    }
}
