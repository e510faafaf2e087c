using System.Buffers;
using System.Text;

namespace KvStore.Protocol.Tests;

public sealed class FrameTests
{
    private const int MaxPayload = 1 << 20;

    [Fact]
    public void The_checksum_is_CRC32C() => Assert.Equal(0xE3069283u, FrameChecksum.Of("123456789"u8));

    [Fact]
    public void The_bytes_of_a_frame_are_pinned()
    {
        byte[] bytes = FrameOf(FrameKind.Request, FrameFlags.None, 0x0102030405060708, "123456789"u8);
        Assert.Equal(
            "4B56" + "01" + "04" + "0000" + "9693" + "00000009" + "E3069283" + "0102030405060708" + "313233343536373839",
            Convert.ToHexString(bytes));
    }

    [Fact]
    public void A_frame_comes_back_as_it_was_written()
    {
        var writer = new FrameWriter();
        writer.Write(FrameKind.Hello, FrameFlags.None, 0, "one"u8);
        writer.Write(FrameKind.PeerBatch, FrameFlags.AppendLane, 7, new byte[100_000]);
        writer.Write(FrameKind.Ping, FrameFlags.None, ulong.MaxValue, []);
        var buffer = new ReadOnlySequence<byte>(writer.Written);
        Assert.Equal(DecodeResult.Ok, FrameReader.TryRead(ref buffer, MaxPayload, out var first, out _));
        Assert.Equal((FrameKind.Hello, "one"), (first.Kind, Encoding.UTF8.GetString(first.Payload)));
        Assert.Equal(DecodeResult.Ok, FrameReader.TryRead(ref buffer, MaxPayload, out var second, out _));
        Assert.Equal(
            (FrameKind.PeerBatch, FrameFlags.AppendLane, 7ul, 100_000L),
            (second.Kind, second.Header.Flags, second.Sequence, second.Payload.Length));
        Assert.Equal(DecodeResult.Ok, FrameReader.TryRead(ref buffer, MaxPayload, out var third, out _));
        Assert.Equal((FrameKind.Ping, ulong.MaxValue, 0L), (third.Kind, third.Sequence, third.Payload.Length));
        Assert.True(buffer.IsEmpty);
        Assert.Equal(DecodeResult.NeedMoreData, FrameReader.TryRead(ref buffer, MaxPayload, out _, out _));
    }

    [Fact]
    public void Every_proper_prefix_needs_more_data_and_is_left_alone()
    {
        byte[] bytes = FrameOf(FrameKind.Request, FrameFlags.None, 9, "a payload"u8);
        for (int length = 0; length < bytes.Length; length++)
        {
            var buffer = new ReadOnlySequence<byte>(bytes, 0, length);
            Assert.Equal(DecodeResult.NeedMoreData, FrameReader.TryRead(ref buffer, MaxPayload, out _, out var error));
            Assert.Equal(FrameError.None, error);
            Assert.Equal(length, buffer.Length);
        }
    }

    [Fact]
    public void A_frame_may_be_cut_into_segments_anywhere()
    {
        byte[] bytes = FrameOf(FrameKind.Reply, FrameFlags.None, 11, "some payload of a reply"u8);
        byte[] scratch = [];
        for (int first = 0; first <= bytes.Length; first++)
        {
            for (int second = first; second <= bytes.Length; second += 3)
            {
                var buffer = Segments.Of(bytes.AsMemory(0, first), bytes.AsMemory(first, second - first), bytes.AsMemory(second));
                Assert.Equal(DecodeResult.Ok, FrameReader.TryRead(ref buffer, MaxPayload, out var frame, out _));
                Assert.Equal("some payload of a reply", Encoding.UTF8.GetString(frame.PayloadSpan(ref scratch)));
                Assert.True(buffer.IsEmpty);
            }
        }
    }

