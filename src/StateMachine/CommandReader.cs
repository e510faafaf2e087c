using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.StateMachine;

/// <summary>One write as an entry carries it; its memory points into the entry's payload.</summary>
internal readonly record struct Command(WriteOperation Operation, RequestId? Id);

/// <summary>
/// Reads what <see cref="CommandBatchWriter"/> wrote. The bytes are committed: a majority has them and their checksum held, so
/// anything unreadable is a broken invariant and stops the replica.
/// </summary>
internal ref struct CommandReader
{
    private readonly ReadOnlyMemory<byte> _payload;
    private readonly bool _isFlat;
    private MessagePackReader _reader;

    public CommandReader(ReadOnlyMemory<byte> payload)
    {
        Invariant.Check(payload.Length > 1, "a command entry has a payload");
        byte version = payload.Span[0];
        Invariant.Check(
            version is CommandBatchWriter.Version or FlatCommands.Version, "the version of a command payload is known");
        _isFlat = version == FlatCommands.Version;
        _payload = payload[1..];
        _reader = new MessagePackReader(_payload.Span);
    }

    public readonly bool AtEnd => _reader.AtEnd;

    /// <summary>The next request.</summary>
    /// <param name="virtualNodes">Cleared; receives those of the request's keys, in order.</param>
    public Command Read(List<int> virtualNodes)
    {
        virtualNodes.Clear();
        return _isFlat ? FlatCommands.Read(ref _reader, _payload, virtualNodes) : ReadCommand(virtualNodes);
    }

    private Command ReadCommand(List<int> virtualNodes)
    {
        Require(_reader.TryReadArrayHeader(out int fields));
        Require(_reader.TryRead(out byte code));
        Require(RequestIdCodec.TryRead(ref _reader, out RequestId? id));
        Require(_reader.TryReadBin(int.MaxValue, out ReadOnlySpan<byte> body));
        var operation = OperationTable.TryRead(code, _payload.Slice(_reader.Consumed - body.Length, body.Length)) as WriteOperation;
        Invariant.Check(operation is not null, "an operation in a command payload is a write that this build knows");
        Invariant.Check(fields == CommandBatchWriter.Fields + operation.KeyCount, "a command names a virtual node for each key");
        for (int i = 0; i < operation.KeyCount; i++)
        {
            Require(_reader.TryRead(out int virtualNode));
            virtualNodes.Add(virtualNode);
        }

        return new Command(operation, id);
    }

    internal static void Require(bool read) => Invariant.Check(read, "a committed command payload is well formed");
}
