using System.Buffers;

namespace KvStore.Protocol;

/// <summary>
/// Collects frames in one growing buffer that leaves in one write. Begin, encode the payload into it, End: the length and the
/// checksums are filled in behind. Not safe for two threads at once.
/// </summary>
public sealed class FrameWriter : IBufferWriter<byte>
{
    /// <summary>A buffer that one large frame made bigger than this goes back to the pool when it is cleared.</summary>
    private const int KeptBytes = 256 << 10;
    private const int InitialBytes = 4 << 10;
    private const int NoFrame = -1;

    private byte[] _buffer = [];
    private int _frameStart = NoFrame;
    private FrameHeader _open;

    public int WrittenBytes { get; private set; }

    /// <summary>Complete frames. Valid until the next call that writes or clears.</summary>
    public ReadOnlyMemory<byte> Written => _buffer.AsMemory(0, WrittenBytes);

    /// <summary>Payload so far of the frame that has begun and not ended.</summary>
    public int OpenPayloadBytes => _frameStart == NoFrame ? 0 : WrittenBytes - _frameStart - FrameHeader.SizeBytes;

    public void Begin(FrameKind kind, FrameFlags flags, ulong sequence)
    {
        if (_frameStart != NoFrame)
        {
            throw new InvalidOperationException("the frame before this one was neither ended nor abandoned");
        }

        _open = new FrameHeader(kind, flags, 0, 0, sequence);
        _frameStart = WrittenBytes;
        GetSpan(FrameHeader.SizeBytes);
        Advance(FrameHeader.SizeBytes);
    }

    /// <summary>Finishes the frame. False: its payload is above the limit; nothing of it remains.</summary>
    public bool TryEnd(int maxPayloadBytes)
    {
        int start = _frameStart;
        int length = WrittenBytes - start - FrameHeader.SizeBytes;
        if (length > maxPayloadBytes)
        {
            Abandon();
            return false;
        }

        var payload = _buffer.AsSpan(start + FrameHeader.SizeBytes, length);
        var header = _open with { PayloadLength = length, PayloadChecksum = FrameChecksum.Of(payload) };
        header.WriteTo(_buffer.AsSpan(start));
        _frameStart = NoFrame;
        return true;
    }

    /// <summary>Takes the open frame back.</summary>
    public void Abandon()
    {
        if (_frameStart != NoFrame)
        {
            WrittenBytes = _frameStart;
            _frameStart = NoFrame;
        }
    }

    /// <summary>A frame whose payload is at hand.</summary>
    public void Write(FrameKind kind, FrameFlags flags, ulong sequence, ReadOnlySpan<byte> payload)
    {
        Begin(kind, flags, sequence);
        payload.CopyTo(GetSpan(payload.Length));
        Advance(payload.Length);
        TryEnd(int.MaxValue);
    }

    /// <summary>Frames that another writer has finished.</summary>
    public void Append(ReadOnlySpan<byte> frames)
    {
        frames.CopyTo(GetSpan(frames.Length));
        Advance(frames.Length);
    }

    public void Clear()
    {
        WrittenBytes = 0;
        _frameStart = NoFrame;
        if (_buffer.Length > KeptBytes)
        {
            Release();
        }
    }

    public void Advance(int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, _buffer.Length - WrittenBytes);
        WrittenBytes += count;
    }

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        Reserve(sizeHint);
        return _buffer.AsMemory(WrittenBytes);
    }

    public Span<byte> GetSpan(int sizeHint = 0)
    {
        Reserve(sizeHint);
        return _buffer.AsSpan(WrittenBytes);
    }

    /// <summary>Gives the buffer back to the pool; the writer is empty and may be used again.</summary>
    public void Release()
    {
        byte[] buffer = _buffer;
        _buffer = [];
        WrittenBytes = 0;
        _frameStart = NoFrame;
        if (buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private void Reserve(int sizeHint)
    {
        int needed = Math.Max(sizeHint, 1);
        if (_buffer.Length - WrittenBytes >= needed)
        {
            return;
        }

        int size = Math.Max(Math.Max(InitialBytes, checked(WrittenBytes + needed)), (int)Math.Min(2L * _buffer.Length, Array.MaxLength));
        byte[] larger = ArrayPool<byte>.Shared.Rent(size);
        _buffer.AsSpan(0, WrittenBytes).CopyTo(larger);
        byte[] old = _buffer;
        _buffer = larger;
        if (old.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(old);
        }
    }
}
