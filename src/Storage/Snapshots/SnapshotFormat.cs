using System.Buffers;
using System.Buffers.Binary;
using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// The bytes of a snapshot file. Numbers are little-endian, checksums CRC-32C from seed 0.
/// <code>
/// file    | header | block 0 | block 1 | … | footer |
///
/// header  | magic "KVSNAP01" 8 | version u16 | feature level u16 | body bytes u32 | body | crc u32 |
/// body    | group u32 | epoch u64 | index u64 | term u64 | last clock u64 | group time u64 |
///         | voters | outgoing voters | learners | next learners |   each: count u32, then count × replica id u64
///         | auto leave u8 | virtual nodes: count u32, then count × u32, ascending |
///         | version 2: epoch of the configuration u64 | nodes: count u32, then count × (replica id u64, node u32) |
///
/// block   | virtual node u32 | kind u8 | zero u8 ×3 | count u32 | data bytes u32 | crc u32 | data |
///           kind 1: rows of one virtual node in key order; count = rows
///           other:  a section's bytes; count = 1 where the section ends, 0 where the next block continues it
/// row     | flags u8 | key bytes u16 | value bytes u32 | mod revision u64 |
///         | [create revision u64] if flags &amp; 1, else = mod revision | [expires at u64] if flags &amp; 2, else never |
///         | key | value |
///
/// footer  | index: per block: offset u64, virtual node u32, kind u8, zero u8 ×3, count u32, data bytes u32, crc u32 |
///         | block count u32 | row count u64 | header crc u32 | footer bytes u32 | crc u32 | magic "KVSNAPND" 8 |
/// </code>
/// A block's crc covers its header, the crc left out, and its data. The footer's crc covers everything from the index on; the
/// index holds the crc of every block, and with the header's it stands for the whole file: blocks of two files cannot be
/// mixed, and a file that lacks its end has no footer. Sections come first, in the order they were given, then rows in order
/// of (virtual node, key); blocks follow each other without a gap. A block has at most 1 MiB of data, or one row.
/// The version is raised when an older reader would misread a file; a reader refuses versions it does not know. Version 2 is
/// written only when the configuration has an epoch or nodes to say, so that a file without them is read by every build.
/// </summary>
internal static class SnapshotFormat
{
    /// <summary>Newest version that is read.</summary>
    public const ushort Version = EpochVersion;
    public const byte RowKind = 1;
    public const int HeaderPrefixBytes = 16;
    public const int BlockHeaderBytes = 20;
    public const int TargetBlockBytes = 1 << 20;

    /// <summary>The largest row makes a block of its own.</summary>
    public const int MaxBlockBytes = Record.MaxKeyBytes + Record.MaxValueBytes + MaxRowHeaderBytes;

    public const int IndexEntryBytes = 28;
    public const int FooterTailBytes = 32;

    /// <summary>A header's body: 2^20 ids or virtual nodes would fit. More is damage.</summary>
    public const int MaxHeaderBodyBytes = 8 << 20;

    private const ushort FirstVersion = 1;
    private const ushort EpochVersion = 2;
    private const int NodeBytes = sizeof(ulong) + sizeof(uint);
    private const int CrcBytes = sizeof(uint);
    private const int RowPrefixBytes = 15;
    private const int MaxRowHeaderBytes = RowPrefixBytes + 2 * sizeof(ulong);
    private const byte HasCreateRevision = 1;
    private const byte HasExpiry = 2;

    public static ReadOnlySpan<byte> HeaderMagic => "KVSNAP01"u8;

    public static ReadOnlySpan<byte> FooterMagic => "KVSNAPND"u8;

    // ---- Header ----

    public static byte[] EncodeHeader(SnapshotHeader header, out uint crc)
    {
        var body = new FieldWriter();
        body.UInt32(header.Group);
        body.UInt64(header.Epoch);
        body.UInt64(header.Metadata.Index);
        body.UInt64(header.Metadata.Term);
        body.UInt64(header.Metadata.LastClock);
        body.UInt64(header.GroupTime);
        ConfState configuration = header.Metadata.Configuration;
        WriteIds(body, configuration.Voters);
        WriteIds(body, configuration.VotersOutgoing);
        WriteIds(body, configuration.Learners);
        WriteIds(body, configuration.LearnersNext);
        body.Byte(configuration.AutoLeave ? (byte)1 : (byte)0);
        body.UInt32((uint)header.VirtualNodes.Count);
        foreach (int virtualNode in header.VirtualNodes)
        {
            body.UInt32((uint)virtualNode);
        }

        if (configuration.HasEpochOrNodes)
        {
            body.UInt64(configuration.Epoch);
            body.UInt32((uint)configuration.Nodes.Count);
            foreach (ReplicaNode node in configuration.Nodes)
            {
                body.UInt64(node.Id.Value);
                body.UInt32(node.Node);
            }
        }

        var all = new FieldWriter();
        all.Bytes(HeaderMagic);
        all.UInt16(configuration.HasEpochOrNodes ? EpochVersion : FirstVersion);
        all.UInt16(header.FeatureLevel);
        all.UInt32((uint)body.Written.Length);
        all.Bytes(body.Written);
        crc = Crc32C.Append(0, all.Written);
        all.UInt32(crc);
        return all.Written.ToArray();
    }

