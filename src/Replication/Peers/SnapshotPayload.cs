using System.Buffers;
using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// Snapshot transfer on the wire, beside the Raft payloads (<see cref="PeerPayload"/>):
/// <code>
/// pull  = [1, 4, group, minIndex, index, term, offset]
/// piece = [1, 5, group, index, term, offset, totalBytes, bytes]     totalBytes 0: the sender has no snapshot that would do
/// </code>
/// The frame around a payload carries its checksum; the file as a whole has its own.
/// </summary>
internal static class SnapshotPayload
{
    public const byte PullKind = 4;
    public const byte PieceKind = 5;

    private const int PullFields = 7;
    private const int PieceFields = 8;

    public static byte[] Pull(GroupId group, ulong minIndex, ulong index, ulong term, long offset)
    {
        var output = new ArrayBufferWriter<byte>(64);
        var writer = new MessagePackWriter(output);
        WriteHead(ref writer, PullFields, PullKind, group);
        writer.Write(minIndex);
        writer.Write(index);
        writer.Write(term);
        writer.Write(offset);
        writer.Flush();
        return output.WrittenSpan.ToArray();
    }

    public static byte[] Piece(GroupId group, ulong index, ulong term, long offset, long totalBytes, ReadOnlySpan<byte> bytes)
    {
        var output = new ArrayBufferWriter<byte>(bytes.Length + 64);
        var writer = new MessagePackWriter(output);
        WriteHead(ref writer, PieceFields, PieceKind, group);
        writer.Write(index);
        writer.Write(term);
        writer.Write(offset);
        writer.Write(totalBytes);
        writer.Write(bytes);
        writer.Flush();
        return output.WrittenSpan.ToArray();
    }

    /// <summary>Null when it is neither: not a snapshot payload, or malformed.</summary>
    public static SnapshotItem? TryRead(NodeId from, ReadOnlySpan<byte> payload)
    {
        var reader = new MessagePackReader(payload);
        return PeerPayload.TryBegin(ref reader, out int fields, out byte kind) ? TryRead(ref reader, fields, kind, from) : null;
    }

    /// <summary>The rest of a payload; null when it is malformed or of another kind. Further fields are of a newer build.</summary>
    public static SnapshotItem? TryRead(ref MessagePackReader reader, int fields, byte kind, NodeId from)
    {
        if (!reader.TryRead(out uint group))
        {
            return null;
        }

        if (kind == PullKind && fields >= PullFields && reader.TryRead(out ulong minIndex) && reader.TryRead(out ulong index)
            && reader.TryRead(out ulong term) && reader.TryRead(out long offset) && offset >= 0 && reader.TrySkip(fields - PullFields) && reader.AtEnd)
        {
            return new SnapshotPull(from, new GroupId(group), minIndex, index, term, offset);
        }

        if (kind == PieceKind && fields >= PieceFields && reader.TryRead(out ulong pieceIndex) && reader.TryRead(out ulong pieceTerm)
            && reader.TryRead(out long pieceOffset) && pieceOffset >= 0 && reader.TryRead(out long total) && total >= 0
            && reader.TryReadBin(Limits.MaxPeerFrameBytes, out ReadOnlySpan<byte> bytes)
            && reader.TrySkip(fields - PieceFields) && reader.AtEnd)
        {
            return new SnapshotPiece(from, new GroupId(group), pieceIndex, pieceTerm, pieceOffset, total, bytes.ToArray());
        }

        return null;
    }

    private static void WriteHead(ref MessagePackWriter writer, int fields, byte kind, GroupId group)
    {
        writer.WriteArrayHeader(fields);
        writer.Write((uint)PeerPayload.Version);
        writer.Write((uint)kind);
        writer.Write(group.Value);
    }
}
