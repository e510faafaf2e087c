using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Text;

namespace KvStore.Protocol;

/// <summary>
/// Writes the MessagePack format, every value in its shortest form, so that equal values have equal bytes. The output is asked for a
/// span when the one at hand is full, which for most bodies is once, and learns what was written by <see cref="Flush"/>. Until
/// then nobody else writes to it. Handed on by reference: a copy does not know what the other has written.
/// </summary>
public ref struct MessagePackWriter(IBufferWriter<byte> output)
{
    /// <summary>Of a length: its code and four bytes.</summary>
    private const int MaxHeaderBytes = 5;

    private readonly IBufferWriter<byte> _output = output;
    private Span<byte> _span;
    private int _written;

    /// <summary>Gives the output what was written since the last time. The writer goes on behind it.</summary>
    public void Flush()
    {
        _output.Advance(_written);
        _span = default;
        _written = 0;
    }

    public void WriteNil() => WriteByte(MessagePackCode.Nil);

    public void Write(bool value) => WriteByte(value ? MessagePackCode.True : MessagePackCode.False);

    public void Write(ulong value)
    {
        if (value <= MessagePackCode.MaxPositiveFixInt)
        {
            WriteByte((byte)value);
            return;
        }

        var span = Reserve(9);
        switch (value)
        {
            case <= byte.MaxValue:
                span[0] = MessagePackCode.UInt8;
                span[1] = (byte)value;
                _written += 2;
                break;
            case <= ushort.MaxValue:
                span[0] = MessagePackCode.UInt16;
                BinaryPrimitives.WriteUInt16BigEndian(span[1..], (ushort)value);
                _written += 3;
                break;
            case <= uint.MaxValue:
                span[0] = MessagePackCode.UInt32;
                BinaryPrimitives.WriteUInt32BigEndian(span[1..], (uint)value);
                _written += 5;
                break;
            default:
                span[0] = MessagePackCode.UInt64;
                BinaryPrimitives.WriteUInt64BigEndian(span[1..], value);
                _written += 9;
                break;
        }
    }

    public void Write(long value)
    {
        if (value >= 0)
        {
            Write((ulong)value);
            return;
        }

        var span = Reserve(9);
        switch (value)
        {
            case >= -32:
                span[0] = (byte)value;
                _written++;
                break;
            case >= sbyte.MinValue:
                span[0] = MessagePackCode.Int8;
                span[1] = (byte)value;
                _written += 2;
                break;
            case >= short.MinValue:
                span[0] = MessagePackCode.Int16;
                BinaryPrimitives.WriteInt16BigEndian(span[1..], (short)value);
                _written += 3;
                break;
            case >= int.MinValue:
                span[0] = MessagePackCode.Int32;
                BinaryPrimitives.WriteInt32BigEndian(span[1..], (int)value);
                _written += 5;
                break;
            default:
                span[0] = MessagePackCode.Int64;
                BinaryPrimitives.WriteInt64BigEndian(span[1..], value);
                _written += 9;
                break;
        }
    }

    // Without these two an int or uint argument would be ambiguous between long, ulong and double.
    public void Write(int value) => Write((long)value);

    public void Write(uint value) => Write((ulong)value);

    public void Write(double value)
    {
        var span = Reserve(9);
        span[0] = MessagePackCode.Float64;
        BinaryPrimitives.WriteDoubleBigEndian(span[1..], value);
        _written += 9;
    }

    /// <summary>A str; null is written as nil.</summary>
    public void Write(string? value)
    {
        if (value is null)
        {
            WriteNil();
            return;
        }

        int length = Encoding.UTF8.GetByteCount(value);
        var span = Reserve(MaxHeaderBytes + length);
        int header = 1;
        if (length <= 31)
        {
            span[0] = (byte)(MessagePackCode.FixStr | length);
        }
        else
        {
            header = WriteLength(span, length, MessagePackCode.Str8, MessagePackCode.Str16, MessagePackCode.Str32);
        }

        Encoding.UTF8.GetBytes(value, span[header..]);
        _written += header + length;
    }

    /// <summary>A bin.</summary>
    public void Write(ReadOnlySpan<byte> value)
    {
        value.CopyTo(WriteBinHeader(value.Length));
        _written += value.Length;
    }

    /// <summary>A bin of two parts, one behind the other.</summary>
    public void Write(scoped ReadOnlySpan<byte> head, scoped ReadOnlySpan<byte> tail)
    {
        Span<byte> bytes = WriteBinHeader(head.Length + tail.Length);
        head.CopyTo(bytes);
        tail.CopyTo(bytes[head.Length..]);
        _written += head.Length + tail.Length;
    }

    /// <summary>16 bytes of bin, big-endian.</summary>
    public void Write(UInt128 value)
    {
        BinaryPrimitives.WriteUInt128BigEndian(WriteBinHeader(16), value);
        _written += 16;
    }

    /// <summary>16 bytes of bin in the order in which the text form shows them.</summary>
    public void Write(Guid value)
    {
        value.TryWriteBytes(WriteBinHeader(16), bigEndian: true, out _);
        _written += 16;
    }

    public void WriteArrayHeader(int count) =>
        WriteHeader(count, MessagePackCode.FixArray, MessagePackCode.Array16, MessagePackCode.Array32);

    public void WriteMapHeader(int count) =>
        WriteHeader(count, MessagePackCode.FixMap, MessagePackCode.Map16, MessagePackCode.Map32);

    public void WriteExt(sbyte type, ReadOnlySpan<byte> value)
    {
        int length = value.Length;
        var span = Reserve(MaxHeaderBytes + 1 + length);
        int header = 1;
        if (length is 1 or 2 or 4 or 8 or 16)
        {
            span[0] = (byte)(MessagePackCode.FixExt1 + int.Log2(length));
        }
        else
        {
            header = WriteLength(span, length, MessagePackCode.Ext8, MessagePackCode.Ext16, MessagePackCode.Ext32);
        }

        span[header] = (byte)type;
        value.CopyTo(span[(header + 1)..]);
        _written += header + 1 + length;
    }

    /// <summary>Bytes that are MessagePack already.</summary>
    public void WriteRaw(ReadOnlySpan<byte> encoded)
    {
        encoded.CopyTo(Reserve(encoded.Length));
        _written += encoded.Length;
    }

    private void WriteByte(byte value)
    {
        Reserve(1)[0] = value;
        _written++;
    }

    // Room for the body is there behind the header, which is written already.
    private Span<byte> WriteBinHeader(int length)
    {
        var span = Reserve(MaxHeaderBytes + length);
        int header = WriteLength(span, length, MessagePackCode.Bin8, MessagePackCode.Bin16, MessagePackCode.Bin32);
        _written += header;
        return span[header..];
    }

    private void WriteHeader(int count, byte fix, byte code16, byte code32)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        if (count <= 15)
        {
            WriteByte((byte)(fix | count));
            return;
        }

        var span = Reserve(MaxHeaderBytes);
        if (count <= ushort.MaxValue)
        {
            span[0] = code16;
            BinaryPrimitives.WriteUInt16BigEndian(span[1..], (ushort)count);
            _written += 3;
        }
        else
        {
            span[0] = code32;
            BinaryPrimitives.WriteInt32BigEndian(span[1..], count);
            _written += 5;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Span<byte> Reserve(int bytes)
    {
        if (_span.Length - _written < bytes)
        {
            Flush();
            _span = _output.GetSpan(bytes);
        }

        return _span[_written..];
    }

    private static int WriteLength(Span<byte> span, int length, byte code8, byte code16, byte code32)
    {
        if (length <= byte.MaxValue)
        {
            span[0] = code8;
            span[1] = (byte)length;
            return 2;
        }

        if (length <= ushort.MaxValue)
        {
            span[0] = code16;
            BinaryPrimitives.WriteUInt16BigEndian(span[1..], (ushort)length);
            return 3;
        }

        span[0] = code32;
        BinaryPrimitives.WriteInt32BigEndian(span[1..], length);
        return 5;
    }
}