    /// <summary>Length of the whole header, from its first 16 bytes; 0 when they are no header.</summary>
    public static int HeaderLength(ReadOnlySpan<byte> prefix, out ushort version)
    {
        version = 0;
        if (!prefix.StartsWith(HeaderMagic))
        {
            return 0;
        }

        version = BinaryPrimitives.ReadUInt16LittleEndian(prefix[8..]);
        uint body = BinaryPrimitives.ReadUInt32LittleEndian(prefix[12..]);
        return body > MaxHeaderBodyBytes ? 0 : HeaderPrefixBytes + (int)body + CrcBytes;
    }

    /// <summary>Holds for every version, so that a newer file is told from a damaged one.</summary>
    public static bool HeaderIsWhole(ReadOnlySpan<byte> bytes, out uint crc)
    {
        crc = Crc32C.Append(0, bytes[..^CrcBytes]);
        return crc == BinaryPrimitives.ReadUInt32LittleEndian(bytes[^CrcBytes..]);
    }

    /// <summary>Whether the rest of a header can be read.</summary>
    public static bool IsKnown(ushort version) => version is FirstVersion or EpochVersion;

    public static bool TryDecodeHeader(ReadOnlySpan<byte> bytes, out SnapshotHeader header)
    {
        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(bytes[8..]);
        ushort featureLevel = BinaryPrimitives.ReadUInt16LittleEndian(bytes[10..]);
        var body = new FieldReader(bytes[HeaderPrefixBytes..^CrcBytes]);
        uint group = body.UInt32();
        ulong epoch = body.UInt64();
        ulong index = body.UInt64();
        ulong term = body.UInt64();
        ulong lastClock = body.UInt64();
        ulong groupTime = body.UInt64();
        var configuration = new ConfState(ReadIds(ref body), ReadIds(ref body), ReadIds(ref body), ReadIds(ref body), body.Byte() != 0);
        var virtualNodes = new int[body.Count(sizeof(uint))];
        for (int i = 0; i < virtualNodes.Length; i++)
        {
            virtualNodes[i] = (int)body.UInt32();
        }

        if (version == EpochVersion)
        {
            configuration = configuration with { Epoch = body.UInt64(), Nodes = ReadNodes(ref body) };
        }

        var metadata = new SnapshotMetadata(index, term, lastClock, configuration);
        header = new SnapshotHeader(group, epoch, featureLevel, metadata, groupTime, virtualNodes);
        return body.IsComplete;
    }

    // ---- Blocks ----

    /// <summary>Fills the header in front of a block's data and answers the index entry.</summary>
    public static BlockEntry SealBlock(Span<byte> block, long offset, int virtualNode, byte kind, int count)
    {
        Span<byte> data = block[BlockHeaderBytes..];
        BinaryPrimitives.WriteUInt32LittleEndian(block, (uint)virtualNode);
        BinaryPrimitives.WriteUInt32LittleEndian(block[4..], kind);
        BinaryPrimitives.WriteUInt32LittleEndian(block[8..], (uint)count);
        BinaryPrimitives.WriteUInt32LittleEndian(block[12..], (uint)data.Length);
        uint crc = BlockCrc(block);
        BinaryPrimitives.WriteUInt32LittleEndian(block[16..], crc);
        return new BlockEntry(offset, virtualNode, kind, count, data.Length, crc);
    }

    /// <summary>Whether a block is the one the index names, whole.</summary>
    public static bool IsBlock(ReadOnlySpan<byte> block, BlockEntry entry) =>
        BinaryPrimitives.ReadUInt32LittleEndian(block) == (uint)entry.VirtualNode
        && BinaryPrimitives.ReadUInt32LittleEndian(block[4..]) == entry.Kind
        && BinaryPrimitives.ReadUInt32LittleEndian(block[8..]) == (uint)entry.Count
        && BinaryPrimitives.ReadUInt32LittleEndian(block[12..]) == (uint)entry.DataBytes
        && BinaryPrimitives.ReadUInt32LittleEndian(block[16..]) == entry.Crc
        && BlockCrc(block) == entry.Crc;

