using System.Buffers;
using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.StateMachine;

/// <summary>
/// Commands as entries of feature level 1 hold them. They are read for ever, and written for as long as a member of the group is at
/// that level.
/// <code>
/// payload   = version (1 byte, 0x01), then one element per request:
/// put       = [2, virtual node, id, key bin, condition kind, condition revision, stored value bin]
/// delete    = [3, virtual node, id, key bin, condition kind, condition revision]
/// increment = [4, virtual node, id, key bin, condition kind, condition revision, delta, initial]
/// batch     = [5, virtual node, id, item count], then that many elements put, delete or increment, each with id nil
/// id        = nil, or [client bin 16, sequence, first sent ms, acked below, digest]
/// </code>
/// </summary>
internal static class FlatCommands
{
    public const byte Version = 1;

    private const int BatchFields = 4;
    private const int KeyFields = 6;
    private const int StoredFields = 7;
    private const int NumberFields = 8;
    private const int IdFields = 5;
    private const int MaxStoredBytes = 1 + Limits.MaxContentTypeBytes + Limits.MaxValueBytes;

    /// <param name="output">Receives the elements.</param>
    /// <param name="operation">One that level 1 knows.</param>
    /// <param name="id">Its digest is computed anew when level 1 computes it otherwise.</param>
    /// <param name="virtualNodes">Of its keys, in order.</param>
    public static void Write(IBufferWriter<byte> output, FlatOperation operation, RequestId? id, ReadOnlySpan<int> virtualNodes)
    {
        var writer = new MessagePackWriter(output);
        if (operation.Items.Count == 0)
        {
            WriteSingle(ref writer, operation, id, virtualNodes[0]);
            writer.Flush();
            return;
        }

        writer.WriteArrayHeader(BatchFields);
        writer.Write((uint)operation.Code);
        writer.Write(virtualNodes[0]);
        WriteId(ref writer, operation, id);
        writer.Write(operation.Items.Count);
        for (int i = 0; i < operation.Items.Count; i++)
        {
            WriteSingle(ref writer, operation.Items[i], id: null, virtualNodes[i]);
        }

        writer.Flush();
    }

    public static Command Read(ref MessagePackReader reader, ReadOnlyMemory<byte> payload, List<int> virtualNodes)
    {
        FlatOperation flat = ReadElement(ref reader, payload, virtualNodes, out RequestId? id, out int itemCount);
        if (itemCount > 0)
        {
            Invariant.Check(itemCount <= Limits.MaxBatchItems, "a batch in an entry has at most 512 items");
            virtualNodes.Clear();
            var items = new FlatOperation[itemCount];
            for (int i = 0; i < itemCount; i++)
            {
                items[i] = ReadElement(ref reader, payload, virtualNodes, out RequestId? itemId, out int nested);
                Invariant.Check(nested == 0 && itemId is null, "an item of a batch is a single write without an id");
            }

            flat = flat with { Items = items };
        }

        var operation = OperationTable.Of(flat) as WriteOperation;
        Invariant.Check(
            operation is not null && HasFieldsOf(operation, flat),
            $"operation {flat.Code} in a command payload is a write of feature level 1, with its fields");
        return new Command(operation, id);
    }

    private static void WriteSingle(ref MessagePackWriter writer, in FlatOperation operation, RequestId? id, int virtualNode)
    {
        bool hasStored = !operation.Stored.IsEmpty;
        writer.WriteArrayHeader(hasStored ? StoredFields : operation.HasNumbers ? NumberFields : KeyFields);
        writer.Write((uint)operation.Code);
        writer.Write(virtualNode);
        WriteId(ref writer, operation, id);
        writer.Write(operation.Key.Span);
        writer.Write((uint)operation.Condition.Kind);
        writer.Write(operation.Condition.Revision);
        if (hasStored)
        {
            writer.Write(operation.Stored.Span);
        }
        else if (operation.HasNumbers)
        {
            writer.Write(operation.Delta);
            writer.Write(operation.Initial);
        }
    }

