using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace KvStore.Protocol.Tests;

public sealed class CodecTests
{
    private static readonly Operation Get = new Get("foo"u8);

    [Fact]
    public void The_bytes_of_a_get_are_pinned() =>
        Assert.Equal(
            "9B" + "92" + "01" + "C407" + "92C403666F6FC2" + "C0" + "CD1388" + "01" + "00" + "C0" + "00" + "C0" + "00" + "C0" + "C0",
            Convert.ToHexString(Encode(new KvRequest { Operation = Get })));

    [Fact]
    public void The_bytes_of_the_terms_of_a_read_are_pinned()
    {
        var request = new KvRequest
        {
            Operation = Get,
            Read = new ReadTerms { Level = ReadLevel.Bounded, MaxStalenessMs = 500, MaxLag = 7, OnUnmet = OnUnmet.Fail },
            Session = new SessionPoint(9, 10),
        };
        Assert.Equal(
            "9B" + "92" + "01" + "C407" + "92C403666F6FC2" + "C0" + "CD1388" + "01" + "00" + "94" + "01" + "CD01F4" + "07" + "01" + "00"
            + "92" + "09" + "0A" + "00" + "C0" + "C0",
            Convert.ToHexString(Encode(request)));
    }

    [Fact]
    public void The_bytes_of_a_put_with_an_id_are_pinned()
    {
        var request = new KvRequest
        {
            Operation = new Put("k"u8, "v"u8, "a/b", new KvCondition(ConditionKind.Absent)),
            Id = new RequestId(new UInt128(0, 1), 2, 3, 4, new RequestDigest(DigestAlgorithm.Body, 5)),
            Ack = WriteAck.All,
            Epoch = 6,
            Requires = Requirements.Principal,
        };
        Assert.Equal(
            "9B" + "92" + "02" + "C40D" + "94" + "C4016B" + "03" + "00" + "C405" + "03612F62" + "76"
            + "96" + "C41000000000000000000000000000000001" + "020304" + "02" + "05" + "CD1388" + "01" + "06" + "C0" + "01" + "C0" + "01"
            + "C0" + "C0",
            Convert.ToHexString(Encode(request)));
    }

    [Fact]
    public void The_bytes_of_a_reply_are_pinned()
    {
        var reply = new KvReply
        {
            Result = Samples.Found("v"u8, revision: 256),
            Evidence = new Evidence(ReadLevel.Strong, 0, new GroupId(17), 9, 1000, new NodeId(2), ServedRole.Follower, ServedPath.Waited),
            Epoch = 1,
        };
        Assert.Equal(
            "97" + "94" + "00" + "00" + "C0" + "93" + "01" + "CD0100" + "C4020076" + "98" + "00" + "00" + "11" + "09" + "CD03E8" + "02"
            + "02" + "01" + "00" + "00" + "01" + "00" + "C0",
            Convert.ToHexString(Encode(reply)));
    }

    [Fact]
    public void The_bytes_of_every_result_are_pinned()
    {
        Assert.Equal("93" + "01" + "05" + "C405" + "03612F62" + "76", Convert.ToHexString(Encode(Samples.Found("v"u8, "a/b", 5))));
        Assert.Equal("93" + "02" + "05" + "C3", Convert.ToHexString(Encode(new Written(5, Created: true))));
        Assert.Equal("93" + "03" + "05" + "C2", Convert.ToHexString(Encode(new Deleted(5, Existed: false))));
        Assert.Equal("93" + "04" + "05" + "D0D6", Convert.ToHexString(Encode(new Counted(5, -42))));
        var batch = new BatchResult(
            5,
            [
                new ItemResult(ErrorCode.None, Outcome.Applied, null, new Written(4, Created: false)),
                new ItemResult(ErrorCode.KeyNotFound, Outcome.NotApplied, "no", null),
            ]);
        Assert.Equal(
            "93" + "05" + "05" + "92" + "94" + "00" + "03" + "C0" + "93" + "02" + "04" + "C2" + "94" + "07" + "01" + "A26E6F" + "C0",
            Convert.ToHexString(Encode(batch)));
        Assert.Equal("92" + "06" + "05", Convert.ToHexString(Encode(new Current(5))));
    }