    private static uint BlockCrc(ReadOnlySpan<byte> block) =>
        Crc32C.Append(Crc32C.Append(0, block[..(BlockHeaderBytes - CrcBytes)]), block[BlockHeaderBytes..]);

    // ---- Rows ----

    public static int RowBytes(int keyLength, RecordMeta meta) =>
        RowPrefixBytes
        + (meta.CreateRevision == meta.ModRevision ? 0 : sizeof(ulong))
        + (meta.ExpiresAt == 0 ? 0 : sizeof(ulong))
        + keyLength + meta.ValueLength;

    public static void EncodeRow(Span<byte> target, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, RecordMeta meta)
    {
        bool hasCreateRevision = meta.CreateRevision != meta.ModRevision;
        bool hasExpiry = meta.ExpiresAt != 0;
        target[0] = (byte)((hasCreateRevision ? HasCreateRevision : 0) | (hasExpiry ? HasExpiry : 0));
        BinaryPrimitives.WriteUInt16LittleEndian(target[1..], (ushort)key.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(target[3..], (uint)value.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(target[7..], meta.ModRevision);
        int at = RowPrefixBytes;
        if (hasCreateRevision)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(target[at..], meta.CreateRevision);
            at += sizeof(ulong);
        }

        if (hasExpiry)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(target[at..], meta.ExpiresAt);
            at += sizeof(ulong);
        }

        key.CopyTo(target[at..]);
        value.CopyTo(target[(at + key.Length)..]);
    }

    /// <summary>Where the key starts and how long key and value are; false when the bytes are no row.</summary>
    public static bool TryDecodeRow(ReadOnlySpan<byte> data, out int keyStart, out int keyLength, out RecordMeta meta)
    {
        keyStart = 0;
        keyLength = 0;
        meta = default;
        var fields = new FieldReader(data);
        byte flags = fields.Byte();
        keyLength = fields.UInt16();
        uint valueLength = fields.UInt32();
        ulong modRevision = fields.UInt64();
        ulong createRevision = (flags & HasCreateRevision) != 0 ? fields.UInt64() : modRevision;
        ulong expiresAt = (flags & HasExpiry) != 0 ? fields.UInt64() : 0;
        if (fields.HasFailed || flags > (HasCreateRevision | HasExpiry) || keyLength > Record.MaxKeyBytes
            || valueLength > Record.MaxValueBytes || fields.Remaining < keyLength + (int)valueLength)
        {
            return false;
        }

        keyStart = data.Length - fields.Remaining;
        meta = new RecordMeta(modRevision, createRevision, expiresAt, (int)valueLength);
        return true;
    }

    // ---- Footer ----

    public static byte[] EncodeFooter(IReadOnlyList<BlockEntry> blocks, long rowCount, uint headerCrc)
    {
        var footer = new FieldWriter();
        foreach (BlockEntry block in blocks)
        {
            footer.UInt64((ulong)block.Offset);
            footer.UInt32((uint)block.VirtualNode);
            footer.UInt32(block.Kind);
            footer.UInt32((uint)block.Count);
            footer.UInt32((uint)block.DataBytes);
            footer.UInt32(block.Crc);
        }

        footer.UInt32((uint)blocks.Count);
        footer.UInt64((ulong)rowCount);
        footer.UInt32(headerCrc);
        footer.UInt32((uint)(footer.Written.Length + sizeof(uint) + CrcBytes + FooterMagic.Length));
        footer.UInt32(Crc32C.Append(0, footer.Written));
        footer.Bytes(FooterMagic);
        return footer.Written.ToArray();
    }

    /// <summary>Length of the whole footer, from the last 32 bytes of the file; 0 when they are no footer's end.</summary>
    public static long FooterLength(ReadOnlySpan<byte> tail) =>
        tail.EndsWith(FooterMagic) ? BinaryPrimitives.ReadUInt32LittleEndian(tail[16..]) : 0;