    [Fact]
    public void Every_flipped_bit_is_noticed()
    {
        byte[] bytes = FrameOf(FrameKind.Request, FrameFlags.None, 3, "twelve bytes"u8);
        for (int bit = 0; bit < bytes.Length * 8; bit++)
        {
            byte[] damaged = [.. bytes];
            damaged[bit / 8] ^= (byte)(1 << (bit % 8));
            var buffer = new ReadOnlySequence<byte>(damaged);
            Assert.True(FrameReader.TryRead(ref buffer, MaxPayload, out _, out var error) == DecodeResult.Malformed, $"bit {bit}");
            var expected = (bit / 8) switch
            {
                0 or 1 => FrameError.BadMagic,
                2 => FrameError.UnsupportedVersion,
                < FrameHeader.SizeBytes => FrameError.HeaderChecksum,
                _ => FrameError.PayloadChecksum,
            };
            Assert.Equal(expected, error);
        }
    }

    [Fact]
    public void A_length_above_the_limit_is_refused_when_only_the_header_is_there()
    {
        byte[] bytes = FrameOf(FrameKind.Request, FrameFlags.None, 3, new byte[1001]);
        var buffer = new ReadOnlySequence<byte>(bytes, 0, FrameHeader.SizeBytes);
        Assert.Equal(DecodeResult.Malformed, FrameReader.TryRead(ref buffer, 1000, out _, out var error));
        Assert.Equal(FrameError.TooLarge, error);
        Assert.Equal(DecodeResult.NeedMoreData, FrameReader.TryRead(ref buffer, 1001, out _, out _));
    }

    [Fact]
    public void An_unknown_kind_is_a_protocol_error()
    {
        foreach (byte kind in new byte[] { 0, 15, 255 })
        {
            var buffer = new ReadOnlySequence<byte>(FrameOf((FrameKind)kind, FrameFlags.None, 0, []));
            Assert.Equal(DecodeResult.Malformed, FrameReader.TryRead(ref buffer, MaxPayload, out _, out var error));
            Assert.Equal(FrameError.UnknownKind, error);
        }
    }

    [Theory]
    [InlineData("G")]
    [InlineData("GET / HTTP/1.1")]
    [InlineData("Kx")]
    public void Another_protocol_is_refused_from_its_first_bytes(string text)
    {
        var buffer = new ReadOnlySequence<byte>(Encoding.ASCII.GetBytes(text));
        Assert.Equal(DecodeResult.Malformed, FrameReader.TryRead(ref buffer, MaxPayload, out _, out var error));
        Assert.Equal(FrameError.BadMagic, error);
    }

    [Fact]
    public void A_frame_above_the_writers_limit_leaves_nothing_behind()
    {
        var writer = new FrameWriter();
        writer.Write(FrameKind.Ping, FrameFlags.None, 1, []);
        int before = writer.WrittenBytes;
        writer.Begin(FrameKind.Request, FrameFlags.None, 2);
        writer.Write(new byte[101]);
        Assert.False(writer.TryEnd(100));
        Assert.Equal(before, writer.WrittenBytes);
        writer.Begin(FrameKind.Request, FrameFlags.None, 3);
        writer.Write(new byte[100]);
        Assert.True(writer.TryEnd(100));
        var buffer = new ReadOnlySequence<byte>(writer.Written);
        Assert.Equal(DecodeResult.Ok, FrameReader.TryRead(ref buffer, 100, out _, out _));
        Assert.Equal(DecodeResult.Ok, FrameReader.TryRead(ref buffer, 100, out var frame, out _));
        Assert.Equal(3ul, frame.Sequence);
        Assert.True(buffer.IsEmpty);
    }

    [Fact]
    public void Random_bytes_never_throw()
    {
        const int Seed = 88_001;
        var random = new Random(Seed);
        for (int i = 0; i < 100_000; i++)
        {
            var bytes = new byte[random.Next(0, 64)];
            random.NextBytes(bytes);
            var buffer = new ReadOnlySequence<byte>(bytes);
            var result = FrameReader.TryRead(ref buffer, MaxPayload, out _, out var error);
            Assert.True((result == DecodeResult.Malformed) == (error != FrameError.None), $"seed {Seed}, case {i}");
        }
    }

    internal static byte[] FrameOf(FrameKind kind, FrameFlags flags, ulong sequence, ReadOnlySpan<byte> payload)
    {
        var writer = new FrameWriter();
        writer.Write(kind, flags, sequence, payload);
        return writer.Written.ToArray();
    }
}
