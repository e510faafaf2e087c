namespace KvStore.LoadTests.Fuzz;

/// <summary>Changes bytes that were valid, or makes up others. The same seed makes the same bytes.</summary>
internal sealed class Mutator(int seed)
{
    private const int MostRandomBytes = 300;
    private const int MostChanges = 4;

    // Lengths, signs and separators that parsers take for something else.
    private static readonly byte[] Telling =
    [
        0, 1, 9, 10, 13, 32, 34, 37, 47, 58, 63, 64, 92, 123, 125, 127, 128, 0x90, 0xa0, 0xc0, 0xc4, 0xc6, 0xca, 0xcb, 0xcf, 0xd3, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xfe, 0xff,
    ];

    private readonly Random _random = new(seed);

    public int Next(int below) => _random.Next(below);

    public T Draw<T>(IReadOnlyList<T> all) => all[_random.Next(all.Count)];

    public byte[] Random()
    {
        byte[] bytes = new byte[1 + _random.Next(MostRandomBytes)];
        _random.NextBytes(bytes);
        return bytes;
    }

    /// <summary>One to four changes: a byte, a bit, a piece left out, doubled or moved, the end cut off.</summary>
    public byte[] Mutate(ReadOnlySpan<byte> valid)
    {
        List<byte> bytes = [.. valid];
        for (int changes = 1 + _random.Next(MostChanges); changes > 0 && bytes.Count > 0; changes--)
        {
            int at = _random.Next(bytes.Count);
            int length = Math.Min(1 + _random.Next(8), bytes.Count - at);
            switch (_random.Next(7))
            {
                case 0:
                    bytes[at] = Telling[_random.Next(Telling.Length)];
                    break;
                case 1:
                    bytes[at] ^= (byte)(1 << _random.Next(8));
                    break;
                case 2:
                    bytes.RemoveRange(at, length);
                    break;
                case 3:
                    bytes.InsertRange(at, bytes.GetRange(at, length));
                    break;
                case 4:
                    bytes.Insert(at, Telling[_random.Next(Telling.Length)]);
                    break;
                case 5:
                    bytes.RemoveRange(at, bytes.Count - at);
                    break;
                default:
                    var piece = bytes.GetRange(at, length);
                    bytes.RemoveRange(at, length);
                    bytes.InsertRange(_random.Next(bytes.Count + 1), piece);
                    break;
            }
        }

        return [.. bytes];
    }
}
