using System.Buffers;
using System.Buffers.Binary;

namespace KvStore.Protocol.Tests;

/// <summary>
/// Valid bytes, damaged where it hurts: bits flipped, headers replaced by ones that lie about lengths, pieces cut out, doubled and
/// moved. A decoder must answer, and must not allocate more than the input can justify, whatever the input says about itself.
/// </summary>
public sealed class FuzzTests
{
    private const int Cases = 100_000;

    // An item of a batch is the worst: an object of some 200 bytes out of 17; a character of a text is two bytes out of one.
    private const int AllocatedPerByte = 16;
    private const int AllocatedAtMostMore = 4096;

    internal delegate DecodeResult Decoder(byte[] input);

    [Fact]
    public void Requests() =>
        Fuzz(1, random => CodecTests.Encode(Samples.RandomRequest(random)), input => KvRequestCodec.TryDecode(input, out _));

    [Fact]
    public void Replies() =>
        Fuzz(2, random => CodecTests.Encode(Samples.RandomReply(random)), input => KvReplyCodec.TryDecode(input, out _));

    [Fact]
    public void Hellos_of_peers() => Fuzz(3, _ => PeerHello(), input => HelloCodec.TryDecode(input, out PeerHello? _));

    [Fact]
    public void Hellos_of_clients() => Fuzz(
        4,
        _ => Encoded(buffer => HelloCodec.Encode(buffer, new ClientHello { ClusterId = "local", ClientName = "client", Features = (FeatureBits)3 })),
        input => HelloCodec.TryDecode(input, out ClientHello? _));

    [Fact]
    public void Acknowledgements() => Fuzz(
        5,
        _ => Encoded(buffer => HelloCodec.Encode(buffer, new HelloAck
        {
            Protocol = 1,
            ClusterId = "local",
            NodeName = "n1",
            NodeId = new NodeId(1),
            Uuid = Guid.AllBitsSet,
            Incarnation = 70_000,
            LayoutHash = new byte[32],
        })),
        input => HelloCodec.TryDecode(input, out HelloAck? _));

    [Fact]
    public void Refusals() => Fuzz(
        6,
        _ => Encoded(buffer => HelloCodec.Encode(buffer, new HelloRefused(HelloRefusal.WrongNode, "here is n2 and not n3"))),
        input => HelloCodec.TryDecode(input, out HelloRefused? _));

    [Fact]
    public void Values_of_any_shape_are_skipped_or_refused() => Fuzz(
        7,
        random => CodecTests.Encode(Samples.RandomReply(random)),
        input =>
        {
            var reader = new MessagePackReader(input);
            return reader.TrySkip() ? DecodeResult.Ok : reader.Result;
        });

