using System.Buffers.Binary;
using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// One Raft entry inside an Entries item, with a checksum of its own, so that it can be read back alone long after recovery.
/// <code>
/// offset  bytes  field
///      0      8  term
///      8      8  clock: revision of the first command
///     16      4  count of revisions used
///     20      4  length of the payload
///     24      1  kind (EntryKind)
///     25      1  zero
///     26      2  feature level
///     28      4  CRC-32C of (group u32, index u64), bytes 0 … 27 and the payload
///     32      …  payload, zero-filled to a multiple of 8
/// </code>
/// The index is not stored (the item states the first one) but it is in the checksum, as is the group: an intact entry read
/// for another index or group does not verify.
/// </summary>
internal static class EntryFormat
{
    public const int HeaderBytes = 32;

    private const int ClockAt = 8;
    private const int CountAt = 16;
    private const int PayloadLengthAt = 20;
    private const int KindAt = 24;
    private const int FeatureLevelAt = 26;
    private const int ChecksumAt = 28;

    /// <summary>Bytes an entry takes, padding included.</summary>
    public static int Size(int payloadLength) => HeaderBytes + ((payloadLength + 7) & ~7);

    public static void Write(Span<byte> destination, uint group, Entry entry)
    {
        ReadOnlySpan<byte> payload = entry.Payload.Span;
        BinaryPrimitives.WriteUInt64LittleEndian(destination, entry.Term);
        BinaryPrimitives.WriteUInt64LittleEndian(destination[ClockAt..], entry.Clock);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[CountAt..], entry.Count);
        BinaryPrimitives.WriteInt32LittleEndian(destination[PayloadLengthAt..], payload.Length);
        destination[KindAt] = (byte)entry.Kind;
        destination[KindAt + 1] = 0;
        BinaryPrimitives.WriteUInt16LittleEndian(destination[FeatureLevelAt..], entry.FeatureLevel);
        payload.CopyTo(destination[HeaderBytes..]);
        destination[(HeaderBytes + payload.Length)..Size(payload.Length)].Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(destination[ChecksumAt..], Checksum(destination, payload.Length, group, entry.Index));
    }

    /// <summary>Length of the payload as stated by an entry's header; negative when the bytes cannot be one.</summary>
    public static int PayloadLength(ReadOnlySpan<byte> source) =>
        source.Length < HeaderBytes ? -1 : BinaryPrimitives.ReadInt32LittleEndian(source[PayloadLengthAt..]);

    /// <summary>What the entry table keeps of an entry, apart from its place.</summary>
    public static EntrySlot ReadSlot(ReadOnlySpan<byte> source) => new()
    {
        PayloadLength = PayloadLength(source),
        Term = BinaryPrimitives.ReadUInt64LittleEndian(source),
        LastClock = BinaryPrimitives.ReadUInt64LittleEndian(source[ClockAt..])
            + BinaryPrimitives.ReadUInt32LittleEndian(source[CountAt..]) - 1,
    };

    /// <summary>Decodes an entry over the bytes it was read into: the payload is a slice of them.</summary>
    public static bool TryRead(ReadOnlyMemory<byte> source, uint group, ulong index, out Entry? entry)
    {
        entry = null;
        ReadOnlySpan<byte> bytes = source.Span;
        int payloadLength = PayloadLength(bytes);
        if (payloadLength < 0 || payloadLength > bytes.Length - HeaderBytes
            || BinaryPrimitives.ReadUInt32LittleEndian(bytes[ChecksumAt..]) != Checksum(bytes, payloadLength, group, index))
        {
            return false;
        }

        entry = new Entry(
            BinaryPrimitives.ReadUInt64LittleEndian(bytes),
            index,
            (EntryKind)bytes[KindAt],
            BinaryPrimitives.ReadUInt16LittleEndian(bytes[FeatureLevelAt..]),
            BinaryPrimitives.ReadUInt64LittleEndian(bytes[ClockAt..]),
            BinaryPrimitives.ReadUInt32LittleEndian(bytes[CountAt..]),
            source.Slice(HeaderBytes, payloadLength));
        return true;
    }

    private static uint Checksum(ReadOnlySpan<byte> entry, int payloadLength, uint group, ulong index)
    {
        Span<byte> place = stackalloc byte[12];
        BinaryPrimitives.WriteUInt32LittleEndian(place, group);
        BinaryPrimitives.WriteUInt64LittleEndian(place[4..], index);
        uint crc = Crc32C.Append(Crc32C.Append(0, place), entry[..ChecksumAt]);
        return Crc32C.Append(crc, entry.Slice(HeaderBytes, payloadLength));
    }
}
