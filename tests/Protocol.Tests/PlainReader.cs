namespace KvStore.Protocol.Tests;

/// <summary>
/// The rules of <see cref="MessagePackReader"/> without any of its shortcuts: one value at the beginning of the input, byte by byte.
/// </summary>
internal static class PlainReader
{
    /// <summary>An integer between least and most.</summary>
    public static (DecodeResult Result, int Consumed, Int128 Value) Integer(byte[] input, Int128 least, Int128 most)
    {
        if (input.Length == 0)
        {
            return (DecodeResult.NeedMoreData, 0, 0);
        }

        byte code = input[0];
        if (code is > 0x7F and < 0xCC or > 0xD3 and < 0xE0)
        {
            return (DecodeResult.Malformed, 0, 0);
        }

        bool signed = code >= 0xD0;
        int width = code is <= 0x7F or >= 0xE0 ? 0 : 1 << ((code - 0xCC) % 4);
        if (input.Length < 1 + width)
        {
            return (DecodeResult.NeedMoreData, 0, 0);
        }

        byte[] digits = width == 0 ? [code] : input[1..(1 + width)];
        Int128 value = signed && digits[0] >= 0x80 ? -1 : 0;
        foreach (byte digit in digits)
        {
            value = (value << 8) | digit;
        }

        return value >= least && value <= most ? (DecodeResult.Ok, 1 + width, value) : (DecodeResult.Malformed, 0, 0);
    }

    /// <summary>A bin of at most so many bytes.</summary>
    public static (DecodeResult Result, int Consumed, byte[] Value) Bin(byte[] input, int most) => Body(input, 0xC4, fix: 0, fixBits: 0, most);

    /// <summary>A str of at most so many bytes, UTF-8 or not.</summary>
    public static (DecodeResult Result, int Consumed, byte[] Value) Str(byte[] input, int most) => Body(input, 0xD9, fix: 0xA0, fixBits: 5, most);

    /// <summary>The header of an array; each of its elements takes a byte at least.</summary>
    public static (DecodeResult Result, int Consumed, long Count) Array(byte[] input)
    {
        var (result, header, count) = Length(input, 0xDC, 2, fix: 0x90, fixBits: 4);
        return result != DecodeResult.Ok ? (result, 0, 0)
            : count > int.MaxValue ? (DecodeResult.Malformed, 0, 0)
            : count > input.Length - header ? (DecodeResult.NeedMoreData, 0, 0)
            : (result, header, count);
    }

    private static (DecodeResult Result, int Consumed, byte[] Value) Body(byte[] input, byte first, byte fix, int fixBits, int most)
    {
        var (result, header, length) = Length(input, first, 1, fix, fixBits);
        return result != DecodeResult.Ok ? (result, 0, [])
            : length > most ? (DecodeResult.Malformed, 0, [])
            : length > input.Length - header ? (DecodeResult.NeedMoreData, 0, [])
            : (result, header + (int)length, input[header..(header + (int)length)]);
    }

    // The codes of one kind follow each other, each with a length of twice the width; some have a form that holds the length itself.
    private static (DecodeResult Result, int Header, long Length) Length(byte[] input, byte first, int firstWidth, byte fix, int fixBits)
    {
        if (input.Length == 0)
        {
            return (DecodeResult.NeedMoreData, 0, 0);
        }

        if (fixBits > 0 && input[0] >> fixBits == fix >> fixBits)
        {
            return (DecodeResult.Ok, 1, input[0] - fix);
        }

        int step = input[0] - first;
        int width = step is >= 0 and <= 2 ? firstWidth << step : 0;
        if (width is < 1 or > 4)
        {
            return (DecodeResult.Malformed, 0, 0);
        }

        if (input.Length < 1 + width)
        {
            return (DecodeResult.NeedMoreData, 0, 0);
        }

        long length = 0;
        foreach (byte digit in input[1..(1 + width)])
        {
            length = (length << 8) | digit;
        }

        return (DecodeResult.Ok, 1 + width, length);
    }
}
