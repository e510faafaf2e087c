using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace KvStore.Protocol;

/// <summary>
/// Writes the MessagePack format, every value in its shortest form, so that equal values have equal bytes. Nothing is held
/// back: each call has advanced the buffer when it returns.
/// </summary>
public readonly ref struct MessagePackWriter(IBufferWriter<byte> output)
{
    private readonly IBufferWriter<byte> _output = output;

    public void WriteNil() => WriteByte(MessagePackCode.Nil);

    public void Write(bool value) => WriteByte(value ? MessagePackCode.True : MessagePackCode.False);

    public void Write(ulong value)
    {
        var span = _output.GetSpan(9);
        switch (value)
        {
            case <= MessagePackCode.MaxPositiveFixInt:
                span[0] = (byte)value;
                _output.Advance(1);
                break;
            case <= byte.MaxValue:
                span[0] = MessagePackCode.UInt8;
                span[1] = (byte)value;
                _output.Advance(2);
                break;
            case <= ushort.MaxValue:
                span[0] = MessagePackCode.UInt16;
                BinaryPrimitives.WriteUInt16BigEndian(span[1..], (ushort)value);
                _output.Advance(3);
                break;
            case <= uint.MaxValue:
                span[0] = MessagePackCode.UInt32;
                BinaryPrimitives.WriteUInt32BigEndian(span[1..], (uint)value);
                _output.Advance(5);
                break;
            default:
                span[0] = MessagePackCode.UInt64;
                BinaryPrimitives.WriteUInt64BigEndian(span[1..], value);
                _output.Advance(9);
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

        var span = _output.GetSpan(9);
        switch (value)
        {
            case >= -32:
                span[0] = (byte)value;
                _output.Advance(1);
                break;
            case >= sbyte.MinValue:
                span[0] = MessagePackCode.Int8;
                span[1] = (byte)value;
                _output.Advance(2);
                break;
            case >= short.MinValue:
                span[0] = MessagePackCode.Int16;
                BinaryPrimitives.WriteInt16BigEndian(span[1..], (short)value);
                _output.Advance(3);
                break;
            case >= int.MinValue:
                span[0] = MessagePackCode.Int32;
                BinaryPrimitives.WriteInt32BigEndian(span[1..], (int)value);
                _output.Advance(5);
                break;
            default:
                span[0] = MessagePackCode.Int64;
                BinaryPrimitives.WriteInt64BigEndian(span[1..], value);
                _output.Advance(9);
                break;
        }
    }

    // Without these two an int or uint argument would be ambiguous between long, ulong and double.
    public void Write(int value) => Write((long)value);

    public void Write(uint value) => Write((ulong)value);

    public void Write(double value)
    {
        var span = _output.GetSpan(9);
        span[0] = MessagePackCode.Float64;
        BinaryPrimitives.WriteDoubleBigEndian(span[1..], value);
        _output.Advance(9);
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
        WriteStrHeader(length);
        var span = _output.GetSpan(length);
        Encoding.UTF8.GetBytes(value, span);
        _output.Advance(length);
    }

    /// <summary>A bin.</summary>
    public void Write(ReadOnlySpan<byte> value)
    {
        WriteBinHeader(value.Length);
        WriteRaw(value);
    }

    /// <summary>16 bytes of bin, big-endian.</summary>
    public void Write(UInt128 value)
    {
        WriteBinHeader(16);
        BinaryPrimitives.WriteUInt128BigEndian(_output.GetSpan(16), value);
        _output.Advance(16);
    }

    /// <summary>16 bytes of bin in the order in which the text form shows them.</summary>
    public void Write(Guid value)
    {
        WriteBinHeader(16);
        value.TryWriteBytes(_output.GetSpan(16), bigEndian: true, out _);
        _output.Advance(16);
    }

    public void WriteArrayHeader(int count) =>
        WriteHeader(count, MessagePackCode.FixArray, 15, MessagePackCode.Array16, MessagePackCode.Array32);

    public void WriteMapHeader(int count) =>
        WriteHeader(count, MessagePackCode.FixMap, 15, MessagePackCode.Map16, MessagePackCode.Map32);

    public void WriteExt(sbyte type, ReadOnlySpan<byte> value)
    {
        var span = _output.GetSpan(6);
        int length = value.Length;
        int header;
        if (length is 1 or 2 or 4 or 8 or 16)
        {
            span[0] = (byte)(MessagePackCode.FixExt1 + int.Log2(length));
            header = 1;
        }
        else
        {
            header = WriteLength(span, length, MessagePackCode.Ext8, MessagePackCode.Ext16, MessagePackCode.Ext32);
        }

        span[header] = (byte)type;
        _output.Advance(header + 1);
        WriteRaw(value);
    }

    /// <summary>Bytes that are MessagePack already.</summary>
    public void WriteRaw(ReadOnlySpan<byte> encoded) => _output.Write(encoded);

    private void WriteByte(byte value)
    {
        _output.GetSpan(1)[0] = value;
        _output.Advance(1);
    }

    private void WriteStrHeader(int length)
    {
        var span = _output.GetSpan(5);
        if (length <= 31)
        {
            span[0] = (byte)(MessagePackCode.FixStr | length);
            _output.Advance(1);
            return;
        }

        _output.Advance(WriteLength(span, length, MessagePackCode.Str8, MessagePackCode.Str16, MessagePackCode.Str32));
    }

    /// <summary>The header of a bin whose bytes follow, by <see cref="WriteRaw"/>.</summary>
    public void WriteBinHeader(int length) =>
        _output.Advance(WriteLength(_output.GetSpan(5), length, MessagePackCode.Bin8, MessagePackCode.Bin16, MessagePackCode.Bin32));

    private void WriteHeader(int count, byte fix, int maxFix, byte code16, byte code32)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        var span = _output.GetSpan(5);
        if (count <= maxFix)
        {
            span[0] = (byte)(fix | count);
            _output.Advance(1);
        }
        else if (count <= ushort.MaxValue)
        {
            span[0] = code16;
            BinaryPrimitives.WriteUInt16BigEndian(span[1..], (ushort)count);
            _output.Advance(3);
        }
        else
        {
            span[0] = code32;
            BinaryPrimitives.WriteInt32BigEndian(span[1..], count);
            _output.Advance(5);
        }
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
