using KvStore.Node.Http;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Http;

public sealed class IdempotencyIdTests
{
    private static readonly Put Original = PutOf("key"u8, "value"u8, "text/plain");

    [Fact]
    public void The_same_request_has_the_same_id()
    {
        Assert.Equal(Id(Original), Id(PutOf("key"u8, "value"u8, "text/plain")));
    }

    [Fact]
    public void Another_key_or_method_or_text_is_another_request()
    {
        RequestId id = Id(Original);
        Assert.NotEqual(id.Client, Id(PutOf("kez"u8, "value"u8, "text/plain")).Client);
        Assert.NotEqual(id.Client, IdempotencyId.Of(Original, "DELETE", "abc", 0, null).Client);
        Assert.NotEqual(id.Client, IdempotencyId.Of(Original, "PUT", "abd", 0, null).Client);
    }

    [Fact]
    public void Parts_of_the_name_cannot_run_into_each_other()
    {
        RequestId one = IdempotencyId.Of(PutOf("ab"u8, "value"u8, "text/plain"), "PUT", "c", 0, null);
        RequestId two = IdempotencyId.Of(PutOf("a"u8, "value"u8, "text/plain"), "PUT", "bc", 0, null);
        Assert.NotEqual(one.Client, two.Client);
    }

    // Pinned: what the build before the levels computes, taken by another program from the bytes that it hashes.
    [Fact]
    public void A_put_that_spells_out_the_default_type_has_the_digest_of_an_older_node()
    {
        Put put = PutOf("key"u8, "v"u8, "application/octet-stream");
        RequestDigest digest = IdempotencyId.Of(put, "PUT", "abc", 0, "application/octet-stream").Digest;
        Assert.Equal(new RequestDigest(DigestAlgorithm.Fields, 0x0592_9A81_0099_A9F5), digest);

        // Said or not said is the same put, and another value is another put, said or not said.
        RequestDigest unsaid = Id(put).Digest;
        Assert.False(digest.Contradicts(unsaid, put));
        Assert.False(unsaid.Contradicts(digest, put));
        Put other = PutOf("key"u8, "w"u8, null);
        foreach (string? type in (string?[])[null, "application/octet-stream"])
        {
            RequestDigest copy = IdempotencyId.Of(other, "PUT", "abc", 0, type).Digest;
            Assert.True(copy.Contradicts(digest, other));
            Assert.True(copy.Contradicts(unsaid, other));
        }
    }

    [Fact]
    public void Every_part_of_the_payload_is_in_the_digest()
    {
        WriteOperation[] operations =
        [
            Original,
            PutOf("key"u8, "valuf"u8, "text/plain"),
            PutOf("key"u8, "value"u8, "text/html"),
            PutOf("key"u8, "value"u8, null),
            PutOf("key"u8, "value"u8, "text/plain", new KvCondition(ConditionKind.Absent)),
            PutOf("key"u8, "value"u8, "text/plain", new KvCondition(ConditionKind.RevisionIs, 5)),
            PutOf("key"u8, "value"u8, "text/plain", new KvCondition(ConditionKind.RevisionIs, 6)),
            new Delete("key"u8),
            new Delete("key"u8, new KvCondition(ConditionKind.Exists)),
            new Increment("key"u8),
            new Increment("key"u8, delta: 2),
            new Increment("key"u8, initial: 2),
            new Increment("key"u8, condition: new KvCondition(ConditionKind.Exists)),
            new Batch(Original),
            new Batch(Original, new Delete("other"u8)),
        ];
        RequestDigest[] digests = [.. operations.Select(operation => Id(operation).Digest)];
        Assert.Equal(digests.Length, digests.Distinct().Count());
        Assert.All(digests, digest => Assert.Equal(DigestAlgorithm.Body, digest.Algorithm));
        Assert.DoesNotContain(0ul, digests.Select(digest => digest.Value));
    }

    [Fact]
    public void The_time_inside_a_version_7_uuid_is_the_time_of_first_sending()
    {
        // The example of RFC 9562, appendix A.6: 2022-02-22T19:22:22Z.
        const string uuid = "017F22E2-79B0-7CC3-98C4-DC0C0C07398F";
        Assert.Equal(1645557742000ul, IdempotencyId.Of(Original, "PUT", uuid, 0, null).FirstSentMs);
        Assert.Equal(5ul, IdempotencyId.Of(Original, "PUT", uuid, 5, null).FirstSentMs);
    }

    [Theory]
    [InlineData("017F22E2-79B0-4CC3-98C4-DC0C0C07398F")]
    [InlineData("017F22E279B07CC398C4DC0C0C07398F")]
    [InlineData("order-17")]
    public void Other_keys_have_no_time(string key) => Assert.Equal(0ul, IdempotencyId.Of(Original, "PUT", key, 0, null).FirstSentMs);

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

    private static RequestId Id(WriteOperation operation) => IdempotencyId.Of(operation, "PUT", "abc", 0, null);

    private static Put PutOf(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, string? contentType, KvCondition condition = default) =>
        new(key, value, contentType, condition);
}
