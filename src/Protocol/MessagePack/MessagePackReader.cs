using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Unicode;

namespace KvStore.Protocol;

/// <summary>
/// Reads the MessagePack format from bytes nobody vouches for. Every TryRead returns true and moves on, or returns false, stays
/// where it was and says why in <see cref="Result"/>. Nothing throws, and a length is compared with the bytes that are really
/// there before anything of that size exists.
/// </summary>
public ref struct MessagePackReader(ReadOnlySpan<byte> bytes)
{
    private readonly ReadOnlySpan<byte> _bytes = bytes;
    private int _position;

    /// <summary>Why the last read returned false.</summary>
    public DecodeResult Result { get; private set; }

    /// <summary>Bytes read so far.</summary>
    public readonly int Consumed => _position;

    public readonly bool AtEnd => _position == _bytes.Length;

    public readonly ReadOnlySpan<byte> Remaining => _bytes[_position..];

    /// <summary>Consumes a nil if one is next; false only when there is no byte at all.</summary>
    public bool TryReadNil(out bool wasNil)
    {
        wasNil = false;
        if (!Has(1))
        {
            return false;
        }

        wasNil = _bytes[_position] == MessagePackCode.Nil;
        _position += wasNil ? 1 : 0;
        return true;
    }

    public bool TryRead(out bool value)
    {
        value = false;
        if (!Has(1))
        {
            return false;
        }

        byte code = _bytes[_position];
        if (code is not (MessagePackCode.True or MessagePackCode.False))
        {
            return Fail(DecodeResult.Malformed);
        }

        value = code == MessagePackCode.True;
        _position++;
        return true;
    }

    /// <summary>Any integer form, as long as the value fits.</summary>
    public bool TryRead(out ulong value)
    {
        if (TryReadOneByte(out byte small))
        {
            value = small;
            return true;
        }

        return TryReadUnsigned(ulong.MaxValue, out value);
    }

    public bool TryRead(out long value)
    {
        if (TryReadOneByte(out byte small))
        {
            value = small;
            return true;
        }

        return TryReadSigned(long.MinValue, long.MaxValue, out value);
    }

    public bool TryRead(out uint value)
    {
        if (TryReadOneByte(out byte small))
        {
            value = small;
            return true;
        }

        bool ok = TryReadUnsigned(uint.MaxValue, out ulong wide);
        value = (uint)wide;
        return ok;
    }

    public bool TryRead(out int value)
    {
        if (TryReadOneByte(out byte small))
        {
            value = small;
            return true;
        }

        bool ok = TryReadSigned(int.MinValue, int.MaxValue, out long wide);
        value = (int)wide;
        return ok;
    }

    public bool TryRead(out ushort value)
    {
        if (TryReadOneByte(out byte small))
        {
            value = small;
            return true;
        }

        bool ok = TryReadUnsigned(ushort.MaxValue, out ulong wide);
        value = (ushort)wide;
        return ok;
    }

    public bool TryRead(out byte value)
    {
        if (TryReadOneByte(out value))
        {
            return true;
        }

        bool ok = TryReadUnsigned(byte.MaxValue, out ulong wide);
        value = (byte)wide;
        return ok;
    }

    /// <summary>A float 64 or a float 32.</summary>
    public bool TryRead(out double value)
    {
        value = 0;
        if (!Has(1))
        {
            return false;
        }

        switch (_bytes[_position])
        {
            case MessagePackCode.Float64:
                if (!Has(9))
                {
                    return false;
                }

                value = BinaryPrimitives.ReadDoubleBigEndian(_bytes[(_position + 1)..]);
                return Move(9);
            case MessagePackCode.Float32:
                if (!Has(5))
                {
                    return false;
                }

                value = BinaryPrimitives.ReadSingleBigEndian(_bytes[(_position + 1)..]);
                return Move(5);
            default:
                return Fail(DecodeResult.Malformed);
        }
    }

    /// <summary>A bin of at most maxBytes; the span points into the input.</summary>
    public bool TryReadBin(int maxBytes, out ReadOnlySpan<byte> value)
    {
        // Keys, ids, bodies and most values: the length is one byte or two. Whatever does not fit is judged below.
        var rest = Remaining;
        if (rest.Length >= 2 && rest[0] == MessagePackCode.Bin8 && rest[1] <= rest.Length - 2 && rest[1] <= maxBytes)
        {
            value = rest.Slice(2, rest[1]);
            return Move(2 + rest[1]);
        }

        if (rest.Length >= 3 && rest[0] == MessagePackCode.Bin16)
        {
            int bytes = (rest[1] << 8) | rest[2];
            if (bytes <= rest.Length - 3 && bytes <= maxBytes)
            {
                value = rest.Slice(3, bytes);
                return Move(3 + bytes);
            }
        }

        value = default;
        return TryReadBinHeader(out uint length, out int header) && TryReadBody(header, length, maxBytes, out value);
    }

    /// <summary>A str of at most maxBytes, as its bytes; not checked to be UTF-8.</summary>
    public bool TryReadUtf8(int maxBytes, out ReadOnlySpan<byte> value)
    {
        value = default;
        return TryReadStrHeader(out uint length, out int header) && TryReadBody(header, length, maxBytes, out value);
    }

    /// <summary>A str of at most maxBytes. Bytes that are not UTF-8 are malformed.</summary>
    public bool TryReadString(int maxBytes, out string value)
    {
        value = string.Empty;
        int start = _position;
        if (!TryReadUtf8(maxBytes, out var utf8))
        {
            return false;
        }

        if (!Utf8.IsValid(utf8))
        {
            _position = start;
            return Fail(DecodeResult.Malformed);
        }

        value = Encoding.UTF8.GetString(utf8);
        return true;
    }

    /// <summary>A str of at most maxBytes, or nil.</summary>
    public bool TryReadOptionalString(int maxBytes, out string? value)
    {
        value = null;
        if (!TryReadNil(out bool none))
        {
            return false;
        }

        if (none)
        {
            return true;
        }

        bool ok = TryReadString(maxBytes, out string text);
        value = ok ? text : null;
        return ok;
    }

    /// <summary>A bin of exactly 16 bytes, big-endian.</summary>
    public bool TryRead(out UInt128 value)
    {
        bool ok = TryReadBin16(out var bytes);
        value = ok ? BinaryPrimitives.ReadUInt128BigEndian(bytes) : default;
        return ok;
    }

    /// <summary>A bin of exactly 16 bytes, in the order of the text form.</summary>
    public bool TryRead(out Guid value)
    {
        bool ok = TryReadBin16(out var bytes);
        value = ok ? new Guid(bytes, bigEndian: true) : default;
        return ok;
    }

    /// <summary>
    /// The number of elements that follow. An element has at least one byte, so a count above the bytes that remain asks for
    /// more data and can never size an allocation.
    /// </summary>
    public bool TryReadArrayHeader(out int count) =>
        TryReadCount(MessagePackCode.FixArray, MessagePackCode.Array16, MessagePackCode.Array32, bytesPerItem: 1, out count);

    /// <summary>The number of key-value pairs that follow.</summary>
    public bool TryReadMapHeader(out int count) =>
        TryReadCount(MessagePackCode.FixMap, MessagePackCode.Map16, MessagePackCode.Map32, bytesPerItem: 2, out count);

    public bool TryReadExt(int maxBytes, out sbyte type, out ReadOnlySpan<byte> value)
    {
        type = 0;
        value = default;
        if (!TryReadExtHeader(out uint length, out int header, out type))
        {
            return false;
        }

        return TryReadBody(header, length, maxBytes, out value);
    }

    /// <summary>Moves past one value of any type. Nesting costs no stack: what is counted is values still to pass.</summary>
    public bool TrySkip()
    {
        int start = _position;
        long pending = 1;
        while (pending > 0)
        {
            if (!TrySkipHeaderAndBody(out long children))
            {
                _position = start;
                return false;
            }

            pending += children - 1;
        }

        return true;
    }

    /// <summary>Moves past count values; for the fields at the end of an array that a newer writer has added.</summary>
    public bool TrySkip(int count)
    {
        for (int i = 0; i < count; i++)
        {
            if (!TrySkip())
            {
                return false;
            }
        }

        return true;
    }

    private bool TrySkipHeaderAndBody(out long children)
    {
        children = 0;
        if (!Has(1))
        {
            return false;
        }

        byte code = _bytes[_position];
        switch (code)
        {
            case <= MessagePackCode.MaxPositiveFixInt or >= MessagePackCode.NegativeFixInt:
            case MessagePackCode.Nil or MessagePackCode.True or MessagePackCode.False:
                return Move(1);
            case >= MessagePackCode.UInt8 and <= MessagePackCode.Int64:
                return TryReadInteger(out _, out _, out int size) && Move(size);
            case MessagePackCode.Float32 or MessagePackCode.Float64:
                return TryRead(out double _);
            case >= MessagePackCode.Bin8 and <= MessagePackCode.Bin32:
                return TryReadBin(int.MaxValue, out _);
            case (>= MessagePackCode.FixStr and < MessagePackCode.Nil) or (>= MessagePackCode.Str8 and <= MessagePackCode.Str32):
                return TryReadUtf8(int.MaxValue, out _);
            case (>= MessagePackCode.Ext8 and <= MessagePackCode.Ext32) or (>= MessagePackCode.FixExt1 and <= MessagePackCode.FixExt16):
                return TryReadExt(int.MaxValue, out _, out _);
            case (>= MessagePackCode.FixArray and < MessagePackCode.FixStr) or MessagePackCode.Array16 or MessagePackCode.Array32:
                {
                    bool ok = TryReadArrayHeader(out int count);
                    children = count;
                    return ok;
                }

            case (>= MessagePackCode.FixMap and < MessagePackCode.FixArray) or MessagePackCode.Map16 or MessagePackCode.Map32:
                {
                    bool ok = TryReadMapHeader(out int count);
                    children = 2L * count;
                    return ok;
                }

            default:
                return Fail(DecodeResult.Malformed);
        }
    }

    private bool TryReadBin16(out ReadOnlySpan<byte> bytes)
    {
        bytes = default;
        if (!TryReadBinHeader(out uint length, out int header))
        {
            return false;
        }

        return length == 16 ? TryReadBody(header, length, 16, out bytes) : Fail(DecodeResult.Malformed);
    }

    // Most integers of a message are kinds, counts and small numbers: one byte, tried before anything is worked out.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool TryReadOneByte(out byte value)
    {
        var bytes = _bytes;
        int position = _position;
        if ((uint)position < (uint)bytes.Length && bytes[position] <= MessagePackCode.MaxPositiveFixInt)
        {
            value = bytes[position];
            _position = position + 1;
            return true;
        }

        value = 0;
        return false;
    }

    private bool TryReadUnsigned(ulong max, out ulong value)
    {
        if (!TryReadInteger(out value, out bool negative, out int size))
        {
            return false;
        }

        return !negative && value <= max ? Move(size) : Fail(DecodeResult.Malformed);
    }

    private bool TryReadSigned(long min, long max, out long value)
    {
        bool ok = TryReadInteger(out ulong bits, out bool negative, out int size);
        value = (long)bits;
        if (!ok)
        {
            return false;
        }

        bool fits = negative ? value >= min : bits <= (ulong)max;
        return fits ? Move(size) : Fail(DecodeResult.Malformed);
    }

    // Two's complement bits; the caller checks the range and then moves by size.
    private bool TryReadInteger(out ulong bits, out bool negative, out int size)
    {
        bits = 0;
        negative = false;
        size = 1;
        var rest = Remaining;
        if (rest.IsEmpty)
        {
            return Fail(DecodeResult.NeedMoreData);
        }

        byte code = rest[0];
        long signed;
        switch (code)
        {
            case <= MessagePackCode.MaxPositiveFixInt:
                bits = code;
                return true;
            case >= MessagePackCode.NegativeFixInt:
                signed = (sbyte)code;
                break;
            case MessagePackCode.UInt8 when rest.Length >= 2:
                size = 2;
                bits = rest[1];
                return true;
            case MessagePackCode.UInt16 when rest.Length >= 3:
                size = 3;
                bits = BinaryPrimitives.ReadUInt16BigEndian(rest[1..]);
                return true;
            case MessagePackCode.UInt32 when rest.Length >= 5:
                size = 5;
                bits = BinaryPrimitives.ReadUInt32BigEndian(rest[1..]);
                return true;
            case MessagePackCode.UInt64 when rest.Length >= 9:
                size = 9;
                bits = BinaryPrimitives.ReadUInt64BigEndian(rest[1..]);
                return true;
            case MessagePackCode.Int8 when rest.Length >= 2:
                size = 2;
                signed = (sbyte)rest[1];
                break;
            case MessagePackCode.Int16 when rest.Length >= 3:
                size = 3;
                signed = BinaryPrimitives.ReadInt16BigEndian(rest[1..]);
                break;
            case MessagePackCode.Int32 when rest.Length >= 5:
                size = 5;
                signed = BinaryPrimitives.ReadInt32BigEndian(rest[1..]);
                break;
            case MessagePackCode.Int64 when rest.Length >= 9:
                size = 9;
                signed = BinaryPrimitives.ReadInt64BigEndian(rest[1..]);
                break;
            default:
                bool isInteger = code is >= MessagePackCode.UInt8 and <= MessagePackCode.Int64;
                return Fail(isInteger ? DecodeResult.NeedMoreData : DecodeResult.Malformed);
        }

        bits = (ulong)signed;
        negative = signed < 0;
        return true;
    }

    private bool TryReadStrHeader(out uint length, out int header)
    {
        length = 0;
        header = 1;
        if (!Has(1))
        {
            return false;
        }

        byte code = _bytes[_position];
        if (code is >= MessagePackCode.FixStr and < MessagePackCode.Nil)
        {
            length = (uint)(code & 0x1F);
            return true;
        }

        return code switch
        {
            MessagePackCode.Str8 => TryReadLength(1, out length, out header),
            MessagePackCode.Str16 => TryReadLength(2, out length, out header),
            MessagePackCode.Str32 => TryReadLength(4, out length, out header),
            _ => Fail(DecodeResult.Malformed),
        };
    }

    private bool TryReadBinHeader(out uint length, out int header)
    {
        length = 0;
        header = 1;
        if (!Has(1))
        {
            return false;
        }

        return _bytes[_position] switch
        {
            MessagePackCode.Bin8 => TryReadLength(1, out length, out header),
            MessagePackCode.Bin16 => TryReadLength(2, out length, out header),
            MessagePackCode.Bin32 => TryReadLength(4, out length, out header),
            _ => Fail(DecodeResult.Malformed),
        };
    }

    private bool TryReadExtHeader(out uint length, out int header, out sbyte type)
    {
        length = 0;
        header = 1;
        type = 0;
        if (!Has(1))
        {
            return false;
        }

        byte code = _bytes[_position];
        bool ok = true;
        if (code is >= MessagePackCode.FixExt1 and <= MessagePackCode.FixExt16)
        {
            length = 1u << (code - MessagePackCode.FixExt1);
        }
        else
        {
            ok = code switch
            {
                MessagePackCode.Ext8 => TryReadLength(1, out length, out header),
                MessagePackCode.Ext16 => TryReadLength(2, out length, out header),
                MessagePackCode.Ext32 => TryReadLength(4, out length, out header),
                _ => Fail(DecodeResult.Malformed),
            };
        }

        if (!ok || !Has(header + 1))
        {
            return false;
        }

        type = (sbyte)_bytes[_position + header];
        header++;
        return true;
    }

    private bool TryReadCount(byte fix, byte code16, byte code32, int bytesPerItem, out int count)
    {
        count = 0;
        var rest = Remaining;
        if (rest.IsEmpty)
        {
            return Fail(DecodeResult.NeedMoreData);
        }

        byte code = rest[0];
        if ((code & 0xF0) == fix && (code & 0x0F) * bytesPerItem < rest.Length)
        {
            count = code & 0x0F;
            _position++;
            return true;
        }

        uint length;
        int header = 1;
        if ((code & 0xF0) == fix)
        {
            length = (uint)(code & 0x0F);
        }
        else if (code != code16 && code != code32)
        {
            return Fail(DecodeResult.Malformed);
        }
        else if (!TryReadLength(code == code16 ? 2 : 4, out length, out header))
        {
            return false;
        }

        if (length > int.MaxValue / bytesPerItem)
        {
            return Fail(DecodeResult.Malformed);
        }

        if ((long)length * bytesPerItem > rest.Length - header)
        {
            return Fail(DecodeResult.NeedMoreData);
        }

        count = (int)length;
        return Move(header);
    }

    // Only behind a first byte that is there.
    private bool TryReadLength(int width, out uint length, out int header)
    {
        header = 1 + width;
        length = 0;
        var body = _bytes[(_position + 1)..];
        if (body.Length < width)
        {
            return Fail(DecodeResult.NeedMoreData);
        }

        length = width switch
        {
            1 => body[0],
            2 => BinaryPrimitives.ReadUInt16BigEndian(body),
            _ => BinaryPrimitives.ReadUInt32BigEndian(body),
        };
        return true;
    }

    private bool TryReadBody(int header, uint length, int maxBytes, out ReadOnlySpan<byte> value)
    {
        value = default;
        if (length > maxBytes)
        {
            return Fail(DecodeResult.Malformed);
        }

        if (length > _bytes.Length - _position - header)
        {
            return Fail(DecodeResult.NeedMoreData);
        }

        value = _bytes.Slice(_position + header, (int)length);
        return Move(header + (int)length);
    }

    private bool Has(int count) => count <= _bytes.Length - _position || Fail(DecodeResult.NeedMoreData);

    private bool Move(int count)
    {
        _position += count;
        return true;
    }

    private bool Fail(DecodeResult result)
    {
        Result = result;
        return false;
    }
}
