using System.Buffers;
using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication;

/// <summary>
/// Collects the write requests of one loop turn into the payload of one command entry. Integers, nil, bin and array are
/// MessagePack; opcodes are the numbers of <see cref="KvOperation"/>.
/// <code>
/// payload   = version (1 byte, 0x01), then one element per request:
/// put       = [2, virtual node, id, key bin, condition kind, condition revision, stored value bin]
/// delete    = [3, virtual node, id, key bin, condition kind, condition revision]
/// increment = [4, virtual node, id, key bin, condition kind, condition revision, delta, initial]
/// batch     = [5, virtual node, id, item count], then that many elements put, delete or increment, each with id nil
/// id        = nil, or [client bin 16, sequence, first sent ms, acked below, digest]
/// </code>
/// The version changes when a replica could misread the bytes; a new opcode needs a higher feature level of the entry instead.
/// A reader that finds anything it does not know stops the replica: skipping a command would make replicas differ.
/// Length and checksum are the log's.
/// </summary>
public sealed class CommandBatchWriter
{
    internal const byte Version = 1;

    /// <summary>A buffer grown past this by one large turn is given back, or every group would keep its largest forever.</summary>
    private const int MaxKeptBytes = 512 * 1024;

    private readonly int _virtualNodeCount;
    private ArrayBufferWriter<byte> _stored = new();
    private ArrayBufferWriter<byte> _buffer = new();

    /// <param name="virtualNodeCount">
    /// Virtual nodes of the whole cluster, fixed at bootstrap: the items of a batch may lie in several of one group's.
    /// </param>
    public CommandBatchWriter(int virtualNodeCount) => _virtualNodeCount = virtualNodeCount;

    /// <summary>Revisions the entry will use: one per request, in a batch one per item.</summary>
    public uint Revisions { get; private set; }

    public int Requests { get; private set; }

    /// <summary>Payload bytes so far; 0 when nothing was added.</summary>
    public int Bytes => _buffer.WrittenCount;

    /// <summary>Adds a write that has passed the checks at the front door.</summary>
    public void Add(KvRequest request, int virtualNode)
    {
        if (_buffer.WrittenCount == 0)
        {
            _buffer.GetSpan(1)[0] = Version;
            _buffer.Advance(1);
        }

        var writer = new MessagePackWriter(_buffer);
        if (request.Operation == KvOperation.Batch)
        {
            AddBatch(ref writer, request, virtualNode);
        }
        else
        {
            AddSingle(ref writer, request, virtualNode, request.Id);
            Revisions++;
        }

        writer.Flush();
        Requests++;
    }

    /// <summary>The payload in an array of exactly its size: the entry keeps it. The writer is empty again.</summary>
    public ReadOnlyMemory<byte> TakePayload()
    {
        Invariant.Check(Requests > 0, "an entry is made of at least one request");
        byte[] payload = _buffer.WrittenSpan.ToArray();
        Revisions = 0;
        Requests = 0;
        _buffer = Emptied(_buffer);
        _stored = Emptied(_stored);
        return payload;
    }

    private static ArrayBufferWriter<byte> Emptied(ArrayBufferWriter<byte> buffer)
    {
        if (buffer.Capacity > MaxKeptBytes)
        {
            return new ArrayBufferWriter<byte>();
        }

        buffer.ResetWrittenCount();
        return buffer;
    }

    private void AddBatch(ref MessagePackWriter writer, KvRequest batch, int virtualNode)
    {
        Invariant.Check(batch.Items.Count is > 0 and <= Limits.MaxBatchItems, "a batch has 1 to 512 items");
        writer.WriteArrayHeader(4);
        writer.Write((uint)KvOperation.Batch);
        writer.Write(virtualNode);
        WriteId(ref writer, batch.Id);
        writer.Write(batch.Items.Count);
        foreach (KvRequest item in batch.Items)
        {
            int itemVirtualNode = Slot.Of(item.Key.Span) / (Limits.SlotCount / _virtualNodeCount);
            AddSingle(ref writer, item, itemVirtualNode, id: null);
        }

        Revisions += (uint)batch.Items.Count;
    }

    private void AddSingle(ref MessagePackWriter writer, KvRequest request, int virtualNode, RequestId? id)
    {
        Invariant.Check(request.Key.Length is > 0 and <= Limits.MaxKeyBytes, "a key has 1 to 2,048 bytes");
        Invariant.Check(request.Value.Length <= Limits.MaxValueBytes, "a value has at most 1 MiB");
        writer.WriteArrayHeader(request.Operation switch
        {
            KvOperation.Put => 7,
            KvOperation.Delete => 6,
            KvOperation.Increment => 8,
            _ => throw new InvariantViolationException($"operation {request.Operation} is no single write"),
        });
        writer.Write((uint)request.Operation);
        writer.Write(virtualNode);
        WriteId(ref writer, id);
        writer.Write(request.Key.Span);
        writer.Write((uint)request.Condition.Kind);
        writer.Write(request.Condition.Revision);
        if (request.Operation == KvOperation.Put)
        {
            _stored.ResetWrittenCount();
            StoredValue.Write(_stored, request.ContentType, request.Value.Span);
            writer.Write(_stored.WrittenSpan);
        }
        else if (request.Operation == KvOperation.Increment)
        {
            writer.Write(request.Delta);
            writer.Write(request.Initial);
        }
    }

    private static void WriteId(ref MessagePackWriter writer, RequestId? id)
    {
        if (id is not { } known)
        {
            writer.WriteNil();
            return;
        }

        writer.WriteArrayHeader(5);
        writer.Write(known.Client);
        writer.Write(known.Sequence);
        writer.Write(known.FirstSentMs);
        writer.Write(known.AckedBelow);
        writer.Write(known.Digest);
    }
}
