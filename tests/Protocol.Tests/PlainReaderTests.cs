using System.Numerics;

namespace KvStore.Protocol.Tests;

/// <summary>
/// The reader takes short ways for what is frequent. Its verdict, its place and its value are those of <see cref="PlainReader"/> for
/// every first byte, every length and bodies at the edges of every form.
/// </summary>
public sealed class PlainReaderTests
{
    private const int MaxBin = 10;

    internal delegate bool Read<T>(ref MessagePackReader reader, out T value);

    [Fact]
    public void Integers()
    {
        Compare<ulong>((ref MessagePackReader reader, out ulong value) => reader.TryRead(out value));
        Compare<long>((ref MessagePackReader reader, out long value) => reader.TryRead(out value));
        Compare<uint>((ref MessagePackReader reader, out uint value) => reader.TryRead(out value));
        Compare<int>((ref MessagePackReader reader, out int value) => reader.TryRead(out value));
        Compare<ushort>((ref MessagePackReader reader, out ushort value) => reader.TryRead(out value));
        Compare<byte>((ref MessagePackReader reader, out byte value) => reader.TryRead(out value));
    }

    [Fact]
    public void Binaries_and_texts()
    {
        foreach (byte[] input in Inputs())
        {
            var bin = new MessagePackReader(input);
            bool ok = bin.TryReadBin(MaxBin, out var bytes);
            var (result, consumed, value) = PlainReader.Bin(input, MaxBin);
            Assert.True(
                ok == (result == DecodeResult.Ok) && bin.Result == result && bin.Consumed == consumed && bytes.SequenceEqual(value),
                Convert.ToHexString(input));

            var str = new MessagePackReader(input);
            ok = str.TryReadUtf8(MaxBin, out bytes);
            (result, consumed, value) = PlainReader.Str(input, MaxBin);
            Assert.True(
                ok == (result == DecodeResult.Ok) && str.Result == result && str.Consumed == consumed && bytes.SequenceEqual(value),
                Convert.ToHexString(input));
        }
    }

    [Fact]
    public void Array_headers()
    {
        foreach (byte[] input in Inputs())
        {
            var reader = new MessagePackReader(input);
            bool ok = reader.TryReadArrayHeader(out int count);
            var (result, consumed, value) = PlainReader.Array(input);
            Assert.True(
                ok == (result == DecodeResult.Ok) && reader.Result == result && reader.Consumed == consumed && count == value,
                Convert.ToHexString(input));
        }
    }

    /// <summary>Fails at the first input that the reader under test judges otherwise than the plain one.</summary>
    internal static void Compare<T>(Read<T> read)
        where T : struct, IBinaryInteger<T>, IMinMaxValue<T>
    {
        foreach (byte[] input in Inputs())
        {
            var reader = new MessagePackReader(input);
            bool ok = read(ref reader, out T value);
            var (result, consumed, expected) =
                PlainReader.Integer(input, Int128.CreateChecked(T.MinValue), Int128.CreateChecked(T.MaxValue));
            bool same = ok == (result == DecodeResult.Ok) && reader.Result == result && reader.Consumed == consumed
                && (!ok || Int128.CreateChecked(value) == expected);
            Assert.True(same, $"{typeof(T).Name} of {Convert.ToHexString(input)}: {reader.Result} {value}, not {result} {expected}");
        }
    }

    private static IEnumerable<byte[]> Inputs()
    {
        const int Longest = 14;
        const int Seed = 99_104;
        var random = new Random(Seed);
        byte[] edges = [0x00, 0x01, 0x0A, 0x0B, 0x7F, 0x80, 0xFF];
        yield return [];
        for (int code = 0; code <= byte.MaxValue; code++)
        {
            for (int length = 1; length <= Longest; length++)
            {
                for (int i = 0; i < 24; i++)
                {
                    byte[] input = new byte[length];
                    random.NextBytes(input);
                    for (int at = 1; at < length && i < 16; at++)
                    {
                        // Leading zeros or ones, so that values fall on both sides of every range.
                        input[at] = at <= i / 2 ? (i % 2 == 0 ? (byte)0 : (byte)0xFF) : edges[random.Next(edges.Length)];
                    }

                    input[0] = (byte)code;
                    yield return input;
                }
            }
        }
    }
}
