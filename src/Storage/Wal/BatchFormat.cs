using System.Buffers.Binary;
using System.Text;

namespace KvStore.Storage;

/// <summary>What a batch is besides a carrier of items.</summary>
[Flags]
internal enum BatchFlags : ushort
{
    None = 0,

    /// <summary>
    /// No items: it only witnesses that the batch before it is durable. Written by builds that had no <see cref="DurablePosition"/>, and
    /// still read.
    /// </summary>
    Seal = 1,

    /// <summary>The first batch of a segment: hard state, snapshot mark and log start of every group.</summary>
    Checkpoint = 2,
}

/// <summary>
/// A batch is one group commit: everything the workers had queued, written once, synced once, valid as a whole or not at all.
/// It starts at a multiple of 4,096 bytes in its segment, so no sector with acknowledged bytes is ever written again; the
/// rest of its last block is zero. Integers are little-endian; every item starts at a multiple of 8.
/// <code>
/// offset  bytes  field
///      0      4  length of the batch in bytes, this header included, a multiple of 8
///      4      4  CRC-32C of bytes 8 … length
///      8      8  LSN: 1 + that of the batch before
///     16      8  synced LSN: the highest LSN known durable when this batch was written
///     24      2  number of items
///     26      2  flags (<see cref="BatchFlags"/>)
///     28      4  CRC-32C of bytes 0 … 3 and 8 … 27: makes the length trustworthy before the batch is read
///     32      …  items (<see cref="ItemFormat"/>)
/// </code>
/// Both checksums continue the checksum of (cluster id, node uuid, segment number, offset in the segment). Bytes of a
/// recycled segment, of another place or of another node therefore never verify here.
///
/// Torn or damaged? One batch is in flight at a time, so only the newest can be torn: <see cref="Recovery"/>.
/// </summary>
internal readonly record struct BatchFormat(int Length, ulong Lsn, ulong SyncedLsn, ushort Items, BatchFlags Flags)
{
    public const int BlockBytes = 4096;
    public const int HeaderBytes = 32;

    private const int ChecksumAt = 4;
    private const int LsnAt = 8;
    private const int SyncedLsnAt = 16;
    private const int ItemsAt = 24;
    private const int FlagsAt = 26;
    private const int HeaderChecksumAt = 28;

    public static long RoundToBlock(long bytes) => (bytes + BlockBytes - 1) & ~(BlockBytes - 1L);

    /// <summary>The part of the seed that a log keeps for its whole life.</summary>
    public static uint IdentitySeed(LogIdentity identity)
    {
        Span<byte> uuid = stackalloc byte[16];
        identity.NodeUuid.TryWriteBytes(uuid, bigEndian: true, out _);
        return Crc32C.Append(Crc32C.Append(0, Encoding.UTF8.GetBytes(identity.ClusterId)), uuid);
    }

    public static uint Seed(uint identitySeed, ulong segment, long offset)
    {
        Span<byte> place = stackalloc byte[16];
        BinaryPrimitives.WriteUInt64LittleEndian(place, segment);
        BinaryPrimitives.WriteInt64LittleEndian(place[8..], offset);
        return Crc32C.Append(identitySeed, place);
    }

    /// <summary>Puts the header in front of a batch whose items are in place.</summary>
    public void WriteHeader(Span<byte> batch, uint seed)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(batch, (uint)Length);
        BinaryPrimitives.WriteUInt64LittleEndian(batch[LsnAt..], Lsn);
        BinaryPrimitives.WriteUInt64LittleEndian(batch[SyncedLsnAt..], SyncedLsn);
        BinaryPrimitives.WriteUInt16LittleEndian(batch[ItemsAt..], Items);
        BinaryPrimitives.WriteUInt16LittleEndian(batch[FlagsAt..], (ushort)Flags);
        BinaryPrimitives.WriteUInt32LittleEndian(batch[HeaderChecksumAt..], HeaderChecksum(batch, seed));
        BinaryPrimitives.WriteUInt32LittleEndian(batch[ChecksumAt..], Crc32C.Append(seed, batch[LsnAt..Length]));
    }

    /// <summary>False when these bytes do not start a batch of this place.</summary>
    public static bool TryReadHeader(ReadOnlySpan<byte> bytes, uint seed, out BatchFormat batch)
    {
        batch = default;
        if (bytes.Length < HeaderBytes || BinaryPrimitives.ReadUInt32LittleEndian(bytes[HeaderChecksumAt..]) != HeaderChecksum(bytes, seed))
        {
            return false;
        }

        uint length = BinaryPrimitives.ReadUInt32LittleEndian(bytes);
        if (length < HeaderBytes || length > int.MaxValue || length % 8 != 0)
        {
            return false;
        }

        batch = new BatchFormat(
            (int)length,
            BinaryPrimitives.ReadUInt64LittleEndian(bytes[LsnAt..]),
            BinaryPrimitives.ReadUInt64LittleEndian(bytes[SyncedLsnAt..]),
            BinaryPrimitives.ReadUInt16LittleEndian(bytes[ItemsAt..]),
            (BatchFlags)BinaryPrimitives.ReadUInt16LittleEndian(bytes[FlagsAt..]));
        return true;
    }

    /// <summary>True when the items are what was written. <paramref name="batch"/> has exactly the length its header states.</summary>
    public static bool ItemsVerify(ReadOnlySpan<byte> batch, uint seed) =>
        BinaryPrimitives.ReadUInt32LittleEndian(batch[ChecksumAt..]) == Crc32C.Append(seed, batch[LsnAt..]);

    private static uint HeaderChecksum(ReadOnlySpan<byte> batch, uint seed) =>
        Crc32C.Append(Crc32C.Append(seed, batch[..ChecksumAt]), batch[LsnAt..HeaderChecksumAt]);
}
