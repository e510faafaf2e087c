namespace KvStore.Protocol;

/// <summary>
/// Reads a body field by field. What it hands out are views of the body. It takes the shortest form of every value and nothing
/// else, or one operation would have several digests: the sum of the shortest forms must be the length of the body.
/// </summary>
internal ref struct BodyReader(ReadOnlyMemory<byte> body)
{
    private readonly ReadOnlyMemory<byte> _body = body;
    private MessagePackReader _reader = new(body.Span);
    private long _shortest;

    /// <summary>The body ends here, and was written as this build writes it.</summary>
    public readonly bool IsWhole => _reader.AtEnd && _shortest == _body.Length;

    public bool TryReadFields(int expected)
    {
        _shortest += ShortestHeader(expected);
        return _reader.TryReadArrayHeader(out int fields) && fields == expected;
    }

    public bool TryReadCount(int max, out int count)
    {
        bool read = _reader.TryReadArrayHeader(out count) && count <= max;
        _shortest += ShortestHeader(count);
        return read;
    }

    public bool TryReadBin(out ReadOnlyMemory<byte> value)
    {
        value = default;
        if (!_reader.TryReadBin(int.MaxValue, out ReadOnlySpan<byte> bytes))
        {
            return false;
        }

        value = _body.Slice(_reader.Consumed - bytes.Length, bytes.Length);
        _shortest += ShortestBin(bytes.Length);
        return true;
    }

    public bool TryRead(out byte value)
    {
        if (_reader.TryReadOneByte(out value))
        {
            _shortest++;
            return true;
        }

        bool signed = IsSignedNext;
        bool read = _reader.TryRead(out value);
        _shortest += Shortest(value, signed);
        return read;
    }

    public bool TryRead(out ulong value)
    {
        if (_reader.TryReadOneByte(out byte small))
        {
            _shortest++;
            value = small;
            return true;
        }

        bool signed = IsSignedNext;
        bool read = _reader.TryRead(out value);
        _shortest += Shortest(value, signed);
        return read;
    }

    public bool TryRead(out long value)
    {
        bool signed = IsSignedNext;
        bool read = _reader.TryRead(out value);
        _shortest += value >= 0 ? Shortest((ulong)value, signed) : value switch
        {
            >= -32 => 1,
            >= sbyte.MinValue => 2,
            >= short.MinValue => 3,
            >= int.MinValue => 5,
            _ => 9,
        };
        return read;
    }

    public bool TryRead(out bool value)
    {
        _shortest++;
        return _reader.TryRead(out value);
    }

    /// <summary>The fields that every write of one key begins with.</summary>
    public bool TryReadKeyWrite(int fields, out ReadOnlyMemory<byte> key, out KvCondition condition)
    {
        key = default;
        condition = default;
        if (!TryReadFields(fields) || !TryReadBin(out key) || !TryRead(out byte kind) || kind > (byte)ConditionKind.Absent
            || !TryRead(out ulong revision))
        {
            return false;
        }

        condition = new KvCondition((ConditionKind)kind, revision);
        return true;
    }

    private readonly bool IsSignedNext =>
        !_reader.AtEnd && _reader.Remaining[0] is >= MessagePackCode.Int8 and <= MessagePackCode.Int64;

    // The signed form of a number that is not negative may be as long as ours, so its length alone does not give it away.
    private static int Shortest(ulong value, bool signed) => (signed ? 0 : 1) + value switch
    {
        <= MessagePackCode.MaxPositiveFixInt => 0,
        <= byte.MaxValue => 1,
        <= ushort.MaxValue => 2,
        <= uint.MaxValue => 4,
        _ => 8,
    };

    private static int ShortestBin(int bytes) => bytes + (bytes <= byte.MaxValue ? 2 : bytes <= ushort.MaxValue ? 3 : 5);

    private static int ShortestHeader(int count) => count < 16 ? 1 : count <= ushort.MaxValue ? 3 : 5;
}
