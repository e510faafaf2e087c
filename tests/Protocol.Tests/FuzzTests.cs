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

    // An item of a batch in the form of level 1 is the worst: some 240 bytes out of 18; a character of a text is two bytes out of one.
    private const int AllocatedPerByte = 16;
    private const int AllocatedAtMostMore = 4096;

    internal delegate DecodeResult Decoder(byte[] input);

    [Fact]
    public void Requests() =>
        Fuzz(1, random => CodecTests.Encode(Samples.RandomRequest(random)), input => KvRequestCodec.TryDecode(input, out _));

    [Fact]
    public void Requests_of_level_1() => Fuzz(
        11, random => CodecTests.EncodeFlat(Samples.RandomFlatRequest(random)), input => KvRequestCodec.TryDecode(input, out _));

    [Fact]
    public void Replies() =>
        Fuzz(2, random => CodecTests.Encode(Samples.RandomReply(random)), input => KvReplyCodec.TryDecode(input, Samples.FullBatch, out _));

    [Fact]
    public void Replies_of_level_1()
    {
        var batch = Samples.FullBatch;
        Fuzz(
            12,
            random => CodecTests.EncodeFlat(Samples.RandomFlatReply(random, batch)),
            input => KvReplyCodec.TryDecode(input, batch, out _));
        var get = Samples.FullGet;
        Fuzz(
            13,
            random => CodecTests.EncodeFlat(Samples.RandomFlatReply(random, get)),
            input => KvReplyCodec.TryDecode(input, get, out _));
    }

    [Fact]
    public void Operations()
    {
        foreach (var row in OperationTable.All)
        {
            Fuzz(
                100 + row.Code,
                random => RandomOf(row, random).Body.ToArray(),
                input => OperationTable.TryRead(row.Code, input) is null ? DecodeResult.Malformed : DecodeResult.Ok,
                input =>
                {
                    // What is read is what our own writer would have written: one operation has one form and one digest.
                    var read = OperationTable.TryRead(row.Code, input);
                    return read is null || OperationTests.Rebuilt(read).Body.Span.SequenceEqual(input);
                });
        }
    }

    [Fact]
    public void An_operation_without_random_samples_is_named()
    {
        var forgotten = OperationTable.All[0] with { Code = 200, Name = "forgotten" };
        var e = Assert.ThrowsAny<Xunit.Sdk.XunitException>(() => RandomOf(forgotten, new Random(1)));
        Assert.Contains("add a sample of operation 200, forgotten", e.Message, StringComparison.Ordinal);
    }

    private static Operation RandomOf(OperationRow row, Random random)
    {
        for (int i = 0; i < 10_000; i++)
        {
            if (Samples.RandomOperation(random) is var operation && operation.Code == row.Code)
            {
                return operation;
            }
        }

        Assert.Fail($"add a sample of operation {row.Code}, {row.Name}, to Samples.RandomOperation: it makes none");
        return null!;
    }

    [Fact]
    public void Hellos_of_peers() => Fuzz(3, _ => PeerHello(), input => HelloCodec.TryDecode(input, out PeerHello? _));

    [Fact]
    public void Hellos_of_clients() => Fuzz(
        4,
        _ => ClientHello(),
        input => HelloCodec.TryDecode(input, out ClientHello? _));

    [Fact]
    public void Acknowledgements() => Fuzz(
        5,
        _ => HelloAck(),
        input => HelloCodec.TryDecode(input, out HelloAck? _));

    [Fact]
    public void Refusals() => Fuzz(
        6,
        _ => HelloRefused(),
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
    public void A_number_of_items_that_is_a_lie_sizes_nothing()
    {
        // As many bytes follow as items are claimed, and not one of them begins an item.
        byte[] claim = [MessagePackCode.Array16, Limits.MaxBatchItems >> 8, Limits.MaxBatchItems & 0xFF, .. new byte[Limits.MaxBatchItems]];
        byte[] flat = CodecTests.EncodeFlat(new KvRequest { Operation = Samples.FullBatch });
        var items = new MessagePackReader(flat);
        Assert.True(items.TryReadArrayHeader(out _) && items.TrySkip(13));
        AssertBounded([.. flat.AsSpan(0, items.Consumed), .. claim], input => KvRequestCodec.TryDecode(input, out _));

        byte[] flatReply = CodecTests.EncodeFlat(new KvReply());
        items = new MessagePackReader(flatReply);
        Assert.True(items.TryReadArrayHeader(out _) && items.TrySkip(12));
        var batch = Samples.FullBatch;
        AssertBounded([.. flatReply.AsSpan(0, items.Consumed), .. claim], input => KvReplyCodec.TryDecode(input, batch, out _));

        byte[] reply = CodecTests.Encode(new KvReply { Result = new BatchResult(1, []) });
        int at = reply.AsSpan().IndexOf((byte[])[0x05, 0x01, 0x90]) + 2;
        AssertBounded([.. reply.AsSpan(0, at), .. claim, .. reply.AsSpan(at + 1)], input => KvReplyCodec.TryDecode(input, batch, out _));
        AssertBounded(
            claim, input => OperationTable.TryRead(Batch.OperationCode, input) is null ? DecodeResult.Malformed : DecodeResult.Ok);
    }

    [Fact]
    public void The_smallest_items_cost_no_more_than_their_bytes_justify()
    {
        var batch = new Batch([.. Enumerable.Repeat(new Put([], []), Limits.MaxBatchItems)]);
        var request = new KvRequest { Operation = batch };
        AssertBounded(CodecTests.EncodeFlat(request), input => KvRequestCodec.TryDecode(input, out _), DecodeResult.Ok);
        AssertBounded(CodecTests.Encode(request), input => KvRequestCodec.TryDecode(input, out _), DecodeResult.Ok);
        var item = new ItemResult(ErrorCode.None, Outcome.Applied, null, new Written(1, Created: true));
        var reply = new KvReply { Result = new BatchResult(1, [.. Enumerable.Repeat(item, Limits.MaxBatchItems)]) };
        AssertBounded(CodecTests.EncodeFlat(reply), input => KvReplyCodec.TryDecode(input, batch, out _), DecodeResult.Ok);
        AssertBounded(CodecTests.Encode(reply), input => KvReplyCodec.TryDecode(input, batch, out _), DecodeResult.Ok);
    }

    [Fact]
    public void Credits() => Fuzz(
        11,
        random => Encoded(buffer => StreamCodec.EncodeCredit(buffer, 1 + random.NextInt64(Limits.MaxStreamCreditBytes))),
        input =>
        {
            var result = StreamCodec.TryDecodeCredit(input, out long bytes);
            bool wrong = result == DecodeResult.Ok && bytes is (< 1 or > Limits.MaxStreamCreditBytes);
            return wrong ? throw new InvalidOperationException($"a credit of {bytes} passed") : result;
        });

    [Fact]
    public void Goodbyes() => Fuzz(
        12,
        random => Encoded(buffer => StreamCodec.Encode(buffer, new GoAway((GoAwayReason)random.Next(256), random.Next()))),
        input =>
        {
            var result = StreamCodec.TryDecode(input, out GoAway? goAway);
            return result == DecodeResult.Ok && goAway!.DrainMs < 0 ? throw new InvalidOperationException("a time below zero passed") : result;
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

    internal static void Fuzz(int seed, Func<Random, byte[]> valid, Decoder decode, Func<byte[], bool>? holds = null)
    {
        decode(valid(new Random(seed)));
        int i = 0;
        foreach (byte[] input in Damaged(seed, valid, Cases))
        {
            string? wrong = null;
            try
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                decode(input);
                long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
                wrong = allocated > (AllocatedPerByte * (long)input.Length) + AllocatedAtMostMore ? $"{allocated} bytes allocated"
                    : holds is not null && !holds(input) ? "read as something else"
                    : null;
            }
            catch (Exception e)
            {
                wrong = $"{e.GetType().Name}: {e.Message}";
            }

            Assert.True(wrong is null, wrong is null ? null : $"{wrong}, seed {seed}, case {i}: {Convert.ToHexString(input)}");
            i++;
        }
    }

    internal static IEnumerable<byte[]> Damaged(int seed, Func<Random, byte[]> valid, int cases)
    {
        var random = new Random(seed);
        byte[][] corpus = [.. Enumerable.Range(0, 64).Select(_ => valid(random))];
        int[][] boundaries = [.. corpus.Select(Boundaries)];
        for (int i = 0; i < cases; i++)
        {
            int which = random.Next(corpus.Length);
            yield return Damage(random, corpus[which], boundaries[which]);
        }
    }

    private static void AssertBounded(byte[] input, Decoder decode, DecodeResult expected = DecodeResult.Malformed)
    {
        // The first time pays for what is allocated once.
        decode(input);
        long before = GC.GetAllocatedBytesForCurrentThread();
        DecodeResult result = decode(input);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.Equal(expected, result);
        Assert.InRange(allocated, 0, (AllocatedPerByte * (long)input.Length) + AllocatedAtMostMore);
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

    /// <summary>Where the fields of an array and of the arrays in it begin; for bytes that are no array, the beginning.</summary>
    private static int[] Boundaries(byte[] valid)
    {
        var reader = new MessagePackReader(valid);
        var found = new List<int> { 0 };
        if (reader.TryReadArrayHeader(out int fields))
        {
            Collect(ref reader, fields);
        }

        return [.. found];

        void Collect(ref MessagePackReader reader, int fields)
        {
            for (int i = 0; i < fields; i++)
            {
                found.Add(reader.Consumed);
                if (reader.TryReadArrayHeader(out int inner))
                {
                    Collect(ref reader, inner);
                }
                else
                {
                    reader.TrySkip();
                }
            }
        }
    }

    internal static byte[] PeerHello() => Encoded(buffer => HelloCodec.Encode(buffer, new PeerHello
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

    internal static byte[] ClientHello() =>
        Encoded(buffer => HelloCodec.Encode(buffer, new ClientHello { ClusterId = "local", ClientName = "client", Features = (FeatureBits)3 }));

    internal static byte[] HelloAck() => Encoded(buffer => HelloCodec.Encode(buffer, new HelloAck
    {
        Protocol = 1,
        ClusterId = "local",
        NodeName = "n1",
        NodeId = new NodeId(1),
        Uuid = Guid.AllBitsSet,
        Incarnation = 70_000,
        LayoutHash = new byte[32],
    }));

    internal static byte[] HelloRefused() =>
        Encoded(buffer => HelloCodec.Encode(buffer, new HelloRefused(HelloRefusal.WrongNode, "here is n2 and not n3")));

    internal static byte[] Encoded(Action<ArrayBufferWriter<byte>> encode)
    {
        var buffer = new ArrayBufferWriter<byte>();
        encode(buffer);
        return buffer.WrittenSpan.ToArray();
    }
}