    [Fact]
    public void Frames_are_whole_or_refused() =>
        Fuzz(
            8,
            random => FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, 42, CodecTests.Encode(Samples.RandomRequest(random))),
            input =>
            {
                var buffer = new ReadOnlySequence<byte>(input);
                var result = FrameReader.TryRead(ref buffer, Limits.MaxRequestBytes, out var frame, out _);

                // The checksums let nothing through that was not written as a frame.
                bool damaged = result == DecodeResult.Ok && frame.Sequence != 42;
                return damaged ? throw new InvalidOperationException("a damaged frame passed") : result;
            });

    [Fact]
    public void The_damage_reaches_all_three_answers()
    {
        var seen = new HashSet<DecodeResult>();
        Fuzz(9, random => CodecTests.Encode(Samples.RandomRequest(random)), input =>
        {
            var result = KvRequestCodec.TryDecode(input, out _);
            seen.Add(result);
            return result;
        });
        Assert.Equal(3, seen.Count);
    }

    internal static void Fuzz(int seed, Func<Random, byte[]> valid, Decoder decode)
    {
        var random = new Random(seed);
        byte[][] corpus = [.. Enumerable.Range(0, 64).Select(_ => valid(random))];
        int[][] boundaries = [.. corpus.Select(Boundaries)];
        decode(corpus[0]);
        for (int i = 0; i < Cases; i++)
        {
            int which = random.Next(corpus.Length);
            byte[] input = Damage(random, corpus[which], boundaries[which]);
            string? wrong = null;
            try
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                decode(input);
                long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
                wrong = allocated > (AllocatedPerByte * (long)input.Length) + AllocatedAtMostMore ? $"{allocated} bytes allocated" : null;
            }
            catch (Exception e)
            {
                wrong = $"{e.GetType().Name}: {e.Message}";
            }

            Assert.True(wrong is null, wrong is null ? null : $"{wrong}, seed {seed}, case {i}: {Convert.ToHexString(input)}");
        }
    }

    private static byte[] Damage(Random random, byte[] valid, int[] boundaries)
    {
        List<byte> bytes = [.. valid];
        for (int rounds = random.Next(1, 4); rounds > 0 && bytes.Count > 0; rounds--)
        {
            int at = random.Next(2) == 0 ? boundaries[random.Next(boundaries.Length)] : random.Next(bytes.Count);
            at = Math.Min(at, bytes.Count - 1);
            switch (random.Next(7))
            {
                case 0:
                    bytes[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 2:
                    bytes.RemoveRange(at, random.Next(bytes.Count - at) + 1);
                    break;
                case 3:
                    bytes.RemoveRange(at, Math.Min(random.Next(1, 6), bytes.Count - at));
                    break;
                case 4:
                    bytes.InsertRange(at, bytes.GetRange(at, Math.Min(random.Next(1, 30), bytes.Count - at)));
                    break;
                default:
                    byte[] lie = Lie(random);
                    bytes.RemoveRange(at, Math.Min(lie.Length, bytes.Count - at));
                    bytes.InsertRange(at, lie);
                    break;
            }
        }

        return [.. bytes];
    }

    /// <summary>A header that promises more than follows.</summary>
    private static byte[] Lie(Random random)
    {
        byte[] headers =
        [
            MessagePackCode.Bin32, MessagePackCode.Str32, MessagePackCode.Array32, MessagePackCode.Map32, MessagePackCode.Ext32,
            MessagePackCode.Bin16, MessagePackCode.Str16, MessagePackCode.Array16, MessagePackCode.Map16,
            MessagePackCode.Bin8, MessagePackCode.Str8,
        ];
        byte header = headers[random.Next(headers.Length)];
        uint claim = random.Next(4) switch
        {
            0 => uint.MaxValue,
            1 => int.MaxValue,
            2 => (uint)random.Next(1 << 24),
            _ => (uint)random.Next(2000),
        };
        byte[] lie = new byte[5];
        lie[0] = header;
        BinaryPrimitives.WriteUInt32BigEndian(lie.AsSpan(1), claim);
        return lie;
    }

    /// <summary>Where the fields of an array begin; for bytes that are no array, the beginning.</summary>
    private static int[] Boundaries(byte[] valid)
    {
        var reader = new MessagePackReader(valid);
        var found = new List<int> { 0 };
        if (reader.TryReadArrayHeader(out int fields))
        {
            for (int i = 0; i < fields; i++)
            {
                found.Add(reader.Consumed);
                reader.TrySkip();
            }
        }

        return [.. found];
    }

    private static byte[] PeerHello() => Encoded(buffer => HelloCodec.Encode(buffer, new PeerHello
    {
        ClusterId = "local",
        NodeName = "n1",
        NodeId = new NodeId(1),
        Uuid = Guid.AllBitsSet,
        Incarnation = 70_000,
        Process = ulong.MaxValue,
        LayoutHash = new byte[32],
        ExpectedPeer = "n2",
    }));

    internal static byte[] Encoded(Action<ArrayBufferWriter<byte>> encode)
    {
        var buffer = new ArrayBufferWriter<byte>();
        encode(buffer);
        return buffer.WrittenSpan.ToArray();
    }
}
