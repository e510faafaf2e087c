using System.Buffers;
using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.StateMachine;

/// <summary>
/// Records and floors of one virtual node in a snapshot. Large ones are cut into several sections of the same virtual node;
/// an element is never cut. Integers, bool, nil, bin and array are MessagePack.
/// <code>
/// section = version (1 byte, 0x02), then elements
/// floor   = [0, client bin 16, below, expires ms]                                       ascending by client
/// record  = [1, client bin 16, sequence, expires ms, digest algorithm, digest, outcome] behind the floors, by (client, sequence)
/// outcome = [code, changed, held back, revision, number, nil or array of outcomes]      an item's own array is nil
/// </code>
/// A group of feature level 1 writes version 0x01, whose records name no algorithm: it was the only one.
/// A reader refuses whatever this writer cannot have written: a replica with a record too few executes a write twice.
/// </summary>
internal static class IdempotencySection
{
    /// <summary>In a snapshot file; 1 are the rows.</summary>
    public const byte Kind = 2;

    private const byte FlatVersion = 1;
    private const byte Version = 2;
    private const uint FloorElement = 0;
    private const uint RecordElement = 1;
    private const int RecordFields = 7;
    private const int FlatRecordFields = 6;

    /// <summary>A section is closed at this size: snapshot blocks are read into memory whole.</summary>
    private const int TargetBytes = 256 * 1024;

    public static void Capture(int virtualNode, VirtualNodeRecords records, ushort level, List<SnapshotSection> sections)
    {
        byte version = level < OperationTable.BodiesSince ? FlatVersion : Version;
        var buffer = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(buffer);
        foreach ((UInt128 client, IdempotencyFloor floor) in records.Floors)
        {
            Begin(virtualNode, version, buffer, sections);
            writer.WriteArrayHeader(4);
            writer.Write(FloorElement);
            writer.Write(client);
            writer.Write(floor.Below);
            writer.Write(floor.ExpiresMs);
            writer.Flush();
        }

        foreach ((RequestKey key, IdempotencyRecord record) in records.Records)
        {
            Begin(virtualNode, version, buffer, sections);
            writer.WriteArrayHeader(version == Version ? RecordFields : FlatRecordFields);
            writer.Write(RecordElement);
            writer.Write(key.Client);
            writer.Write(key.Sequence);
            writer.Write(record.ExpiresMs);
            if (version == Version)
            {
                writer.Write((uint)record.Digest.Algorithm);
            }

            writer.Write(record.Digest.Value);
            WriteOutcome(ref writer, record.Outcome);
            writer.Flush();
        }

        Close(virtualNode, buffer, sections);
    }

    /// <summary>Reads one section; those of one virtual node must come in the order in which they were captured.</summary>
    /// <param name="section">Of kind <see cref="Kind"/>.</param>
    /// <param name="records">Receives the elements.</param>
    /// <param name="groupTimeMs">Of the snapshot: whatever expired before it was trimmed before the capture.</param>
    /// <param name="last">The last element of the virtual node so far; updated.</param>
    public static void Restore(SnapshotSection section, IdempotencyRecords records, ulong groupTimeMs, ref ElementPosition? last)
    {
        byte version = section.Data.Length > 1 ? section.Data.Span[0] : (byte)0;
        Require(version is Version or FlatVersion, "has an unknown version or is empty");
        var reader = new MessagePackReader(section.Data.Span[1..]);
        while (!reader.AtEnd)
        {
            Require(reader.TryReadArrayHeader(out int fields), Malformed);
            Require(reader.TryRead(out uint element), Malformed);
            Require(reader.TryRead(out UInt128 client), Malformed);
            Require(reader.TryRead(out ulong sequence), Malformed);
            Require(reader.TryRead(out ulong expiresMs), Malformed);
            Require(expiresMs >= groupTimeMs, "has an element that had expired");
            var position = new ElementPosition(element, new RequestKey(client, sequence));
            Require(last is not { } before || position.Follows(before), "is out of order");
            last = position;
            switch (element)
            {
                case FloorElement:
                    Require(fields == 4 && sequence > 1, Malformed);
                    records.RaiseFloor(section.VirtualNode, client, sequence, expiresMs);
                    break;
                case RecordElement:
                    Require(fields == (version == Version ? RecordFields : FlatRecordFields), Malformed);
                    RequestDigest digest = ReadDigest(ref reader, version);
                    ulong floor = records.Of(section.VirtualNode)?.FloorOf(client).Below ?? 0;
                    Require(position.Key.IsUserKey || sequence >= floor, "has a record below its client's floor");
                    var record = new IdempotencyRecord(expiresMs, digest, ReadOutcome(ref reader, isItem: false));
                    records.Add(section.VirtualNode, position.Key, record);
                    break;
                default:
                    throw new CorruptStorageException("Idempotency section has an unknown element.");
            }
        }
    }

