using System.Buffers;
using System.Text;

namespace KvStore.Protocol.Tests;

public sealed class MessagePackTests
{
    private delegate void WriteSome(ref MessagePackWriter writer);

    // Each line follows from the format's specification, not from our writer.
    [Theory]
    [InlineData(0L, "00")]
    [InlineData(127L, "7F")]
    [InlineData(128L, "CC80")]
    [InlineData(255L, "CCFF")]
    [InlineData(256L, "CD0100")]
    [InlineData(65_535L, "CDFFFF")]
    [InlineData(65_536L, "CE00010000")]
    [InlineData(4_294_967_295L, "CEFFFFFFFF")]
    [InlineData(4_294_967_296L, "CF0000000100000000")]
    [InlineData(long.MaxValue, "CF7FFFFFFFFFFFFFFF")]
    [InlineData(-1L, "FF")]
    [InlineData(-32L, "E0")]
    [InlineData(-33L, "D0DF")]
    [InlineData(-128L, "D080")]
    [InlineData(-129L, "D1FF7F")]
    [InlineData(-32_768L, "D18000")]
    [InlineData(-32_769L, "D2FFFF7FFF")]
    [InlineData(-2_147_483_648L, "D280000000")]
    [InlineData(-2_147_483_649L, "D3FFFFFFFF7FFFFFFF")]
    [InlineData(long.MinValue, "D38000000000000000")]
    public void Integers_take_the_smallest_form(long value, string hex)
    {
        Assert.Equal(hex, Hex((ref w) => w.Write(value)));
        var reader = new MessagePackReader(Convert.FromHexString(hex));
        Assert.True(reader.TryRead(out long back));
        Assert.Equal(value, back);
        Assert.True(reader.AtEnd);
    }

    [Fact]
    public void The_largest_unsigned_integer_is_not_a_signed_one()
    {
        byte[] bytes = Convert.FromHexString("CFFFFFFFFFFFFFFFFF");
        Assert.Equal("CFFFFFFFFFFFFFFFFF", Hex((ref w) => w.Write(ulong.MaxValue)));
        var unsigned = new MessagePackReader(bytes);
        Assert.True(unsigned.TryRead(out ulong value));
        Assert.Equal(ulong.MaxValue, value);
        var signed = new MessagePackReader(bytes);
        Assert.False(signed.TryRead(out long _));
        Assert.Equal(DecodeResult.Malformed, signed.Result);
        Assert.Equal(0, signed.Consumed);
    }

    [Fact]
    public void Integers_outside_the_asked_range_are_malformed()
    {
        Assert.False(new MessagePackReader(Convert.FromHexString("FF")).TryRead(out ulong _));
        Assert.False(new MessagePackReader(Convert.FromHexString("CF0000000100000000")).TryRead(out uint _));
        Assert.False(new MessagePackReader(Convert.FromHexString("CE80000000")).TryRead(out int _));
        Assert.False(new MessagePackReader(Convert.FromHexString("CE00010000")).TryRead(out ushort _));
        Assert.False(new MessagePackReader(Convert.FromHexString("CD0100")).TryRead(out byte _));
        Assert.False(new MessagePackReader(Convert.FromHexString("D3FFFFFFFF7FFFFFFF")).TryRead(out int _));
    }

    [Fact]
    public void Longer_forms_of_other_writers_are_read()
    {
        string[] forms = ["05", "CC05", "CD0005", "CE00000005", "CF0000000000000005", "D005", "D10005", "D200000005", "D30000000000000005"];
        foreach (string hex in forms)
        {
            var reader = new MessagePackReader(Convert.FromHexString(hex));
            Assert.True(reader.TryRead(out byte value), hex);
            Assert.Equal(5, value);
            Assert.True(reader.AtEnd, hex);
        }
    }

    [Fact]
    public void Nil_bool_float_and_headers_match_the_specification()
    {
        Assert.Equal("C0", Hex((ref w) => w.WriteNil()));
        Assert.Equal("C2", Hex((ref w) => w.Write(false)));
        Assert.Equal("C3", Hex((ref w) => w.Write(true)));
        Assert.Equal("CB3FF8000000000000", Hex((ref w) => w.Write(1.5)));
        Assert.Equal("90", Hex((ref w) => w.WriteArrayHeader(0)));
        Assert.Equal("9F", Hex((ref w) => w.WriteArrayHeader(15)));
        Assert.Equal("DC0010", Hex((ref w) => w.WriteArrayHeader(16)));
        Assert.Equal("DD00010000", Hex((ref w) => w.WriteArrayHeader(65_536)));
        Assert.Equal("8F", Hex((ref w) => w.WriteMapHeader(15)));
        Assert.Equal("DE0010", Hex((ref w) => w.WriteMapHeader(16)));
        Assert.Equal("DF00010000", Hex((ref w) => w.WriteMapHeader(65_536)));
    }