    private static FlatOperation ReadElement(
        ref MessagePackReader reader, ReadOnlyMemory<byte> payload, List<int> virtualNodes, out RequestId? id, out int itemCount)
    {
        itemCount = 0;
        CommandReader.Require(reader.TryReadArrayHeader(out int fields));
        CommandReader.Require(reader.TryRead(out byte code));
        CommandReader.Require(reader.TryRead(out int virtualNode));
        virtualNodes.Add(virtualNode);
        id = ReadId(ref reader);
        if (fields == BatchFields)
        {
            CommandReader.Require(reader.TryRead(out itemCount));
            Invariant.Check(itemCount > 0, "a batch in an entry has items");
            return new FlatOperation(code, default);
        }

        ReadOnlyMemory<byte> key = ReadBin(ref reader, payload, Limits.MaxKeyBytes);
        Invariant.Check(key.Length > 0, "a command has a key");
        CommandReader.Require(reader.TryRead(out byte conditionKind));
        CommandReader.Require(reader.TryRead(out ulong conditionRevision));
        Invariant.Check(conditionKind <= (byte)ConditionKind.Absent, "the condition of a command is known");
        var operation = new FlatOperation(code, key) { Condition = new KvCondition((ConditionKind)conditionKind, conditionRevision) };
        switch (fields)
        {
            case StoredFields:
                ReadOnlyMemory<byte> stored = ReadBin(ref reader, payload, MaxStoredBytes);
                Invariant.Check(StoredValue.IsValid(stored.Span), "a put carries a stored value");
                operation = operation with { Stored = stored };
                break;
            case NumberFields:
                CommandReader.Require(reader.TryRead(out long delta));
                CommandReader.Require(reader.TryRead(out long initial));
                operation = operation with { Delta = delta, Initial = initial, HasNumbers = true };
                break;
            default:
                Invariant.Check(fields == KeyFields, "a command has the fields of its operation");
                break;
        }

        return operation;
    }

    /// <summary>A field too many or too few would be a command of another build, read as one of ours.</summary>
    private static bool HasFieldsOf(Operation operation, in FlatOperation read)
    {
        if (operation.Flat is not { } own || own.Stored.IsEmpty != read.Stored.IsEmpty || own.HasNumbers != read.HasNumbers
            || own.Items.Count != read.Items.Count)
        {
            return false;
        }

        for (int i = 0; i < read.Items.Count; i++)
        {
            if (!HasFieldsOf(((Batch)operation).Items[i], read.Items[i]))
            {
                return false;
            }
        }

        return true;
    }

    private static void WriteId(ref MessagePackWriter writer, in FlatOperation operation, RequestId? id)
    {
        if (id is not { } known)
        {
            writer.WriteNil();
            return;
        }

        writer.WriteArrayHeader(IdFields);
        writer.Write(known.Client);
        writer.Write(known.Sequence);
        writer.Write(known.FirstSentMs);
        writer.Write(known.AckedBelow);
        writer.Write(known.Digest.AtLevel1(operation).Value);
    }

    private static RequestId? ReadId(ref MessagePackReader reader)
    {
        CommandReader.Require(reader.TryReadNil(out bool none));
        if (none)
        {
            return null;
        }

        CommandReader.Require(reader.TryReadArrayHeader(out int fields));
        Invariant.Check(fields == IdFields, "a request id has five fields");
        CommandReader.Require(reader.TryRead(out UInt128 client));
        CommandReader.Require(reader.TryRead(out ulong sequence));
        CommandReader.Require(reader.TryRead(out ulong firstSentMs));
        CommandReader.Require(reader.TryRead(out ulong ackedBelow));
        CommandReader.Require(reader.TryRead(out ulong digest));
        return new RequestId(client, sequence, firstSentMs, ackedBelow, RequestDigest.OfFlat(digest));
    }

    private static ReadOnlyMemory<byte> ReadBin(ref MessagePackReader reader, ReadOnlyMemory<byte> payload, int maxBytes)
    {
        CommandReader.Require(reader.TryReadBin(maxBytes, out ReadOnlySpan<byte> value));
        return payload.Slice(reader.Consumed - value.Length, value.Length);
    }
}
