using Xunit.Sdk;

namespace KvStore.Protocol.Tests;

/// <summary>A codec that is not quite MessagePack, or not quite the documented body, must be caught by <see cref="OracleTests"/>.</summary>
public sealed class OracleNegativeControls
{
    private static readonly KvReply Reply = new() { Revision = 5, Changed = true, Epoch = 2 };

    [Fact]
    public void A_number_in_a_longer_form_is_caught()
    {
        // Revision 5 as CC 05: read by everybody, but another writer's bytes would differ.
        byte[] bytes = CodecTests.Encode(Reply);
        Assert.Equal(0x05, bytes[3]);
        byte[] longer = [.. bytes[..3], MessagePackCode.UInt8, .. bytes[3..]];
        Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(longer, out _));
        Assert.ThrowsAny<XunitException>(() => OracleTests.AssertSameFieldsAndBytes(longer, SampleBodies.FieldsOf(Reply)));
    }

    [Fact]
    public void Two_fields_in_the_wrong_order_are_caught() => Assert.ThrowsAny<XunitException>(
        () => OracleTests.AssertSameFieldsAndBytes(CodecTests.Encode(Reply), SampleBodies.FieldsOf(Reply with { Revision = 2, Epoch = 5 })));

    [Fact]
    public void A_reader_that_takes_a_kind_nobody_has_is_caught()
    {
        var body = OracleTests.BodyOf("HelloRefused");
        var e = Assert.ThrowsAny<XunitException>(() => OracleTests.CompareVerdicts(body.Rule, Lenient, body.Random, seed: 1));
        Assert.Contains("by us alone", e.Message, StringComparison.Ordinal);

        static DecodeResult Lenient(byte[] input)
        {
            var reader = new MessagePackReader(input);
            return reader.TryReadArrayHeader(out int fields) && reader.TrySkip(fields) ? DecodeResult.Ok : DecodeResult.Malformed;
        }
    }

    [Fact]
    public void A_reader_that_refuses_a_longer_form_is_caught()
    {
        // Valid input whose reason is written by somebody who never uses the short form.
        var body = OracleTests.BodyOf("HelloRefused");
        var e = Assert.ThrowsAny<XunitException>(
            () => OracleTests.CompareVerdicts(body.Rule, Strict, _ => [0x92, MessagePackCode.UInt8, 1, 0xA1, (byte)'d'], seed: 1));
        Assert.Contains("by the package alone", e.Message, StringComparison.Ordinal);

        DecodeResult Strict(byte[] input) =>
            input.Length > 1 && input[1] == MessagePackCode.UInt8 ? DecodeResult.Malformed : body.Decode(input);
    }
}
