using System.Buffers;
using System.Text;

namespace KvStore.Protocol.Tests;

public sealed class CodecTests
{
    [Fact]
    public void The_bytes_of_a_get_are_pinned()
    {
        var request = new KvRequest { Operation = KvOperation.Get, Key = "foo"u8.ToArray() };
        Assert.Equal(
            "9F" + "01" + "C403666F6F" + "C400" + "C0" + "00" + "00" + "01" + "00" + "00" + "C0" + "CD1388" + "01" + "00" + "90" + "C0",
            Convert.ToHexString(Encode(request)));
    }

    [Fact]
    public void The_bytes_of_the_terms_of_a_read_are_pinned()
    {
        var request = new KvRequest
        {
            Operation = KvOperation.Get,
            Key = "foo"u8.ToArray(),
            Level = ReadLevel.Bounded,
            MaxStalenessMs = 500,
            MaxLag = 7,
            Session = new SessionPoint(9, 10),
            OnUnmet = OnUnmet.Fail,
        };
        Assert.Equal(
            "9F" + "01" + "C403666F6F" + "C400" + "C0" + "00" + "00" + "01" + "00" + "01" + "C0" + "CD1388" + "01" + "00" + "90"
            + "97" + "CD01F4" + "07" + "09" + "0A" + "01" + "00" + "C2",
            Convert.ToHexString(Encode(request)));
    }

    [Fact]
    public void The_bytes_of_a_put_with_an_id_are_pinned()
    {
        var request = Samples.Put("k", "v") with
        {
            ContentType = "a/b",
            Condition = new KvCondition(ConditionKind.Absent),
            Id = new RequestId(new UInt128(0, 1), 2, 3, 4, 5),
            Epoch = 6,
        };
        Assert.Equal(
            "9F" + "02" + "C4016B" + "C40176" + "A3612F62" + "03" + "00" + "01" + "00" + "00"
            + "95" + "C41000000000000000000000000000000001" + "02030405" + "CD1388" + "01" + "06" + "90" + "C0",
            Convert.ToHexString(Encode(request)));
    }

    [Fact]
    public void The_bytes_of_a_reply_are_pinned()
    {
        var reply = new KvReply
        {
            Revision = 256,
            Value = "v"u8.ToArray(),
            Evidence = new Evidence(ReadLevel.Strong, 0, new GroupId(17), 9, 1000, new NodeId(2), ServedRole.Follower, ServedPath.Waited),
            Epoch = 1,
        };
        Assert.Equal(
            "9F" + "00" + "00" + "CD0100" + "C2" + "C40176" + "C0" + "00" + "98" + "00" + "00" + "11" + "09" + "CD03E8" + "02" + "02" + "01"
            + "00" + "C0" + "00" + "01" + "90" + "00" + "C0",
            Convert.ToHexString(Encode(reply)));
    }

    [Fact]
    public void A_request_with_every_field_survives()
    {
        Assert.Equal(DecodeResult.Ok, KvRequestCodec.TryDecode(Encode(Samples.FullRequest), out var request));
        Samples.AssertSame(Samples.FullRequest, request!, "full request");
    }

