namespace KvStore.Protocol;

/// <summary>What is wrong with a body that is none of its operation, as far as its bytes tell. Nothing is decided by it.</summary>
internal static class BodyFault
{
    private const string Drawn = "each field as it is drawn for the operation, in its range and its shortest form";

    public static Refusal Of(OperationRow row, ReadOnlyMemory<byte> body)
    {
        string of = $"The body of {NameOf(row)}";
        var reader = new MessagePackReader(body.Span);
        if (!reader.TryReadArrayHeader(out int fields))
        {
            return Refusal.Invalid($"{of} is no MessagePack array, or ends before its fields do.");
        }

        if (!reader.TrySkip(fields))
        {
            return Refusal.Invalid($"{of} ends, or is not MessagePack any more, before the last of its {fields} fields.");
        }

        return !reader.AtEnd ? Refusal.Invalid($"{of} has {reader.Remaining.Length} bytes behind its last field.")
            : row.Fault?.Invoke(body) is { } fault ? fault with { Detail = $"{of}: {fault.Detail}" }
            : Refusal.Invalid($"{of} with its {fields} fields is not what is asked for: {Drawn}.");
    }

    /// <summary>Of writes of one key, which begin alike.</summary>
    /// <param name="body">One whole array.</param>
    /// <param name="fields">That the operation has.</param>
    public static Refusal? OfKeyWrite(ReadOnlyMemory<byte> body, int fields)
    {
        var reader = new MessagePackReader(body.Span);
        return !reader.TryReadArrayHeader(out int found) || found != fields ? Refusal.Invalid($"it has {found} fields; it has to have {fields}.")
            : !reader.TryReadBin(int.MaxValue, out _) ? Refusal.Invalid("its key is no bin.")
            : !reader.TryRead(out byte kind) || kind > (byte)ConditionKind.Absent ? Refusal.Invalid("its conditionKind is not 0 to 3.")
            : !reader.TryRead(out ulong _) ? Refusal.Invalid("its conditionRevision is no whole number.")
            : null;
    }

    /// <summary>Of a list of operations; null when nothing is wrong with it by itself. The reader stands behind it then.</summary>
    /// <param name="reader">Before the list.</param>
    /// <param name="least">Items there must be.</param>
    /// <param name="isItem">Whether an operation of this type has a place in it.</param>
    public static Refusal? OfItems(ref BodyReader reader, int least, Func<Type, bool> isItem)
    {
        if (!reader.TryReadCount(int.MaxValue, out int count))
        {
            return Refusal.Invalid("its operations are no list.");
        }

        if (count < least || count > Limits.MaxBatchItems)
        {
            return Refusal.Invalid($"it has {count} items; {least} to {Limits.MaxBatchItems} are taken.");
        }

        for (int i = 1; i <= count; i++)
        {
            if (!reader.TryReadFields(2) || !reader.TryRead(out byte code) || !reader.TryReadBin(out ReadOnlyMemory<byte> body))
            {
                return Refusal.Invalid($"item {i} is not [operation 0 to 255, body bin].");
            }

            if (OperationTable.Find(code) is not { } row)
            {
                return new Refusal(ErrorCode.Unsupported, $"item {i} is operation {code}, which this node does not know; a newer one may.");
            }

            if (!isItem(row.Type))
            {
                return Refusal.Invalid($"item {i} is {NameOf(row)}, which has no place in a list.");
            }

            if (OperationTable.TryRead(code, body) is null)
            {
                Refusal inner = Of(row, body);
                return inner with { Detail = $"item {i}: {inner.Detail}" };
            }
        }

        return null;
    }

    private static string NameOf(OperationRow row) => $"operation {row.Code} ({row.Name})";
}