    [Fact]
    public void Strings_and_binaries_change_form_at_their_limits()
    {
        Assert.Equal("C0", Hex((ref w) => w.Write((string?)null)));
        Assert.Equal("A0", Hex((ref w) => w.Write("")));
        Assert.Equal("A161", Hex((ref w) => w.Write("a")));
        Assert.Equal("A2C3A9", Hex((ref w) => w.Write("é")));
        Assert.StartsWith("BF61", Hex((ref w) => w.Write(new string('a', 31))), StringComparison.Ordinal);
        Assert.StartsWith("D92061", Hex((ref w) => w.Write(new string('a', 32))), StringComparison.Ordinal);
        Assert.StartsWith("D9FF61", Hex((ref w) => w.Write(new string('a', 255))), StringComparison.Ordinal);
        Assert.StartsWith("DA010061", Hex((ref w) => w.Write(new string('a', 256))), StringComparison.Ordinal);
        Assert.StartsWith("DB0001000061", Hex((ref w) => w.Write(new string('a', 65_536))), StringComparison.Ordinal);
        Assert.Equal("C400", Hex((ref w) => w.Write([])));
        Assert.StartsWith("C4FF00", Hex((ref w) => w.Write(new byte[255])), StringComparison.Ordinal);
        Assert.StartsWith("C5010000", Hex((ref w) => w.Write(new byte[256])), StringComparison.Ordinal);
        Assert.StartsWith("C60001000000", Hex((ref w) => w.Write(new byte[65_536])), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, "C7002A")]
    [InlineData(1, "D42A")]
    [InlineData(2, "D52A")]
    [InlineData(3, "C7032A")]
    [InlineData(4, "D62A")]
    [InlineData(8, "D72A")]
    [InlineData(16, "D82A")]
    [InlineData(17, "C7112A")]
    [InlineData(256, "C801002A")]
    [InlineData(65_536, "C9000100002A")]
    public void Ext_takes_the_fixed_form_for_powers_of_two_up_to_16(int length, string header)
    {
        byte[] bytes = Bytes((ref w) => w.WriteExt(42, new byte[length]));
        Assert.Equal(header, Convert.ToHexString(bytes[..(header.Length / 2)]));
        Assert.Equal((header.Length / 2) + length, bytes.Length);
        var reader = new MessagePackReader(bytes);
        Assert.True(reader.TryReadExt(1 << 20, out sbyte type, out var value));
        Assert.Equal(42, type);
        Assert.Equal(length, value.Length);
    }