    [Fact]
    public void A_reply_with_every_field_survives()
    {
        Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(Encode(Samples.FullReply), out var reply));
        Samples.AssertSame(Samples.FullReply, reply!, "full reply");
    }

    [Fact]
    public void Random_requests_and_replies_survive()
    {
        const int Seed = 99_001;
        var random = new Random(Seed);
        for (int i = 0; i < 5_000; i++)
        {
            string because = $"seed {Seed}, case {i}";
            var request = Samples.RandomRequest(random);
            Assert.True(KvRequestCodec.TryDecode(Encode(request), out var decodedRequest) == DecodeResult.Ok, because);
            Samples.AssertSame(request, decodedRequest!, because);
            var reply = Samples.RandomReply(random);
            Assert.True(KvReplyCodec.TryDecode(Encode(reply), out var decodedReply) == DecodeResult.Ok, because);
            Samples.AssertSame(reply, decodedReply!, because);
        }
    }

    [Fact]
    public void Every_proper_prefix_of_a_body_needs_more_data()
    {
        byte[] request = Encode(Samples.FullRequest);
        for (int length = 0; length < request.Length; length++)
        {
            Assert.Equal(DecodeResult.NeedMoreData, KvRequestCodec.TryDecode(request.AsSpan(0, length), out _));
        }

        byte[] reply = Encode(Samples.FullReply);
        for (int length = 0; length < reply.Length; length++)
        {
            Assert.Equal(DecodeResult.NeedMoreData, KvReplyCodec.TryDecode(reply.AsSpan(0, length), out _));
        }
    }

    [Fact]
    public void The_largest_evidence_takes_at_most_40_bytes()
    {
        var buffer = new ArrayBufferWriter<byte>();
        KvReplyCodec.Encode(buffer, Samples.LargestEvidence);
        Assert.InRange(buffer.WrittenCount, 1, 40);
    }

    [Fact]
    public void Fields_that_a_newer_peer_adds_at_the_end_are_passed_over()
    {
        byte[] request = WithTwoMoreFields(Encode(Samples.Put("k", "v")), 15);
        Assert.Equal(DecodeResult.Ok, KvRequestCodec.TryDecode(request, out var decodedRequest));
        Samples.AssertSame(Samples.Put("k", "v"), decodedRequest!, "longer request");
        byte[] reply = WithTwoMoreFields(Encode(new KvReply { Revision = 5 }), 15);
        Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(reply, out var decodedReply));
        Samples.AssertSame(new KvReply { Revision = 5 }, decodedReply!, "longer reply");
    }

    [Fact]
    public void Too_few_fields_and_unknown_enum_values_are_malformed()
    {
        byte[] get = Encode(new KvRequest { Operation = KvOperation.Get, Key = "foo"u8.ToArray() });
        Assert.Equal(DecodeResult.Malformed, KvRequestCodec.TryDecode([0x9E, .. get.AsSpan(1)], out _));
        Assert.Equal(DecodeResult.Malformed, KvRequestCodec.TryDecode([0x9F, 0x00, .. get.AsSpan(2)], out _));
        Assert.Equal(DecodeResult.Malformed, KvRequestCodec.TryDecode([0x9F, 0x06, .. get.AsSpan(2)], out _));
    }

    [Fact]
    public void Items_of_items_and_too_many_items_are_malformed()
    {
        var nested = Samples.FullRequest with { Items = [Samples.FullRequest] };
        Assert.Equal(DecodeResult.Malformed, KvRequestCodec.TryDecode(Encode(nested), out _));
        var most = Samples.FullRequest with { Items = [.. Enumerable.Repeat(Samples.Put("k", "v"), Limits.MaxBatchItems)] };
        Assert.Equal(DecodeResult.Ok, KvRequestCodec.TryDecode(Encode(most), out _));
        var tooMany = most with { Items = [.. most.Items, Samples.Put("k", "v")] };
        Assert.Equal(DecodeResult.Malformed, KvRequestCodec.TryDecode(Encode(tooMany), out _));
    }

    [Fact]
    public void A_long_detail_is_shortened_so_that_every_reader_takes_it()
    {
        var reply = new KvReply { Code = ErrorCode.Internal, Detail = new string('あ', 10_000) };
        Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(Encode(reply), out var decoded));
        Assert.InRange(Encoding.UTF8.GetByteCount(decoded!.Detail!), 1000, Limits.MaxTextBytes);
    }

    [Fact]
    public void Hellos_survive_and_are_told_apart()
    {
        var peer = new PeerHello
        {
            ProtocolMin = 1,
            ProtocolMax = 3,
            ClusterId = "local",
            NodeName = "n1",
            NodeId = new NodeId(1),
            Uuid = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"),
            Incarnation = 9,
            Process = 0xFEDC_BA98_7654_3210,
            LayoutHash = new byte[32],
            ExpectedPeer = "n2",
            Features = (FeatureBits)5,
            Level = 3,
        };
        var buffer = new ArrayBufferWriter<byte>();
        HelloCodec.Encode(buffer, peer);
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(buffer.WrittenSpan, out PeerHello? peerBack));
        Assert.Equal(
            peer with { LayoutHash = default, Credentials = default }, peerBack! with { LayoutHash = default, Credentials = default });
        Assert.True(peer.LayoutHash.Span.SequenceEqual(peerBack.LayoutHash.Span));
        Assert.Equal(DecodeResult.Malformed, HelloCodec.TryDecode(buffer.WrittenSpan, out ClientHello? _));
        for (int length = 0; length < buffer.WrittenCount; length++)
        {
            Assert.Equal(DecodeResult.NeedMoreData, HelloCodec.TryDecode(buffer.WrittenSpan[..length], out PeerHello? _));
        }

        var client = new ClientHello { ClusterId = "c", ClientName = "test", Features = FeatureBits.Streams, Level = 7 };
        buffer.ResetWrittenCount();
        HelloCodec.Encode(buffer, client);
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(buffer.WrittenSpan, out ClientHello? clientBack));
        Assert.Equal(client with { Credentials = default }, clientBack! with { Credentials = default });
        Assert.Equal(DecodeResult.Malformed, HelloCodec.TryDecode(buffer.WrittenSpan, out PeerHello? _));
    }

    // As builds of the first level write them.
    [Fact]
    public void Hellos_without_a_level_are_of_the_first()
    {
        byte[] peer = Convert.FromHexString(
            "9D010101A474657374A26E3202C41000112233445566778899AABBCCDDEEFF0901C4020102A26E3100C400");
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(peer, out PeerHello? peerHello));
        Assert.Equal(("n2", FeatureLevel.First), (peerHello!.NodeName, peerHello.Level));

        byte[] client = Convert.FromHexString("97020101A474657374A163" + "00C400");
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(client, out ClientHello? clientHello));
        Assert.Equal(("c", FeatureLevel.First), (clientHello!.ClientName, clientHello.Level));

        byte[] ack = Convert.FromHexString("9901A474657374A26E3202C41000112233445566778899AABBCCDDEEFF09C40201020003");
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(ack, out HelloAck? acknowledged));
        Assert.Equal((3ul, FeatureLevel.First), (acknowledged!.Epoch, acknowledged.Level));

        // And what such a build passes over: one field behind those it knows.
        var buffer = new ArrayBufferWriter<byte>();
        HelloCodec.Encode(buffer, peerHello with { Level = 2 });
        Assert.Equal([0x9E, .. peer[1..], 0x02], buffer.WrittenSpan.ToArray());
        buffer.ResetWrittenCount();
        HelloCodec.Encode(buffer, acknowledged with { Level = 2 });
        Assert.Equal([0x9A, .. ack[1..], 0x02], buffer.WrittenSpan.ToArray());
    }

    [Fact]
    public void Answers_to_a_hello_survive()
    {
        var ack = new HelloAck
        {
            Protocol = 1,
            ClusterId = "local",
            NodeName = "n2",
            NodeId = new NodeId(2),
            Uuid = Guid.Parse("ffffffff-4455-6677-8899-aabbccddeeff"),
            Incarnation = 3,
            LayoutHash = new byte[] { 1, 2 },
            Features = (FeatureBits)4,
            Level = 2,
            Epoch = 5,
        };
        var buffer = new ArrayBufferWriter<byte>();
        HelloCodec.Encode(buffer, ack);
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(buffer.WrittenSpan, out HelloAck? ackBack));
        Assert.Equal(ack with { LayoutHash = default }, ackBack! with { LayoutHash = default });
        var refused = new HelloRefused(HelloRefusal.UuidChanged, "n2 has lost its data directory; remove and rejoin it");
        buffer.ResetWrittenCount();
        HelloCodec.Encode(buffer, refused);
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(buffer.WrittenSpan, out HelloRefused? refusedBack));
        Assert.Equal(refused, refusedBack);
    }

    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(1, 9, 1)]
    [InlineData(2, 9, 0)]
    [InlineData(0, 0, 0)]
    public void The_highest_common_version_is_chosen(int min, int max, int chosen) =>
        Assert.Equal(chosen, ProtocolVersion.Choose(min, max));

    internal static byte[] Encode(KvRequest request)
    {
        var buffer = new ArrayBufferWriter<byte>();
        KvRequestCodec.Encode(buffer, request);
        return buffer.WrittenSpan.ToArray();
    }

    internal static byte[] Encode(KvReply reply)
    {
        var buffer = new ArrayBufferWriter<byte>();
        KvReplyCodec.Encode(buffer, reply);
        return buffer.WrittenSpan.ToArray();
    }

    private static byte[] WithTwoMoreFields(byte[] body, int fields)
    {
        var buffer = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(buffer);
        writer.WriteArrayHeader(fields + 2);
        writer.WriteRaw(body.AsSpan(1));
        writer.WriteMapHeader(1);
        writer.Write("new");
        writer.Write(1);
        writer.Write("field");
        return buffer.WrittenSpan.ToArray();
    }
}
