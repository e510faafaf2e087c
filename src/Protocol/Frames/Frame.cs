using System.Buffers;

namespace KvStore.Protocol;

/// <summary>One frame whose checksums are right. The payload points into the receive buffer: it is gone when the pipe advances.</summary>
public readonly struct Frame(FrameHeader header, ReadOnlySequence<byte> payload)
{
    public FrameHeader Header { get; } = header;

    public ReadOnlySequence<byte> Payload { get; } = payload;

    public FrameKind Kind => Header.Kind;

    public ulong Sequence => Header.Sequence;

    /// <summary>
    /// The payload in one piece: in place when it lies in one segment, else copied into scratch, which grows as needed and
    /// belongs to the connection. Valid until scratch is used again or the pipe advances.
    /// </summary>
    public ReadOnlySpan<byte> PayloadSpan(ref byte[] scratch)
    {
        if (Payload.IsSingleSegment)
        {
            return Payload.FirstSpan;
        }

        int length = Header.PayloadLength;
        if (scratch.Length < length)
        {
            scratch = new byte[Math.Max(length, Math.Min(2 * scratch.Length, Limits.MaxPeerFrameBytes))];
        }

        Payload.CopyTo(scratch);
        return scratch.AsSpan(0, length);
    }
}
