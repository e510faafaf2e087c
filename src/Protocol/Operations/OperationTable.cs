namespace KvStore.Protocol;

/// <summary>One operation as everything but its own file sees it.</summary>
/// <param name="Code">On the wire and in the log.</param>
/// <param name="Name">In metrics, logs and error messages.</param>
/// <param name="Type">Of the operation; whether it is a <see cref="WriteOperation"/> decides whether it goes through the log.</param>
/// <param name="Level">Lowest feature level of a group that may hold it in its log, and of a connection that may carry it.</param>
/// <param name="Answer">In one reply, or in parts.</param>
public sealed record OperationRow(byte Code, string Name, Type Type, ushort Level, AnswerForm Answer)
{
    public bool IsWrite => Type.IsAssignableTo(typeof(WriteOperation));

    /// <summary>A replica answers it from its table.</summary>
    public bool IsRead => Type.IsAssignableTo(typeof(ReadOperation));

    internal Func<ReadOnlyMemory<byte>, Operation?> Read { get; init; } = _ => null;

    /// <summary>What is wrong with a body that is one whole array and that <see cref="Read"/> does not take; null when it cannot say.</summary>
    internal Func<ReadOnlyMemory<byte>, Refusal?>? Fault { get; init; }

    /// <summary>From its form of feature level 1; null for operations that are younger.</summary>
    internal FlatReader? OfFlat { get; init; }
}

/// <summary>How an operation is answered.</summary>
public enum AnswerForm : byte
{
    /// <summary>One reply.</summary>
    Once,

    /// <summary>Items under the credit of the asking side, then a reply that ends them.</summary>
    InParts,
}

internal delegate Operation? FlatReader(in FlatOperation flat);

/// <summary>Every operation, once. Whoever needs to know what a number means asks here; nobody else tells operations apart by number.</summary>
public static class OperationTable
{
    /// <summary>From this feature level on operations have bodies, on the wire and in the log.</summary>
    public const ushort BodiesSince = 2;

    /// <summary>Ascending by code, without a gap.</summary>
    public static IReadOnlyList<OperationRow> All => Rows;

    private static readonly OperationRow[] Rows =
    [
        Row<Get>(Get.OperationCode, "get", Get.TryRead) with { OfFlat = Get.Of },
        Row<Put>(Put.OperationCode, "put", Put.TryRead) with { OfFlat = Put.Of, Fault = Put.FaultOf },
        Row<Delete>(Delete.OperationCode, "delete", Delete.TryRead) with { OfFlat = Delete.Of, Fault = Delete.FaultOf },
        Row<Increment>(Increment.OperationCode, "incr", Increment.TryRead) with { OfFlat = Increment.Of, Fault = Increment.FaultOf },
        Row<Batch>(Batch.OperationCode, "batch", Batch.TryRead) with { OfFlat = Batch.Of, Fault = Batch.FaultOf },
        Row<Append>(Append.OperationCode, "append", Append.TryRead, Append.Since) with { Fault = Append.FaultOf },
        Row<GetRouting>(GetRouting.OperationCode, "routing", GetRouting.TryRead, GetRouting.Since),
        Row<Transaction>(Transaction.OperationCode, "txn", Transaction.TryRead, Transaction.Since) with { Fault = Transaction.FaultOf },
    ];

    /// <summary>Null when this build knows no operation of this number.</summary>
    public static OperationRow? Find(byte code) => code >= 1 && code <= Rows.Length ? Rows[code - 1] : null;

    /// <summary>Null when the body is not one of this operation.</summary>
    public static Operation? TryRead(byte code, ReadOnlyMemory<byte> body) =>
        Find(code) is { } row ? row.Read(body) : new UnknownOperation(code, body);

    internal static Operation? Of(in FlatOperation flat) => Find(flat.Code)?.OfFlat?.Invoke(flat);

    private static OperationRow Row<T>(
        byte code, string name, Func<ReadOnlyMemory<byte>, T?> read, ushort level = FeatureLevel.First, AnswerForm answer = AnswerForm.Once)
        where T : Operation =>
        new(code, name, typeof(T), level, answer) { Read = read };
}
