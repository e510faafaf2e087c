using System.Buffers;

namespace KvStore.Protocol.Tests;

/// <summary>The forms of feature level 1: nodes and clients of that level are there, and none of them will ever learn another.</summary>
public sealed class FlatCodecTests
{
    [Fact]
    public void The_bytes_of_a_get_are_pinned()
    {
        var request = new KvRequest { Operation = new Get("foo"u8) };
        Assert.Equal(
            "9F" + "01" + "C403666F6F" + "C400" + "C0" + "00" + "00" + "01" + "00" + "00" + "C0" + "CD1388" + "01" + "00" + "90" + "C0",
            Convert.ToHexString(CodecTests.EncodeFlat(request)));
    }

    [Fact]
    public void The_bytes_of_the_terms_of_a_read_are_pinned()
    {
        var request = new KvRequest
        {
            Operation = new Get("foo"u8),
            Read = new ReadTerms { Level = ReadLevel.Bounded, MaxStalenessMs = 500, MaxLag = 7, OnUnmet = OnUnmet.Fail },
            Session = new SessionPoint(9, 10),
        };
        Assert.Equal(
            "9F" + "01" + "C403666F6F" + "C400" + "C0" + "00" + "00" + "01" + "00" + "01" + "C0" + "CD1388" + "01" + "00" + "90"
            + "97" + "CD01F4" + "07" + "09" + "0A" + "01" + "00" + "C2",
            Convert.ToHexString(CodecTests.EncodeFlat(request)));
    }

    [Fact]
    public void The_bytes_of_a_get_without_its_value_are_pinned()
    {
        var request = new KvRequest { Operation = new Get("foo"u8, withoutValue: true), Read = ReadTerms.Eventual };
        Assert.Equal(
            "9F" + "01" + "C403666F6F" + "C400" + "C0" + "00" + "00" + "01" + "00" + "03" + "C0" + "CD1388" + "01" + "00" + "90"
            + "97" + "00" + "C0" + "00" + "00" + "00" + "00" + "C3",
            Convert.ToHexString(CodecTests.EncodeFlat(request)));
    }

    [Fact]
    public void The_bytes_of_a_put_with_an_id_are_pinned()
    {
        var request = new KvRequest
        {
            Operation = new Put("k"u8, "v"u8, "a/b", new KvCondition(ConditionKind.Absent)),
            Id = new RequestId(new UInt128(0, 1), 2, 3, 4, new RequestDigest(DigestAlgorithm.Fields, 5)),
            Epoch = 6,
        };
        Assert.Equal(
            "9F" + "02" + "C4016B" + "C40176" + "A3612F62" + "03" + "00" + "01" + "00" + "00"
            + "95" + "C41000000000000000000000000000000001" + "02030405" + "CD1388" + "01" + "06" + "90" + "C0",
            Convert.ToHexString(CodecTests.EncodeFlat(request)));
    }

