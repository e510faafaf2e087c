using System.Buffers;
using System.Buffers.Binary;

namespace KvStore.Protocol;

/// <summary>Cuts received bytes into frames.</summary>
public static class FrameReader
{
    /// <summary>
    /// Ok: one frame is cut off the front of buffer. NeedMoreData: buffer is untouched and holds less than a frame of at most
    /// maxPayloadBytes. Malformed: error says why; close the connection. A length above maxPayloadBytes is refused as soon as
    /// the header is there, before anybody buffers for it.
    /// </summary>
    public static DecodeResult TryRead(ref ReadOnlySequence<byte> buffer, int maxPayloadBytes, out Frame frame, out FrameError error)
    {
        frame = default;
        Span<byte> copy = stackalloc byte[FrameHeader.SizeBytes];
        scoped var head = buffer.FirstSpan;
        if (head.Length < FrameHeader.SizeBytes)
        {
            int available = (int)Math.Min(buffer.Length, FrameHeader.SizeBytes);
            buffer.Slice(0, available).CopyTo(copy);
            if (available < FrameHeader.SizeBytes)
            {
                // Somebody who speaks another protocol (an HTTP client, a port scanner) is told at once, not after 24 bytes.
                error = MagicSoFar(copy[..available]) ? FrameError.None : FrameError.BadMagic;
                return error == FrameError.None ? DecodeResult.NeedMoreData : DecodeResult.Malformed;
            }

            head = copy;
        }

        error = FrameHeader.TryRead(head, maxPayloadBytes, out var header);
        if (error != FrameError.None)
        {
            return DecodeResult.Malformed;
        }

        if (buffer.Length < FrameHeader.SizeBytes + (long)header.PayloadLength)
        {
            return DecodeResult.NeedMoreData;
        }

        var payload = buffer.Slice(FrameHeader.SizeBytes, header.PayloadLength);
        if (FrameChecksum.Of(payload) != header.PayloadChecksum)
        {
            error = FrameError.PayloadChecksum;
            return DecodeResult.Malformed;
        }

        frame = new Frame(header, payload);
        buffer = buffer.Slice(payload.End);
        return DecodeResult.Ok;
    }

    /// <summary>
    /// Bytes of the frame that buffer begins with, header included; 0 while that is not known: the header is not whole, or is none.
    /// </summary>
    public static int AnnouncedBytes(in ReadOnlySequence<byte> buffer, int maxPayloadBytes)
    {
        if (buffer.Length < FrameHeader.SizeBytes)
        {
            return 0;
        }

        Span<byte> head = stackalloc byte[FrameHeader.SizeBytes];
        buffer.Slice(0, FrameHeader.SizeBytes).CopyTo(head);
        return FrameHeader.TryRead(head, maxPayloadBytes, out var header) == FrameError.None
            ? FrameHeader.SizeBytes + header.PayloadLength
            : 0;
    }

    private static bool MagicSoFar(ReadOnlySpan<byte> head)
    {
        Span<byte> magic = stackalloc byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(magic, FrameHeader.Magic);
        int length = Math.Min(head.Length, magic.Length);
        return head[..length].SequenceEqual(magic[..length]);
    }
}
