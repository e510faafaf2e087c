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
    private const byte PullKind = 4;
    private const byte PieceKind = 5;

    public static byte[] Pull(GroupId group, ulong minIndex, ulong index, ulong term, long offset)
    {
        var output = new ArrayBufferWriter<byte>(64);
        var writer = new MessagePackWriter(output);
        WriteHead(ref writer, 7, PullKind, group);
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
        WriteHead(ref writer, 8, PieceKind, group);
        writer.Write(index);
        writer.Write(term);
        writer.Write(offset);
        writer.Write(totalBytes);
        writer.Write(bytes);
        writer.Flush();
        return output.WrittenSpan.ToArray();
    }

    /// <summary>Null when it is neither: not a snapshot payload, or malformed.</summary>
    public static InboxItem? TryRead(NodeId from, ReadOnlySpan<byte> payload)
    {
        var reader = new MessagePackReader(payload);
        if (!reader.TryReadArrayHeader(out int fields) || !reader.TryRead(out byte version) || version != PeerPayload.Version
            || !reader.TryRead(out byte kind) || !reader.TryRead(out uint group))
        {
            return null;
        }

        if (kind == PullKind && fields == 7 && reader.TryRead(out ulong minIndex) && reader.TryRead(out ulong index)
            && reader.TryRead(out ulong term) && reader.TryRead(out long offset) && offset >= 0 && reader.AtEnd)
        {
            return new SnapshotPull(from, new GroupId(group), minIndex, index, term, offset);
        }

        if (kind == PieceKind && fields == 8 && reader.TryRead(out ulong pieceIndex) && reader.TryRead(out ulong pieceTerm)
            && reader.TryRead(out long pieceOffset) && pieceOffset >= 0 && reader.TryRead(out long total) && total >= 0
            && reader.TryReadBin(Limits.MaxPeerFrameBytes, out ReadOnlySpan<byte> bytes) && reader.AtEnd)
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
