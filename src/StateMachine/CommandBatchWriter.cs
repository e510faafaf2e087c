using System.Buffers;
using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.StateMachine;

/// <summary>
/// Collects the writes of one loop turn into the payload of one command entry. Integers, nil, bin and array are MessagePack.
/// <code>
/// payload = version (1 byte, 0x02), then one element per request:
/// element = [code, id, body bin, virtual node of the first key, of the second, …]
/// </code>
/// The code is a number of <see cref="OperationTable"/>, the body the operation's own, copied as it came in; the id is drawn at
/// <see cref="RequestIdCodec"/>. A group of feature level 1 gets version 1 (<see cref="FlatCommands"/>).
/// The version changes when a replica could misread the bytes; a new operation needs a higher feature level of the entry instead.
/// A reader that finds anything it does not know stops the replica: skipping a command would make replicas differ.
/// Length and checksum are the log's.
/// </summary>
public sealed class CommandBatchWriter
{
    internal const byte Version = 2;

    /// <summary>Of an element, before the virtual nodes.</summary>
    internal const int Fields = 3;

    /// <summary>A buffer grown past this by one large turn is given back, or every group would keep its largest forever.</summary>
    private const int MaxKeptBytes = 512 * 1024;

    private readonly int _slotsPerVirtualNode;
    private ArrayBufferWriter<byte> _buffer = new();

    /// <param name="virtualNodeCount">
    /// Virtual nodes of the whole cluster, fixed at bootstrap: the keys of a batch may lie in several of one group's.
    /// </param>
    public CommandBatchWriter(int virtualNodeCount) => _slotsPerVirtualNode = Limits.SlotCount / virtualNodeCount;

    /// <summary>Revisions the entry will use: one per key.</summary>
    public uint Revisions { get; private set; }

    public int Requests { get; private set; }

    /// <summary>Feature level the entry needs: that of the first request added.</summary>
    public ushort Level { get; private set; }

    /// <summary>Payload bytes so far; 0 when nothing was added.</summary>
    public int Bytes => _buffer.WrittenCount;

    /// <summary>Adds a write that has passed the checks at the front door, and that the level knows.</summary>
    /// <param name="operation">Copied.</param>
    /// <param name="id">Null: nobody will send it again.</param>
    /// <param name="level">
    /// Of the group; within one payload that of the first request counts. A caller that has heard of a higher one since takes the payload first.
    /// </param>
    public void Add(WriteOperation operation, RequestId? id, ushort level)
    {
        if (_buffer.WrittenCount == 0)
        {
            Level = level;
            _buffer.GetSpan(1)[0] = level < OperationTable.BodiesSince ? FlatCommands.Version : Version;
            _buffer.Advance(1);
        }

        Span<int> virtualNodes = stackalloc int[operation.KeyCount];
        for (int i = 0; i < virtualNodes.Length; i++)
        {
            ReadOnlySpan<byte> key = operation.KeyAt(i).Span;
            Invariant.Check(key.Length is > 0 and <= Limits.MaxKeyBytes, "a key has 1 to 2,048 bytes");
            virtualNodes[i] = Slot.Of(key) / _slotsPerVirtualNode;
        }

        if (Level < OperationTable.BodiesSince)
        {
            FlatOperation? flat = operation.Flat;
            Invariant.Check(flat is not null, "an entry of level 1 holds operations of level 1");
            FlatCommands.Write(_buffer, flat.Value, id, virtualNodes);
        }
        else
        {
            var writer = new MessagePackWriter(_buffer);
            writer.WriteArrayHeader(Fields + virtualNodes.Length);
            writer.Write((uint)operation.Code);
            RequestIdCodec.Write(ref writer, id);
            writer.Write(operation.Body.Span);
            foreach (int virtualNode in virtualNodes)
            {
                writer.Write(virtualNode);
            }

            writer.Flush();
        }

        Revisions += (uint)virtualNodes.Length;
        Requests++;
    }

    /// <summary>The payload in an array of exactly its size: the entry keeps it. The writer is empty again.</summary>
    public ReadOnlyMemory<byte> TakePayload()
    {
        Invariant.Check(Requests > 0, "an entry is made of at least one request");
        byte[] payload = _buffer.WrittenSpan.ToArray();
        Revisions = 0;
        Requests = 0;
        if (_buffer.Capacity > MaxKeptBytes)
        {
            _buffer = new ArrayBufferWriter<byte>();
        }
        else
        {
            _buffer.ResetWrittenCount();
        }

        return payload;
    }
}