    [Fact]
    public void Sixteen_byte_numbers_are_big_endian_binaries()
    {
        var number = new UInt128(0x0011223344556677, 0x8899AABBCCDDEEFF);
        Assert.Equal("C41000112233445566778899AABBCCDDEEFF", Hex((ref w) => w.Write(number)));
        Assert.Equal("C41000112233445566778899AABBCCDDEEFF", Hex((ref w) => w.Write(Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"))));
        var reader = new MessagePackReader(Bytes((ref w) => w.Write(number)));
        Assert.True(reader.TryRead(out UInt128 back));
        Assert.Equal(number, back);
        var shorter = new MessagePackReader(Bytes((ref w) => w.Write(new byte[15])));
        Assert.False(shorter.TryRead(out UInt128 _));
        Assert.Equal(DecodeResult.Malformed, shorter.Result);
    }

    [Fact]
    public void A_nil_is_consumed_only_when_it_is_there()
    {
        var reader = new MessagePackReader(Convert.FromHexString("C005"));
        Assert.True(reader.TryReadNil(out bool first));
        Assert.True(first);
        Assert.True(reader.TryReadNil(out bool second));
        Assert.False(second);
        Assert.True(reader.TryRead(out int value));
        Assert.Equal(5, value);
        Assert.False(reader.TryReadNil(out _));
        Assert.Equal(DecodeResult.NeedMoreData, reader.Result);
    }

    [Fact]
    public void Every_proper_prefix_of_every_value_needs_more_data()
    {
        WriteSome[] values =
        [
            (ref w) => w.Write(5), (ref w) => w.Write(200), (ref w) => w.Write(60_000), (ref w) => w.Write(70_000), (ref w) => w.Write(ulong.MaxValue),
            (ref w) => w.Write(-100), (ref w) => w.Write(-30_000), (ref w) => w.Write(-70_000), (ref w) => w.Write(long.MinValue), (ref w) => w.Write(2.5),
            (ref w) => w.Write("abc"), (ref w) => w.Write(new string('x', 40)), (ref w) => w.Write(new string('x', 300)), (ref w) => w.Write(new byte[5]),
            (ref w) => w.Write(new byte[300]), (ref w) => w.WriteExt(1, new byte[4]), (ref w) => w.WriteExt(1, new byte[5]),
            (ref w) => w.WriteExt(1, new byte[300]),
            (ref w) => Nested(ref w),
        ];
        foreach (var write in values)
        {
            byte[] whole = Bytes(write);
            for (int length = 0; length < whole.Length; length++)
            {
                var reader = new MessagePackReader(whole.AsSpan(0, length));
                Assert.False(reader.TrySkip());
                Assert.True(reader.Result == DecodeResult.NeedMoreData, $"{Convert.ToHexString(whole)} cut at {length}");
                Assert.Equal(0, reader.Consumed);
            }

            var complete = new MessagePackReader(whole);
            Assert.True(complete.TrySkip());
            Assert.True(complete.AtEnd);
        }
    }

    [Fact]
    public void A_length_beyond_the_limit_of_the_caller_is_malformed_at_once()
    {
        var reader = new MessagePackReader(Convert.FromHexString("C6FFFFFFFF00"));
        Assert.False(reader.TryReadBin(1 << 20, out _));
        Assert.Equal(DecodeResult.Malformed, reader.Result);
        var text = new MessagePackReader(Convert.FromHexString("DB7FFFFFFF00"));
        Assert.False(text.TryReadString(100, out _));
        Assert.Equal(DecodeResult.Malformed, text.Result);
    }

    [Fact]
    public void A_count_above_the_bytes_that_remain_is_not_believed()
    {
        var array = new MessagePackReader(Convert.FromHexString("DD0000100000"));
        Assert.False(array.TryReadArrayHeader(out int count));
        Assert.Equal(0, count);
        Assert.Equal(DecodeResult.NeedMoreData, array.Result);
        var map = new MessagePackReader(Convert.FromHexString("82010203"));
        Assert.False(map.TryReadMapHeader(out _));
        Assert.Equal(DecodeResult.NeedMoreData, map.Result);
    }

    [Fact]
    public void Text_that_is_not_UTF8_is_malformed_and_not_repaired()
    {
        var reader = new MessagePackReader(Convert.FromHexString("A2C328"));
        Assert.False(reader.TryReadString(10, out _));
        Assert.Equal(DecodeResult.Malformed, reader.Result);
        Assert.Equal(0, reader.Consumed);
    }

    [Fact]
    public void Deep_nesting_is_skipped_without_recursion()
    {
        var bytes = new byte[1_000_000];
        bytes.AsSpan().Fill(0x91);
        bytes[^1] = 0xC0;
        var reader = new MessagePackReader(bytes);
        Assert.True(reader.TrySkip());
        Assert.True(reader.AtEnd);
    }

    [Fact]
    public void Random_bytes_never_throw_and_never_move_a_failed_read()
    {
        const int Seed = 77_001;
        var random = new Random(Seed);
        var bytes = new byte[24];
        for (int i = 0; i < 200_000; i++)
        {
            random.NextBytes(bytes);
            var input = bytes.AsSpan(0, random.Next(0, bytes.Length + 1));
            for (int call = 0; call < Calls; call++)
            {
                var reader = new MessagePackReader(input);
                bool ok = Call(ref reader, call);
                Assert.True(
                    ok ? reader.Consumed <= input.Length : reader.Consumed == 0 && reader.Result != DecodeResult.Ok,
                    $"seed {Seed}, case {i}, call {call}: {Convert.ToHexString(input)}");
            }
        }
    }

    [Fact]
    public void Random_numbers_survive_the_round_trip()
    {
        const int Seed = 77_002;
        var random = new Random(Seed);
        for (int i = 0; i < 20_000; i++)
        {
            ulong bits = (ulong)random.NextInt64(long.MinValue, long.MaxValue) >> random.Next(0, 64);
            byte[] bytes = Bytes((ref w) =>
            {
                w.Write(bits);
                w.Write((long)bits);
                w.Write(-(long)(bits >> 1));
            });
            var reader = new MessagePackReader(bytes);
            Assert.True(reader.TryRead(out ulong a) && reader.TryRead(out long b) && reader.TryRead(out long c) && reader.AtEnd
                && a == bits && b == (long)bits && c == -(long)(bits >> 1), $"seed {Seed}, case {i}: {bits}");
        }
    }

    private const int Calls = 16;

    private static bool Call(ref MessagePackReader reader, int which) => which switch
    {
        0 => reader.TryReadNil(out _),
        1 => reader.TryRead(out bool _),
        2 => reader.TryRead(out ulong _),
        3 => reader.TryRead(out long _),
        4 => reader.TryRead(out uint _),
        5 => reader.TryRead(out int _),
        6 => reader.TryRead(out byte _),
        7 => reader.TryRead(out double _),
        8 => reader.TryReadBin(1 << 20, out _),
        9 => reader.TryReadUtf8(1 << 20, out _),
        10 => reader.TryReadString(1 << 20, out _),
        11 => reader.TryRead(out UInt128 _),
        12 => reader.TryReadArrayHeader(out _),
        13 => reader.TryReadMapHeader(out _),
        14 => reader.TryReadExt(1 << 20, out _, out _),
        _ => reader.TrySkip(),
    };

    private static void Nested(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(3);
        writer.Write(1);
        writer.WriteMapHeader(2);
        writer.Write("k");
        writer.WriteArrayHeader(0);
        writer.Write(7);
        writer.WriteNil();
        writer.Write(Encoding.UTF8.GetBytes("tail"));
    }

    private static string Hex(WriteSome write) => Convert.ToHexString(Bytes(write));

    private static byte[] Bytes(WriteSome write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(buffer);
        write(ref writer);
        writer.Flush();
        return buffer.WrittenSpan.ToArray();
    }
}