    public static bool TryDecodeFooter(ReadOnlySpan<byte> footer, out BlockEntry[] blocks, out long rowCount, out uint headerCrc)
    {
        blocks = [];
        ReadOnlySpan<byte> tail = footer[^FooterTailBytes..];
        uint blockCount = BinaryPrimitives.ReadUInt32LittleEndian(tail);
        rowCount = (long)BinaryPrimitives.ReadUInt64LittleEndian(tail[4..]);
        headerCrc = BinaryPrimitives.ReadUInt32LittleEndian(tail[12..]);
        uint crc = BinaryPrimitives.ReadUInt32LittleEndian(tail[20..]);
        if (crc != Crc32C.Append(0, footer[..^(CrcBytes + FooterMagic.Length)])
            || (ulong)blockCount * IndexEntryBytes + FooterTailBytes != (ulong)footer.Length)
        {
            return false;
        }

        blocks = new BlockEntry[blockCount];
        for (int i = 0; i < blocks.Length; i++)
        {
            ReadOnlySpan<byte> entry = footer[(i * IndexEntryBytes)..];
            blocks[i] = new BlockEntry(
                (long)BinaryPrimitives.ReadUInt64LittleEndian(entry),
                (int)BinaryPrimitives.ReadUInt32LittleEndian(entry[8..]),
                (byte)BinaryPrimitives.ReadUInt32LittleEndian(entry[12..]),
                (int)BinaryPrimitives.ReadUInt32LittleEndian(entry[16..]),
                (int)BinaryPrimitives.ReadUInt32LittleEndian(entry[20..]),
                BinaryPrimitives.ReadUInt32LittleEndian(entry[24..]));
        }

        return true;
    }

    private static void WriteIds(FieldWriter fields, IReadOnlyList<ReplicaId> ids)
    {
        fields.UInt32((uint)ids.Count);
        foreach (ReplicaId id in ids)
        {
            fields.UInt64(id.Value);
        }
    }

    private static ReplicaId[] ReadIds(ref FieldReader fields)
    {
        var ids = new ReplicaId[fields.Count(sizeof(ulong))];
        for (int i = 0; i < ids.Length; i++)
        {
            ids[i] = new ReplicaId(fields.UInt64());
        }

        return ids;
    }

    private static ReplicaNode[] ReadNodes(ref FieldReader fields)
    {
        var nodes = new ReplicaNode[fields.Count(NodeBytes)];
        for (int i = 0; i < nodes.Length; i++)
        {
            nodes[i] = new ReplicaNode(new ReplicaId(fields.UInt64()), fields.UInt32());
        }

        return nodes;
    }

    /// <summary>One line of the block index.</summary>
    internal readonly record struct BlockEntry(long Offset, int VirtualNode, byte Kind, int Count, int DataBytes, uint Crc)
    {
        public long End => Offset + BlockHeaderBytes + DataBytes;
    }

    private sealed class FieldWriter
    {
        private readonly ArrayBufferWriter<byte> _bytes = new();

        public ReadOnlySpan<byte> Written => _bytes.WrittenSpan;

        public void Bytes(ReadOnlySpan<byte> value) => _bytes.Write(value);

        public void Byte(byte value) => _bytes.Write([value]);

        public void UInt16(ushort value)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(_bytes.GetSpan(sizeof(ushort)), value);
            _bytes.Advance(sizeof(ushort));
        }

        public void UInt32(uint value)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(_bytes.GetSpan(sizeof(uint)), value);
            _bytes.Advance(sizeof(uint));
        }

        public void UInt64(ulong value)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(_bytes.GetSpan(sizeof(ulong)), value);
            _bytes.Advance(sizeof(ulong));
        }
    }

    /// <summary>Reads fields until the bytes run out; from then on zeros, and <see cref="HasFailed"/> says so.</summary>
    private ref struct FieldReader(ReadOnlySpan<byte> bytes)
    {
        private ReadOnlySpan<byte> _rest = bytes;

        public bool HasFailed { get; private set; }

        public readonly int Remaining => _rest.Length;

        public readonly bool IsComplete => !HasFailed && _rest.IsEmpty;

        public byte Byte() => Take(1)[0];

        public ushort UInt16() => BinaryPrimitives.ReadUInt16LittleEndian(Take(sizeof(ushort)));

        public uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Take(sizeof(uint)));

        public ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Take(sizeof(ulong)));

        /// <summary>A count of items that must still fit into what is left.</summary>
        public int Count(int itemBytes)
        {
            uint count = UInt32();
            if ((ulong)count * (uint)itemBytes > (uint)_rest.Length)
            {
                HasFailed = true;
                return 0;
            }

            return (int)count;
        }

        private ReadOnlySpan<byte> Take(int count)
        {
            if (_rest.Length < count)
            {
                HasFailed = true;
                _rest = default;
                return "\0\0\0\0\0\0\0\0"u8;
            }

            ReadOnlySpan<byte> taken = _rest[..count];
            _rest = _rest[count..];
            return taken;
        }
    }
}
