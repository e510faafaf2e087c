using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication;

/// <summary>
/// Reads what <see cref="CommandBatchWriter"/> wrote. The bytes are committed: a majority has them and their checksum held, so
/// anything unreadable is a broken invariant and stops the replica.
/// </summary>
internal ref struct CommandReader
{
    private readonly ReadOnlyMemory<byte> _payload;
    private MessagePackReader _reader;

    public CommandReader(ReadOnlyMemory<byte> payload)
    {
        Invariant.Check(payload.Length > 1, "a command entry has a payload");
        Invariant.Check(payload.Span[0] == CommandBatchWriter.Version, "the version of a command payload is known");
        _payload = payload[1..];
        _reader = new MessagePackReader(_payload.Span);
    }

    public readonly bool AtEnd => _reader.AtEnd;

    /// <summary>The next request. Its items, if it is a batch, must be read before the next one.</summary>
    public Command ReadRequest()
    {
        Command command = Read();
        Invariant.Check(command.ItemCount <= Limits.MaxBatchItems, "a batch in an entry has at most 512 items");
        return command;
    }

    public Command ReadItem()
    {
        Command item = Read();
        Invariant.Check(item.Operation != KvOperation.Batch && item.Id is null, "an item of a batch is a single write without an id");
        return item;
    }

    private Command Read()
    {
        Require(_reader.TryReadArrayHeader(out int fields));
        Require(_reader.TryRead(out byte opcode));
        Require(_reader.TryRead(out int virtualNode));
        RequestId? id = ReadId();
        var operation = (KvOperation)opcode;
        int expected = operation switch
        {
            KvOperation.Put => 7,
            KvOperation.Delete => 6,
            KvOperation.Increment => 8,
            KvOperation.Batch => 4,
            _ => throw new InvariantViolationException($"opcode {opcode} in a command payload is unknown"),
        };
        Invariant.Check(fields == expected, "a command has the fields of its opcode");
        if (operation == KvOperation.Batch)
        {
            Require(_reader.TryRead(out int itemCount));
            Invariant.Check(itemCount > 0, "a batch in an entry has items");
            return new Command(operation, virtualNode, id, default, default, default, 0, 0, itemCount);
        }

        ReadOnlyMemory<byte> key = ReadBin(Limits.MaxKeyBytes);
        Invariant.Check(key.Length > 0, "a command has a key");
        Require(_reader.TryRead(out byte conditionKind));
        Require(_reader.TryRead(out ulong conditionRevision));
        Invariant.Check(conditionKind <= (byte)ConditionKind.Absent, "the condition of a command is known");
        var condition = new KvCondition((ConditionKind)conditionKind, conditionRevision);
        ReadOnlyMemory<byte> stored = default;
        long delta = 0;
        long initial = 0;
        if (operation == KvOperation.Put)
        {
            stored = ReadBin(MaxStoredBytes);
            Invariant.Check(StoredValue.TrySplit(stored.Span, out _, out _), "a put carries a stored value");
        }
        else if (operation == KvOperation.Increment)
        {
            Require(_reader.TryRead(out delta));
            Require(_reader.TryRead(out initial));
        }

        return new Command(operation, virtualNode, id, key, condition, stored, delta, initial, ItemCount: 0);
    }

    private RequestId? ReadId()
    {
        Require(_reader.TryReadNil(out bool none));
        if (none)
        {
            return null;
        }

        Require(_reader.TryReadArrayHeader(out int fields));
        Invariant.Check(fields == 5, "a request id has five fields");
        Require(_reader.TryRead(out UInt128 client));
        Require(_reader.TryRead(out ulong sequence));
        Require(_reader.TryRead(out ulong firstSentMs));
        Require(_reader.TryRead(out ulong ackedBelow));
        Require(_reader.TryRead(out ulong digest));
        return new RequestId(client, sequence, firstSentMs, ackedBelow, digest);
    }

    private ReadOnlyMemory<byte> ReadBin(int maxBytes)
    {
        Require(_reader.TryReadBin(maxBytes, out ReadOnlySpan<byte> value));
        return _payload.Slice(_reader.Consumed - value.Length, value.Length);
    }

    private static void Require(bool read) => Invariant.Check(read, "a committed command payload is well formed");

    private const int MaxStoredBytes = 1 + Limits.MaxContentTypeBytes + Limits.MaxValueBytes;
}