    [Fact]
    public void A_request_with_every_field_survives()
    {
        foreach (var operation in Samples.FullOperations)
        {
            var full = Samples.FullRequest with { Operation = operation };
            Assert.Equal(DecodeResult.Ok, KvRequestCodec.TryDecode(Encode(full), out var request));
            Samples.AssertSame(full, request!, $"full request of operation {operation.Code}");
            var flat = Samples.FullFlatRequest with { Operation = operation };
            if (operation.Level > FeatureLevel.First)
            {
                Assert.False(KvRequestCodec.TryEncode(new ArrayBufferWriter<byte>(), flat, FeatureLevel.First));
                continue;
            }

            Assert.Equal(DecodeResult.Ok, KvRequestCodec.TryDecode(EncodeFlat(flat), out request));
            Samples.AssertSame(flat, request!, $"full request of operation {operation.Code}, level 1");
        }
    }

    [Fact]
    public void A_reply_with_every_field_survives()
    {
        foreach (var (asked, full) in Samples.FullReplies)
        {
            Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(Encode(full), asked, out var reply));
            Samples.AssertSame(full, reply!, $"full reply: {full.Result}");
            Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(EncodeFlat(full), asked, out reply));
            Samples.AssertSame(full, reply!, $"full reply: {full.Result}, level 1");
        }
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
            Assert.True(KvReplyCodec.TryDecode(Encode(reply), request.Operation, out var decodedReply) == DecodeResult.Ok, because);
            Samples.AssertSame(reply, decodedReply!, because);
        }
    }

    [Fact]
    public void Random_requests_and_replies_survive_in_the_form_of_level_1()
    {
        const int Seed = 99_002;
        var random = new Random(Seed);
        for (int i = 0; i < 5_000; i++)
        {
            string because = $"seed {Seed}, case {i}";
            var request = Samples.RandomFlatRequest(random);
            Assert.True(KvRequestCodec.TryDecode(EncodeFlat(request), out var decodedRequest) == DecodeResult.Ok, because);
            Samples.AssertSame(request, decodedRequest!, because);
            var reply = Samples.RandomFlatReply(random, request.Operation);
            Assert.True(KvReplyCodec.TryDecode(EncodeFlat(reply), request.Operation, out var decodedReply) == DecodeResult.Ok, because);
            Samples.AssertSame(reply, decodedReply!, because);
        }
    }

    [Fact]
    public void Every_proper_prefix_of_a_body_needs_more_data()
    {
        foreach (byte[] request in new[] { Encode(Samples.FullRequest), EncodeFlat(Samples.FullFlatRequest) })
        {
            for (int length = 0; length < request.Length; length++)
            {
                Assert.Equal(DecodeResult.NeedMoreData, KvRequestCodec.TryDecode(request.AsSpan(0, length), out _));
            }
        }

        foreach (var (asked, full) in Samples.FullReplies)
        {
            foreach (byte[] reply in new[] { Encode(full), EncodeFlat(full) })
            {
                for (int length = 0; length < reply.Length; length++)
                {
                    Assert.Equal(DecodeResult.NeedMoreData, KvReplyCodec.TryDecode(reply.AsSpan(0, length), asked, out _));
                }
            }
        }
    }

    [Fact]
    public void The_largest_evidence_takes_at_most_40_bytes()
    {
        var buffer = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(buffer);
        EvidenceCodec.Encode(ref writer, Samples.LargestEvidence);
        writer.Flush();
        Assert.InRange(buffer.WrittenCount, 1, 40);
    }

    [Fact]
    public void Fields_that_a_newer_peer_adds_at_the_end_are_passed_over()
    {
        var put = Samples.Put("k", "v");
        byte[] request = WithTwoMoreFields(Encode(put), 11);
        Assert.Equal(DecodeResult.Ok, KvRequestCodec.TryDecode(request, out var decodedRequest));
        Samples.AssertSame(put, decodedRequest!, "longer request");
        var known = new KvReply { Result = new Written(5, Created: true) };
        byte[] reply = WithTwoMoreFields(Encode(known), 7);
        Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(reply, put.Operation, out var decodedReply));
        Samples.AssertSame(known, decodedReply!, "longer reply");
    }

    [Fact]
    public void Fields_that_a_newer_peer_adds_inside_are_passed_over()
    {
        // After each part that may grow: id, read terms and session of a request; item, result, evidence and lag of a reply.
        var full = Samples.FullRequest with { Operation = Get };
        byte[] request = Encode(full);
        var requestParts = new MessagePackReader(request);
        Assert.True(requestParts.TryReadArrayHeader(out int fields));
        for (int field = 0; field < fields; field++)
        {
            int start = requestParts.Consumed;
            requestParts.TrySkip();
            if (field is 1 or 5 or 7)
            {
                byte[] longer = WithTwoMoreFields(request, start, requestParts.Consumed);
                Assert.Equal(DecodeResult.Ok, KvRequestCodec.TryDecode(longer, out var decoded));
                Samples.AssertSame(full, decoded!, $"field {field} of a request is longer");
            }
        }

        foreach (var (asked, reply) in Samples.FullReplies.Where(sample => sample.Reply.Result is not null))
        {
            byte[] body = Encode(reply);
            var parts = new MessagePackReader(body);
            Assert.True(parts.TryReadArrayHeader(out _) && parts.TryReadArrayHeader(out _) && parts.TrySkip(3));
            int resultStart = parts.Consumed;
            Assert.True(parts.TrySkip());
            int resultEnd = parts.Consumed;
            Assert.True(parts.TrySkip());
            int evidenceEnd = parts.Consumed;
            Assert.True(parts.TrySkip(4));
            (int Start, int End)[] growing =
                [(1, resultEnd), (resultStart, resultEnd), (resultEnd, evidenceEnd), (parts.Consumed, body.Length)];
            foreach (var (start, end) in growing)
            {
                Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(WithTwoMoreFields(body, start, end), asked, out var decoded));
                Samples.AssertSame(reply, decoded!, $"bytes {start} to {end} of a reply are longer: {reply.Result}");
            }
        }
    }

    [Fact]
    public void Too_few_fields_and_unknown_enum_values_are_malformed()
    {
        // [[code, body], id, timeoutMs, hopsLeft, epoch, read, ack, session, requires, principal, namespace]
        byte[] get = Encode(new KvRequest
        {
            Operation = Get,
            Read = new ReadTerms { Level = ReadLevel.Bounded, MaxStalenessMs = 1, MaxLag = 2 },
        });
        Assert.Equal(
            "9B" + "92" + "01" + "C407" + "92C403666F6FC2" + "C0" + "CD1388" + "01" + "00" + "94" + "01" + "01" + "02" + "00" + "00" + "C0"
            + "00" + "C0" + "C0",
            Convert.ToHexString(get));
        Assert.Equal(DecodeResult.Malformed, DecodeWith(0, 0x9A));
        Assert.Equal(DecodeResult.Malformed, DecodeWith(1, 0x91));
        Assert.Equal(DecodeResult.Malformed, DecodeWith(1, 0x93));
        Assert.Equal(DecodeResult.Malformed, DecodeWith(18, 0x93));
        Assert.Equal(DecodeResult.Ok, DecodeWith(19, 0x03));
        Assert.Equal(DecodeResult.Malformed, DecodeWith(19, 0x04));
        Assert.Equal(DecodeResult.Ok, DecodeWith(22, 0x02));
        Assert.Equal(DecodeResult.Malformed, DecodeWith(22, 0x03));
        Assert.Equal(DecodeResult.Ok, DecodeWith(23, 0x01));
        Assert.Equal(DecodeResult.Malformed, DecodeWith(23, 0x02));

        DecodeResult DecodeWith(int at, byte value)
        {
            byte[] changed = [.. get];
            changed[at] = value;
            return KvRequestCodec.TryDecode(changed, out _);
        }
    }

    [Fact]
    public void An_operation_of_an_unknown_number_is_a_request_that_can_be_refused_by_name()
    {
        foreach (byte code in new byte[] { 0, (byte)(OperationTable.All.Count + 1), 255 })
        {
            var request = new KvRequest { Operation = new UnknownOperation(code, new byte[] { 0x91, 0x05 }), Epoch = 3 };
            Assert.Equal(DecodeResult.Ok, KvRequestCodec.TryDecode(Encode(request), out var decoded));
            Samples.AssertSame(request, decoded!, $"operation {code}");
            Assert.False(decoded!.IsWrite);
            var violation = decoded.Operation.Violation(new RequestLimits());
            Assert.Equal(ErrorCode.Unsupported, violation!.Value.Code);
            Assert.Contains($"operation {code}", violation.Value.Detail, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_reserved_field_that_holds_something_is_a_requirement()
    {
        byte[] get = Encode(new KvRequest { Operation = Get });
        byte[] ofSomebody = [.. get.AsSpan(0, get.Length - 2), 0xA1, (byte)'p', 0xC0];
        Assert.Equal(DecodeResult.Ok, KvRequestCodec.TryDecode(ofSomebody, out var principal));
        Assert.Equal(Requirements.Principal, principal!.Requires);
        Assert.Equal(DecodeResult.Ok, KvRequestCodec.TryDecode([.. get.AsSpan(0, get.Length - 1), 0x91, 0x01], out var named));
        Assert.Equal(Requirements.Namespace, named!.Requires);
    }

    [Fact]
    public void Whoever_is_at_level_1_is_asked_in_its_form_and_not_at_all_for_what_it_would_pass_over()
    {
        var request = Samples.FullFlatRequest;
        var buffer = new ArrayBufferWriter<byte>();
        Assert.True(KvRequestCodec.TryEncode(buffer, request, FeatureLevel.First));
        Assert.True(KvRequestCodec.IsFlat(buffer.WrittenSpan));
        buffer.ResetWrittenCount();
        Assert.False(KvRequestCodec.TryEncode(buffer, request with { Requires = Requirements.Principal }, FeatureLevel.First));
        Assert.False(KvRequestCodec.TryEncode(buffer, request with { Operation = new UnknownOperation(6, default) }, FeatureLevel.First));
        Assert.Equal(0, buffer.WrittenCount);
        foreach (var possible in new[] { request, request with { Requires = Requirements.Principal } })
        {
            buffer.ResetWrittenCount();
            Assert.True(KvRequestCodec.TryEncode(buffer, possible, FeatureLevel.Max));
            Assert.Equal(Encode(possible), buffer.WrittenSpan.ToArray());
            Assert.False(KvRequestCodec.IsFlat(buffer.WrittenSpan));
        }
    }

    [Fact]
    public void Items_of_items_and_too_many_items_are_malformed()
    {
        var nested = new UnknownOperation(Batch.OperationCode, BatchBody([Samples.FullBatch]));
        Assert.Equal(DecodeResult.Malformed, KvRequestCodec.TryDecode(Encode(Samples.FullRequest with { Operation = nested }), out _));
        var items = Enumerable.Repeat(Samples.FullPut, Limits.MaxBatchItems).ToArray();
        var most = Samples.FullRequest with { Operation = new Batch(items) };
        Assert.Equal(DecodeResult.Ok, KvRequestCodec.TryDecode(Encode(most), out var decoded));
        Samples.AssertSame(most, decoded!, "as many items as may be");
        var tooMany = new UnknownOperation(Batch.OperationCode, BatchBody([.. items, Samples.FullPut]));
        Assert.Equal(DecodeResult.Malformed, KvRequestCodec.TryDecode(Encode(most with { Operation = tooMany }), out _));
        var none = new UnknownOperation(Batch.OperationCode, BatchBody([]));
        Assert.Equal(DecodeResult.Malformed, KvRequestCodec.TryDecode(Encode(most with { Operation = none }), out _));
        var read = new UnknownOperation(Batch.OperationCode, BatchBody([Samples.FullGet]));
        Assert.Equal(DecodeResult.Malformed, KvRequestCodec.TryDecode(Encode(most with { Operation = read }), out _));
        Assert.Throws<ArgumentException>(() => new Batch([.. items, Samples.FullPut]));
        Assert.Throws<ArgumentException>(() => new Batch([]));
    }

    [Fact]
    public void Batches_within_batches_are_refused_without_recursion()
    {
        // From the inside out, written backwards into one array: each level is [[5, bin of the level within]].
        byte[] bytes = new byte[2 << 20];
        int start = bytes.Length;
        for (int level = 0; level < 200_000; level++)
        {
            int length = bytes.Length - start;
            Span<byte> header = [0x91, 0x92, Batch.OperationCode, MessagePackCode.Bin32, 0, 0, 0, 0];
            BinaryPrimitives.WriteInt32BigEndian(header[4..], length);
            start -= header.Length;
            header.CopyTo(bytes.AsSpan(start));
        }

        var request = new KvRequest { Operation = new UnknownOperation(Batch.OperationCode, bytes.AsMemory(start)) };
        Assert.Equal(DecodeResult.Malformed, KvRequestCodec.TryDecode(Encode(request), out _));
    }

    [Fact]
    public void A_batch_within_a_result_of_a_batch_is_malformed()
    {
        var inner = new ItemResult(ErrorCode.None, Outcome.Applied, null, new BatchResult(1, []));
        var nested = new KvReply { Result = new BatchResult(1, [inner]) };
        Assert.Equal(DecodeResult.Malformed, KvReplyCodec.TryDecode(Encode(nested), Samples.FullBatch, out _));
        var item = new ItemResult(ErrorCode.None, Outcome.Applied, null, null);
        var most = new KvReply { Result = new BatchResult(1, [.. Enumerable.Repeat(item, Limits.MaxBatchItems)]) };
        Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(Encode(most), Samples.FullBatch, out _));
        var tooMany = new KvReply { Result = new BatchResult(1, [.. Enumerable.Repeat(item, Limits.MaxBatchItems + 1)]) };
        Assert.Equal(DecodeResult.Malformed, KvReplyCodec.TryDecode(Encode(tooMany), Samples.FullBatch, out _));
    }

    [Fact]
    public void A_result_of_an_unknown_kind_and_a_value_that_is_none_are_malformed()
    {
        byte[] reply = Encode(new KvReply { Result = Samples.Found("v"u8) });
        Assert.Equal("9794" + "0000C0" + "93" + "01" + "01" + "C402" + "0076", Convert.ToHexString(reply.AsSpan(0, 12)));
        Assert.Equal(DecodeResult.Malformed, DecodeWith(6, 0));
        Assert.Equal(DecodeResult.Malformed, DecodeWith(6, 7));
        Assert.Equal(DecodeResult.Malformed, DecodeWith(10, 2));
        Assert.Equal(DecodeResult.Malformed, DecodeWith(10, 0xFF));

        DecodeResult DecodeWith(int at, byte value)
        {
            byte[] changed = [.. reply];
            changed[at] = value;
            return KvReplyCodec.TryDecode(changed, Get, out _);
        }
    }

    [Fact]
    public void A_long_detail_is_shortened_so_that_every_reader_takes_it()
    {
        string detail = new('あ', 10_000);
        var reply = new KvReply
        {
            Code = ErrorCode.Internal,
            Detail = detail,
            Result = new BatchResult(0, [new ItemResult(ErrorCode.Internal, Outcome.Unknown, detail, null)]),
        };
        Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(Encode(reply), Samples.FullBatch, out var decoded));
        Assert.InRange(Encoding.UTF8.GetByteCount(decoded!.Detail!), 1000, Limits.MaxTextBytes);
        Assert.InRange(Encoding.UTF8.GetByteCount(((BatchResult)decoded.Result!).Items[0].Detail!), 1000, Limits.MaxTextBytes);
        Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(EncodeFlat(reply), Samples.FullBatch, out decoded));
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
            Level = 7,
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

        var client = new ClientHello { ClusterId = "c", ClientName = "test", Features = FeatureBits.Streams, Level = 300 };
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

    [Fact]
    public void A_hello_of_a_build_that_says_no_level_is_of_the_first_and_fields_behind_the_level_are_passed_over()
    {
        // Written by hand as the first level ends: what stands behind its last field has never been sent to us.
        byte[] client = Convert.FromHexString("97" + "02" + "01" + "01" + "A163" + "A174" + "00" + "C400");
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(client, out ClientHello? ofClient));
        Assert.Equal(("c", "t", FeatureLevel.First), (ofClient!.ClusterId, ofClient.ClientName, ofClient.Level));
        byte[] peer = Convert.FromHexString(
            "9D" + "01" + "01" + "01" + "A163" + "A26E31" + "01" + "C41000112233445566778899AABBCCDDEEFF" + "09" + "0A" + "C401FF"
            + "A26E32" + "00" + "C400");
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(peer, out PeerHello? ofPeer));
        Assert.Equal(("n1", "n2", FeatureLevel.First), (ofPeer!.NodeName, ofPeer.ExpectedPeer, ofPeer.Level));
        byte[] ack = Convert.FromHexString(
            "99" + "01" + "A163" + "A26E31" + "01" + "C41000112233445566778899AABBCCDDEEFF" + "09" + "C401FF" + "00" + "05");
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(ack, out HelloAck? ofAck));
        Assert.Equal(("n1", 5ul, FeatureLevel.First), (ofAck!.NodeName, ofAck.Epoch, ofAck.Level));

        // The same hellos with level 2 at the end, and with two fields more behind it.
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode([0x98, .. client.AsSpan(1), 0x02], out ofClient));
        Assert.Equal(2, ofClient!.Level);
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode([0x9E, .. peer.AsSpan(1), 0x02], out ofPeer));
        Assert.Equal(2, ofPeer!.Level);
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode([0x9A, .. ack.AsSpan(1), 0x02], out ofAck));
        Assert.Equal(2, ofAck!.Level);
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode([0x9A, .. client.AsSpan(1), 0x02, 0xC0, 0xC0], out ofClient));
        Assert.Equal(2, ofClient!.Level);
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode([0x9C, .. ack.AsSpan(1), 0x02, 0xC0, 0xC0], out ofAck));
        Assert.Equal(2, ofAck!.Level);
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

    [Fact]
    public void The_bytes_of_credit_and_goodbye_are_pinned_and_come_back()
    {
        byte[] credit = FuzzTests.Encoded(to => StreamCodec.EncodeCredit(to, 65_536));
        Assert.Equal("91CE00010000", Convert.ToHexString(credit));
        Assert.Equal(DecodeResult.Ok, StreamCodec.TryDecodeCredit(credit, out long bytes));
        Assert.Equal(65_536, bytes);

        byte[] goAway = FuzzTests.Encoded(to => StreamCodec.Encode(to, new GoAway(GoAwayReason.Draining, 2_000)));
        Assert.Equal("9201CD07D0", Convert.ToHexString(goAway));
        Assert.Equal(DecodeResult.Ok, StreamCodec.TryDecode(goAway, out GoAway? back));
        Assert.Equal(new GoAway(GoAwayReason.Draining, 2_000), back);

        // A later version appends fields; ours are where they were.
        Assert.Equal(DecodeResult.Ok, StreamCodec.TryDecodeCredit(Convert.FromHexString("92CE00010000A178"), out bytes));
        Assert.Equal(DecodeResult.Ok, StreamCodec.TryDecode(Convert.FromHexString("9301CD07D0C0"), out back));
    }

    internal static byte[] Encode(KvReply reply)
    {
        var buffer = new ArrayBufferWriter<byte>();
        KvReplyCodec.Encode(buffer, reply);
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>As a node of feature level 1 would be asked.</summary>
    internal static byte[] EncodeFlat(KvRequest request)
    {
        var buffer = new ArrayBufferWriter<byte>();
        Assert.True(KvRequestCodec.TryEncode(buffer, request, FeatureLevel.First));
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>As a node of feature level 1 would answer.</summary>
    internal static byte[] EncodeFlat(KvReply reply)
    {
        var buffer = new ArrayBufferWriter<byte>();
        FlatReplyCodec.Encode(buffer, reply);
        return buffer.WrittenSpan.ToArray();
    }

    private static byte[] Encode(Result result)
    {
        var buffer = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(buffer);
        result.Write(ref writer);
        writer.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>Of items that a batch may not have.</summary>
    private static byte[] BatchBody(IReadOnlyList<Operation> items)
    {
        var buffer = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(buffer);
        writer.WriteArrayHeader(items.Count);
        foreach (var item in items)
        {
            writer.WriteArrayHeader(2);
            writer.Write((uint)item.Code);
            writer.Write(item.Body.Span);
        }

        return buffer.WrittenSpan.ToArray();
    }

    internal static byte[] WithTwoMoreFields(byte[] body, int fields)
    {
        var buffer = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(buffer);
        writer.WriteArrayHeader(fields + 2);
        writer.WriteRaw(body.AsSpan(1));
        writer.WriteMapHeader(1);
        writer.Write("new");
        writer.Write(1);
        writer.Write("field");
        writer.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>The array between these bytes of a body has two more fields.</summary>
    private static byte[] WithTwoMoreFields(byte[] body, int start, int end) =>
        [.. body.AsSpan(0, start), .. WithTwoMoreFields(body[start..end], body[start] & 0x0F), .. body.AsSpan(end)];
}
