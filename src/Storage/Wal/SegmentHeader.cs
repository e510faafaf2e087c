using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace KvStore.Storage;

/// <summary>
/// The first block of a segment file <c>wal-[segment, 16 hex digits].log</c>. Integers are little-endian, the uuid is in RFC 4122 order.
/// <code>
/// offset  bytes  field
///      0      8  magic "KVSTWAL1"
///      8      2  format version, 1 or 2
///     10      2  length of the cluster id
///     12      4  node id
///     16     16  node uuid
///     32      8  segment number, equal to the one in the name; the first is 1
///     40      8  previous last LSN: the last LSN of the segment before; this one starts at the next
///     48      8  oldest live segment: files below it hold nothing that is needed
///     56    128  cluster id, UTF-8, zero-filled
///    184      8  durable LSN: this very file was durable up to it when it got its name, its first batch at least
///    192      8  length of the file when it got its name; it has kept it
///    200   3892  zero
///   4092      4  CRC-32C of the 4,092 bytes before
/// </code>
/// A file gets its final name only after its header is durable and everything in the segment before it is, too. So the
/// header is a promise: the segment before is complete up to the stated LSN, and what follows there may be ignored; this one
/// is complete up to its durable LSN, and as long as it says.
///
/// Both versions say the same. The builds before version 2 wrote zeros from 184 on and pass over what stands there: so version 1 is what
/// is written while such a build may get the folder back, and version 2 keeps it out. In their files the first batch was durable before
/// the name, too; how long the file was is not known.
/// The version is raised when an old reader would misread the file; magic and checksum keep their places in every version.
/// </summary>
/// <param name="Version">Who may read it: see above.</param>
/// <param name="Identity">Whose log it is.</param>
/// <param name="Segment">The number in the name.</param>
/// <param name="PreviousLastLsn">Where the segment before ends.</param>
/// <param name="OldestLive">Files below it hold nothing that is needed.</param>
/// <param name="DurableLsn">An invalid batch up to here is damage.</param>
/// <param name="FileBytes">A file that is shorter is damaged; 0 when the header does not say.</param>
internal readonly record struct SegmentHeader(
    ushort Version, LogIdentity Identity, ulong Segment, ulong PreviousLastLsn, ulong OldestLive, ulong DurableLsn, long FileBytes)
{
    public const int Bytes = BatchFormat.BlockBytes;
    public const int MaxClusterIdBytes = 128;

    public const ushort FirstVersion = 1;
    public const ushort LatestVersion = 2;

    private const int VersionAt = 8;
    private const int ClusterIdLengthAt = 10;
    private const int NodeIdAt = 12;
    private const int NodeUuidAt = 16;
    private const int SegmentAt = 32;
    private const int PreviousLastLsnAt = 40;
    private const int OldestLiveAt = 48;
    private const int ClusterIdAt = 56;
    private const int DurableLsnAt = 184;
    private const int FileBytesAt = 192;
    private const int ChecksumAt = Bytes - sizeof(uint);

    private static ReadOnlySpan<byte> Magic => "KVSTWAL1"u8;

    public static string FileName(ulong segment) => $"wal-{segment:x16}.log";

    /// <summary>False for any other file: spares, temporary files, what an operator left there.</summary>
    public static bool TryParseFileName(string name, out ulong segment)
    {
        segment = 0;
        return name.Length == 24 && name.StartsWith("wal-", StringComparison.Ordinal) && name.EndsWith(".log", StringComparison.Ordinal)
            && ulong.TryParse(name.AsSpan(4, 16), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out segment)
            && name == FileName(segment);
    }

    public void Write(Span<byte> block)
    {
        block[..Bytes].Clear();
        Magic.CopyTo(block);
        BinaryPrimitives.WriteUInt16LittleEndian(block[VersionAt..], Version);
        int idBytes = Encoding.UTF8.GetBytes(Identity.ClusterId, block.Slice(ClusterIdAt, MaxClusterIdBytes));
        BinaryPrimitives.WriteUInt16LittleEndian(block[ClusterIdLengthAt..], (ushort)idBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(block[NodeIdAt..], Identity.NodeId);
        Identity.NodeUuid.TryWriteBytes(block[NodeUuidAt..], bigEndian: true, out _);
        BinaryPrimitives.WriteUInt64LittleEndian(block[SegmentAt..], Segment);
        BinaryPrimitives.WriteUInt64LittleEndian(block[PreviousLastLsnAt..], PreviousLastLsn);
        BinaryPrimitives.WriteUInt64LittleEndian(block[OldestLiveAt..], OldestLive);
        BinaryPrimitives.WriteUInt64LittleEndian(block[DurableLsnAt..], DurableLsn);
        BinaryPrimitives.WriteInt64LittleEndian(block[FileBytesAt..], FileBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(block[ChecksumAt..], Crc32C.Append(0, block[..ChecksumAt]));
    }

    /// <summary>
    /// False when the block is not a header. A header of another format version is intact but not ours to read: an error with
    /// a name.
    /// </summary>
    public static bool TryRead(ReadOnlySpan<byte> block, string path, out SegmentHeader header)
    {
        header = default;
        if (block.Length < Bytes || !block[..Magic.Length].SequenceEqual(Magic)
            || BinaryPrimitives.ReadUInt32LittleEndian(block[ChecksumAt..]) != Crc32C.Append(0, block[..ChecksumAt]))
        {
            return false;
        }

        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(block[VersionAt..]);
        if (version is < FirstVersion or > LatestVersion)
        {
            throw new StorageException(
                $"log format version {version} is not known here (this build reads {FirstVersion} to {LatestVersion}); start the build that wrote it",
                path, VersionAt);
        }

        int idBytes = BinaryPrimitives.ReadUInt16LittleEndian(block[ClusterIdLengthAt..]);
        if (idBytes > MaxClusterIdBytes)
        {
            return false;
        }

        LogIdentity identity = new(
            Encoding.UTF8.GetString(block.Slice(ClusterIdAt, idBytes)),
            BinaryPrimitives.ReadUInt32LittleEndian(block[NodeIdAt..]),
            new Guid(block.Slice(NodeUuidAt, 16), bigEndian: true));
        ulong previousLastLsn = BinaryPrimitives.ReadUInt64LittleEndian(block[PreviousLastLsnAt..]);
        header = new SegmentHeader(
            version,
            identity,
            BinaryPrimitives.ReadUInt64LittleEndian(block[SegmentAt..]),
            previousLastLsn,
            BinaryPrimitives.ReadUInt64LittleEndian(block[OldestLiveAt..]),
            Math.Max(previousLastLsn + 1, BinaryPrimitives.ReadUInt64LittleEndian(block[DurableLsnAt..])),
            BinaryPrimitives.ReadInt64LittleEndian(block[FileBytesAt..]));
        return true;
    }
}
