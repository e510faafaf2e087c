using Xunit.Sdk;

namespace KvStore.Protocol.Tests;

/// <summary>A codec that is not quite MessagePack, or not quite the documented body, must be caught by <see cref="OracleTests"/>.</summary>
public sealed class OracleNegativeControls
{
    private static readonly KvReply Reply = new() { Result = new Written(5, Created: true), Epoch = 2 };

    [Fact]
    public void A_number_in_a_longer_form_is_caught()
    {
        // Revision 5 as CC 05: read by everybody, but another writer's bytes would differ.
        byte[] bytes = CodecTests.Encode(Reply);
        Assert.Equal(0x05, bytes[7]);
        byte[] longer = [.. bytes[..7], MessagePackCode.UInt8, .. bytes[7..]];
        Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(longer, Samples.FullPut, out _));
        Assert.ThrowsAny<XunitException>(() => OracleTests.AssertSameFieldsAndBytes(longer, SampleBodies.FieldsOf(Reply)));
    }

    [Fact]
    public void Two_fields_in_the_wrong_order_are_caught() => Assert.ThrowsAny<XunitException>(
        () => OracleTests.AssertSameFieldsAndBytes(
            CodecTests.Encode(Reply), SampleBodies.FieldsOf(Reply with { Result = new Written(2, Created: true), Epoch = 5 })));

    [Fact]
    public void A_reader_that_takes_a_kind_nobody_has_is_caught()
    {
        var body = OracleTests.BodyOf("HelloRefused");
        var e = Assert.ThrowsAny<XunitException>(() => OracleTests.CompareVerdicts(body.Rule, Lenient, body.Random, seed: 1));
        Assert.Contains("by us alone", e.Message, StringComparison.Ordinal);

        DecodeResult Lenient(byte[] input)
        {
            // The known differences are another control's: here it takes no more than it should of those.
            if (body.Rule.Accepts(input, out var met) && met != KnownDifference.None)
            {
                return DecodeResult.Malformed;
            }

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

    [Fact]
    public void A_reader_that_takes_a_longer_form_in_the_body_of_an_operation_is_caught()
    {
        // Such a reader would give one operation several digests.
        var body = OracleTests.BodyOf("Operation delete");
        byte[] longer = [0x93, 0xC4, 0x01, (byte)'k', MessagePackCode.UInt8, 1, 7];
        var e = Assert.ThrowsAny<XunitException>(() => OracleTests.CompareVerdicts(body.Rule, Lenient, _ => longer, seed: 1));
        Assert.Contains(nameof(KnownDifference.LongerForm), e.Message, StringComparison.Ordinal);

        DecodeResult Lenient(byte[] input) => input.AsSpan().SequenceEqual(longer) ? DecodeResult.Ok : body.Decode(input);
    }

    [Fact]
    public void An_operation_without_a_sample_is_named()
    {
        var forgotten = OperationTable.All[0] with { Code = 200, Name = "forgotten" };
        var e = Assert.ThrowsAny<XunitException>(() => OracleTests.AssertEveryOperationHasASample([.. OperationTable.All, forgotten]));
        Assert.Contains("operation 200, forgotten", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_operation_without_a_rule_is_named()
    {
        var forgotten = OperationTable.Find(Append.OperationCode)! with { Code = 200, Name = "forgotten" };
        var e = Assert.ThrowsAny<XunitException>(() => OracleTests.AssertEveryOperationHasARule([forgotten]));
        Assert.Contains("operation 200, forgotten", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_result_without_a_sample_is_named()
    {
        var e = Assert.ThrowsAny<XunitException>(() => OracleTests.AssertEveryResultHasASample([typeof(Found), typeof(ForgottenResult)]));
        Assert.Contains(nameof(ForgottenResult), e.Message, StringComparison.Ordinal);
    }

    private sealed class ForgottenResult;
}