    private static RequestDigest ReadDigest(ref MessagePackReader reader, byte version)
    {
        byte algorithm = 0;
        Require(version == FlatVersion || reader.TryRead(out algorithm), Malformed);
        Require(reader.TryRead(out ulong digest), Malformed);
        return version == FlatVersion ? RequestDigest.OfFlat(digest) : new RequestDigest((DigestAlgorithm)algorithm, digest);
    }

    private static void Begin(int virtualNode, byte version, ArrayBufferWriter<byte> buffer, List<SnapshotSection> sections)
    {
        if (buffer.WrittenCount >= TargetBytes)
        {
            Close(virtualNode, buffer, sections);
        }

        if (buffer.WrittenCount == 0)
        {
            buffer.Write([version]);
        }
    }

    private static void Close(int virtualNode, ArrayBufferWriter<byte> buffer, List<SnapshotSection> sections)
    {
        if (buffer.WrittenCount > 0)
        {
            sections.Add(new SnapshotSection(virtualNode, Kind, buffer.WrittenSpan.ToArray()));
            buffer.ResetWrittenCount();
        }
    }

    private static void WriteOutcome(ref MessagePackWriter writer, ExecutedOutcome outcome)
    {
        writer.WriteArrayHeader(6);
        writer.Write((uint)outcome.Code);
        writer.Write(outcome.Changed);
        writer.Write(outcome.HeldBack);
        writer.Write(outcome.Revision);
        writer.Write(outcome.Number);
        if (outcome.Items is null)
        {
            writer.WriteNil();
            return;
        }

        writer.WriteArrayHeader(outcome.Items.Length);
        foreach (ExecutedOutcome item in outcome.Items)
        {
            WriteOutcome(ref writer, item);
        }
    }

    private static ExecutedOutcome ReadOutcome(ref MessagePackReader reader, bool isItem)
    {
        Require(reader.TryReadArrayHeader(out int fields), Malformed);
        Require(fields == 6, Malformed);
        Require(reader.TryRead(out ushort code), Malformed);
        Require(ExecutedOutcome.IsExecuted((ErrorCode)code), Malformed);
        Require(reader.TryRead(out bool changed), Malformed);
        Require(reader.TryRead(out bool heldBack), Malformed);
        Require(reader.TryRead(out ulong revision), Malformed);
        Require(reader.TryRead(out long number), Malformed);
        Require(reader.TryReadNil(out bool single), Malformed);
        ExecutedOutcome[]? items = null;
        if (!single)
        {
            Require(!isItem, Malformed);
            Require(reader.TryReadArrayHeader(out int count), Malformed);
            Require(count is > 0 and <= Limits.MaxBatchItems, Malformed);
            items = new ExecutedOutcome[count];
            for (int i = 0; i < count; i++)
            {
                items[i] = ReadOutcome(ref reader, isItem: true);
            }
        }

        return new ExecutedOutcome((ErrorCode)code, changed, heldBack, revision, number, items);
    }

    private const string Malformed = "is malformed";

    private static void Require([System.Diagnostics.CodeAnalysis.DoesNotReturnIf(false)] bool holds, string problem)
    {
        if (!holds)
        {
            throw new CorruptStorageException($"Idempotency section {problem}.");
        }
    }

    /// <summary>Where an element stands within its virtual node: floors before records, each ascending.</summary>
    internal readonly record struct ElementPosition(uint Element, RequestKey Key)
    {
        public bool Follows(ElementPosition other) =>
            Element != other.Element ? Element > other.Element
            : Element == FloorElement ? Key.Client > other.Key.Client
            : Key.CompareTo(other.Key) > 0;
    }
}