    [Fact]
    public void The_bytes_of_a_batch_are_pinned()
    {
        // An item has the fields of a request that nobody set.
        const string RestOfItem = "00" + "C0" + "CD1388" + "01" + "00" + "90" + "C0";
        var batch = new Batch(
            new Put("k"u8, "v"u8),
            new Delete("l"u8, new KvCondition(ConditionKind.RevisionIs, 7)),
            new Increment("m"u8, -2, 9));
        var request = new KvRequest { Operation = batch, Ack = WriteAck.All };
        Assert.Equal(
            "9F" + "05" + "C4016B" + "C400" + "C0" + "00" + "00" + "01" + "00" + "00" + "C0" + "CD1388" + "01" + "00" + "93"
            + "9F" + "02" + "C4016B" + "C40176" + "C0" + "00" + "00" + "01" + "00" + RestOfItem
            + "9F" + "03" + "C4016C" + "C400" + "C0" + "01" + "07" + "01" + "00" + RestOfItem
            + "9F" + "04" + "C4016D" + "C400" + "C0" + "00" + "00" + "FE" + "09" + RestOfItem
            + "97" + "00" + "C0" + "00" + "00" + "00" + "01" + "C2",
            Convert.ToHexString(CodecTests.EncodeFlat(request)));
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
            "9F" + "00" + "00" + "CD0100" + "C2" + "C40176" + "C0" + "00" + "98" + "00" + "00" + "11" + "09" + "CD03E8" + "02" + "02" + "01"
            + "00" + "C0" + "00" + "01" + "90" + "00" + "C0",
            Convert.ToHexString(CodecTests.EncodeFlat(reply)));
    }

    [Fact]
    public void The_bytes_of_every_result_are_pinned()
    {
        // [code, outcome, revision, changed, value, contentType, number, evidence, leader, detail, retry, epoch, items, history, lag]
        const string Rest = "C0" + "00" + "C0" + "00" + "00" + "90" + "00" + "C0";
        AssertBytes("9F" + "00" + "00" + "05" + "C2" + "C40176" + "A3612F62" + "00" + Rest, Samples.Found("v"u8, "a/b", 5));
        AssertBytes("9F" + "00" + "00" + "05" + "C3" + "C400" + "C0" + "00" + Rest, new Written(5, Created: true));
        AssertBytes("9F" + "00" + "00" + "05" + "C2" + "C400" + "C0" + "00" + Rest, new Written(5, Created: false));
        AssertBytes("9F" + "00" + "00" + "05" + "C3" + "C400" + "C0" + "00" + Rest, new Deleted(5, Existed: true));
        AssertBytes("9F" + "00" + "00" + "05" + "C2" + "C400" + "C0" + "D0D6" + Rest, new Counted(5, -42));
        AssertBytes("9F" + "00" + "00" + "05" + "C2" + "C400" + "C0" + "00" + Rest, new Current(5));
        AssertBytes("9F" + "00" + "00" + "00" + "C2" + "C400" + "C0" + "00" + Rest, null);
        AssertBytes(
            "9F" + "00" + "00" + "05" + "C2" + "C400" + "C0" + "00" + "C0" + "00" + "C0" + "00" + "00" + "92"
            + "9F" + "00" + "03" + "04" + "C3" + "C400" + "C0" + "00" + Rest
            + "9F" + "08" + "01" + "06" + "C2" + "C400" + "C0" + "00" + "C0" + "00" + "A26E6F" + "00" + "00" + "90" + "00" + "C0"
            + "00" + "C0",
            new BatchResult(
                5,
                [
                    new ItemResult(ErrorCode.None, Outcome.Applied, null, new Written(4, Created: true)),
                    new ItemResult(ErrorCode.ConditionFailed, Outcome.NotApplied, "no", new Current(6)),
                ]));

        static void AssertBytes(string hex, Result? result) =>
            Assert.Equal(hex, Convert.ToHexString(CodecTests.EncodeFlat(new KvReply { Result = result })));
    }

    [Fact]
    public void Fields_that_a_newer_peer_adds_at_the_end_are_passed_over()
    {
        var put = Samples.Put("k", "v");
        byte[] request = CodecTests.WithTwoMoreFields(CodecTests.EncodeFlat(put), 15);
        Assert.Equal(DecodeResult.Ok, KvRequestCodec.TryDecode(request, out var decodedRequest));
        Samples.AssertSame(put, decodedRequest!, "longer request");
        var known = new KvReply { Result = new Written(5, Created: true) };
        byte[] reply = CodecTests.WithTwoMoreFields(CodecTests.EncodeFlat(known), 15);
        Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(reply, put.Operation, out var decodedReply));
        Samples.AssertSame(known, decodedReply!, "longer reply");
    }

    [Fact]
    public void Too_few_fields_and_unknown_enum_values_are_malformed()
    {
        byte[] get = CodecTests.EncodeFlat(new KvRequest { Operation = new Get("foo"u8) });
        Assert.Equal(DecodeResult.Malformed, KvRequestCodec.TryDecode([0x9E, .. get.AsSpan(1)], out _));
        Assert.Equal(DecodeResult.Malformed, KvRequestCodec.TryDecode([0x9F, 0x00, .. get.AsSpan(2)], out _));
        Assert.Equal(DecodeResult.Malformed, KvRequestCodec.TryDecode([0x9F, 0x06, .. get.AsSpan(2)], out _));
    }

    [Fact]
    public void Items_of_items_and_too_many_items_are_malformed()
    {
        FlatOperation batch = Samples.FullBatch.Flat!.Value;
        Assert.Equal(DecodeResult.Malformed, Decode(batch with { Items = [batch] }));
        FlatOperation put = Samples.FullPut.Flat!.Value;
        FlatOperation most = batch with { Items = [.. Enumerable.Repeat(put, Limits.MaxBatchItems)] };
        Assert.Equal(DecodeResult.Ok, Decode(most));
        Assert.Equal(DecodeResult.Malformed, Decode(most with { Items = [.. most.Items, put] }));
        Assert.Equal(DecodeResult.Malformed, Decode(most with { Items = [] }));
        Assert.Equal(DecodeResult.Malformed, Decode(most with { Items = [Samples.FullGet.Flat!.Value] }));

        static DecodeResult Decode(FlatOperation operation)
        {
            var buffer = new ArrayBufferWriter<byte>();
            FlatRequestCodec.Encode(buffer, Samples.FullFlatRequest, operation);
            return KvRequestCodec.TryDecode(buffer.WrittenSpan, out _);
        }
    }

    [Fact]
    public void Items_of_items_in_a_reply_are_malformed()
    {
        var nested = new KvReply
        {
            Result = new BatchResult(1, [new ItemResult(ErrorCode.None, Outcome.None, null, Samples.FullReply.Result)]),
        };
        Assert.Equal(DecodeResult.Malformed, KvReplyCodec.TryDecode(CodecTests.EncodeFlat(nested), Samples.FullBatch, out _));
        var items = Enumerable.Repeat(new ItemResult(ErrorCode.None, Outcome.None, null, null), Limits.MaxBatchItems + 1);
        var tooMany = new KvReply { Result = new BatchResult(1, [.. items]) };
        Assert.Equal(DecodeResult.Malformed, KvReplyCodec.TryDecode(CodecTests.EncodeFlat(tooMany), Samples.FullBatch, out _));
    }

    [Fact]
    public void What_the_fields_of_a_reply_mean_depends_on_what_was_asked()
    {
        byte[] reply = CodecTests.EncodeFlat(new KvReply { Result = new Written(5, Created: true) });
        Assert.Equal(new Written(5, Created: true), ResultOf(Samples.FullPut));
        Assert.Equal(new Deleted(5, Existed: true), ResultOf(Samples.FullDelete));
        Assert.Equal(new Counted(5, 0), ResultOf(Samples.FullIncrement));
        Samples.AssertSame(Samples.Found([], revision: 5), ResultOf(Samples.FullGet), "get");
        Samples.AssertSame(new BatchResult(5, []), ResultOf(Samples.FullBatch), "batch");

        Result? ResultOf(Operation asked)
        {
            Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(reply, asked, out var decoded));
            return decoded!.Result;
        }
    }

    [Fact]
    public void A_value_in_a_reply_has_a_content_type_that_can_be_stored_or_the_reply_is_malformed()
    {
        byte[] reply = CodecTests.EncodeFlat(new KvReply { Result = Samples.Found("v"u8, "a/b") });
        int at = reply.AsSpan().IndexOf((byte)'/');
        Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(reply, Samples.FullGet, out _));
        byte[] notAscii = [.. reply.AsSpan(0, at), 0xC3, 0xA9, .. reply.AsSpan(at + 2)];
        Assert.Equal(DecodeResult.Malformed, KvReplyCodec.TryDecode(notAscii, Samples.FullGet, out _));
    }

    [Fact]
    public void A_content_type_that_cannot_be_stored_is_left_to_the_handler_which_can_say_so()
    {
        byte[] put = CodecTests.EncodeFlat(new KvRequest { Operation = new Put("k"u8, "v"u8, "a/b") });
        int at = put.AsSpan().IndexOf((byte)'/');
        byte[] notAscii = [.. put.AsSpan(0, at), 0xC3, 0xA9, .. put.AsSpan(at + 2)];
        Assert.Equal(DecodeResult.Ok, KvRequestCodec.TryDecode(notAscii, out var request));
        var violation = request!.Operation.Violation(new RequestLimits());
        Assert.Equal(ErrorCode.InvalidRequest, violation!.Value.Code);
        Assert.Contains("content type", violation.Value.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public void A_digest_of_today_is_said_as_the_digest_that_level_1_would_have_computed()
    {
        var put = Samples.FullPut;
        var id = new RequestId(1, 0, 0, 0, RequestDigest.OfBody(put));
        var decoded = Decoded(id);
        Assert.Equal(id with { Digest = RequestDigest.OfFields(put.Flat!.Value) }, decoded);
        Assert.Equal(decoded, Decoded(decoded));
        Assert.Equal(id with { Digest = default }, Decoded(id with { Digest = default }));

        RequestId Decoded(RequestId sent)
        {
            byte[] body = CodecTests.EncodeFlat(new KvRequest { Operation = put, Id = sent });
            Assert.Equal(DecodeResult.Ok, KvRequestCodec.TryDecode(body, out var request));
            return request!.Id!.Value;
        }
    }
}
