using KvStore.Node.Http;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Http;

public sealed class IdempotencyIdTests
{
    private static readonly KvRequest Put = new()
    {
        Operation = KvOperation.Put,
        Key = "key"u8.ToArray(),
        Value = "value"u8.ToArray(),
        ContentType = "text/plain",
    };

    [Fact]
    public void The_same_request_has_the_same_id()
    {
        Assert.Equal(Id(Put), Id(Put with { Value = "value"u8.ToArray() }));
    }

    [Fact]
    public void Another_key_or_method_or_text_is_another_request()
    {
        RequestId id = Id(Put);
        Assert.NotEqual(id.Client, Id(Put with { Key = "kez"u8.ToArray() }).Client);
        Assert.NotEqual(id.Client, IdempotencyId.Of(Put, "DELETE", "abc", 0).Client);
        Assert.NotEqual(id.Client, IdempotencyId.Of(Put, "PUT", "abd", 0).Client);
    }

    [Fact]
    public void Parts_of_the_name_cannot_run_into_each_other()
    {
        RequestId one = IdempotencyId.Of(Put with { Key = "ab"u8.ToArray() }, "PUT", "c", 0);
        RequestId two = IdempotencyId.Of(Put with { Key = "a"u8.ToArray() }, "PUT", "bc", 0);
        Assert.NotEqual(one.Client, two.Client);
    }

    [Fact]
    public void Every_part_of_the_payload_is_in_the_digest()
    {
        ulong digest = Id(Put).Digest;
        KvRequest[] others =
        [
            Put with { Value = "valuf"u8.ToArray() },
            Put with { ContentType = "text/html" },
            Put with { ContentType = null },
            Put with { Condition = new KvCondition(ConditionKind.Absent) },
            Put with { Condition = new KvCondition(ConditionKind.RevisionIs, 5) },
            Put with { Condition = new KvCondition(ConditionKind.RevisionIs, 6) },
            Put with { Operation = KvOperation.Increment },
            Put with { Delta = 2 },
            Put with { Initial = 2 },
        ];
        ulong[] digests = [digest, .. others.Select(other => Id(other).Digest)];
        Assert.Equal(digests.Length, digests.Distinct().Count());
        Assert.DoesNotContain(0ul, digests);
    }

    [Fact]
    public void What_a_retry_may_change_is_not_in_the_digest()
    {
        Assert.Equal(Id(Put), Id(Put with
        {
            TimeoutMs = 17,
            HopsLeft = 0,
            Epoch = 3,
            Ack = WriteAck.All,
            Session = new SessionPoint(4, 5),
        }));
    }

    [Fact]
    public void The_time_inside_a_version_7_uuid_is_the_time_of_first_sending()
    {
        // The example of RFC 9562, appendix A.6: 2022-02-22T19:22:22Z.
        const string uuid = "017F22E2-79B0-7CC3-98C4-DC0C0C07398F";
        Assert.Equal(1645557742000ul, IdempotencyId.Of(Put, "PUT", uuid, 0).FirstSentMs);
        Assert.Equal(5ul, IdempotencyId.Of(Put, "PUT", uuid, 5).FirstSentMs);
    }

    [Theory]
    [InlineData("017F22E2-79B0-4CC3-98C4-DC0C0C07398F")]
    [InlineData("017F22E279B07CC398C4DC0C0C07398F")]
    [InlineData("order-17")]
    public void Other_keys_have_no_time(string key) => Assert.Equal(0ul, IdempotencyId.Of(Put, "PUT", key, 0).FirstSentMs);

    [Theory]
    [InlineData("abc", "abc")]
    [InlineData("\"abc\"", "abc")]
    [InlineData("\"a\\\"b\\\\c\"", "a\"b\\c")]
    [InlineData("a\"b", "a\"b")]
    public void Bare_and_quoted_keys_are_the_same(string text, string key)
    {
        Assert.True(RequestOptions.TryParseIdempotencyKey(text, out string parsed));
        Assert.Equal(key, parsed);
    }

    [Theory]
    [InlineData("")]
    [InlineData("\"\"")]
    [InlineData("\"")]
    [InlineData("\"abc")]
    [InlineData("\"a\"b\"")]
    [InlineData("\"a\\b\"")]
    [InlineData("\"abc\\\"")]
    [InlineData("a\tb")]
    [InlineData("é")]
    public void Malformed_keys_are_refused(string text) => Assert.False(RequestOptions.TryParseIdempotencyKey(text, out _));

    [Fact]
    public void A_key_has_at_most_128_characters()
    {
        Assert.True(RequestOptions.TryParseIdempotencyKey(new string('k', 128), out _));
        Assert.False(RequestOptions.TryParseIdempotencyKey(new string('k', 129), out _));
        Assert.True(RequestOptions.TryParseIdempotencyKey($"\"{new string('k', 128)}\"", out _));
    }

    private static RequestId Id(KvRequest request) => IdempotencyId.Of(request, "PUT", "abc", 0);
}
