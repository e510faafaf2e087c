using System.Buffers.Text;
using System.Text;
using KvStore.Node.Http;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Http;

public sealed class KeyInUrlTests(ScriptedDoor door) : IClassFixture<ScriptedDoor>
{
    [Theory]
    [InlineData("plain", "plain")]
    [InlineData("a%2Fb", "a/b")]
    [InlineData("a%2fb", "a/b")]
    [InlineData("a%252Fb", "a%2Fb")]
    [InlineData("a/b", "a/b")]
    [InlineData("a//b", "a//b")]
    [InlineData("trail/", "trail/")]
    [InlineData("/lead", "/lead")]
    [InlineData("a+b", "a+b")]
    [InlineData("a%2Bb", "a+b")]
    [InlineData("a%20b", "a b")]
    [InlineData("a%3Fb", "a?b")]
    [InlineData("{user}:1", "{user}:1")]
    [InlineData("a.b", "a.b")]
    [InlineData(".hidden", ".hidden")]
    [InlineData("a/.hidden", "a/.hidden")]
    [InlineData("...", "...")]
    [InlineData("a/%2E%2E%2E/b", "a/.../b")]
    [InlineData("..%2Fx", "../x")]
    [InlineData("a;b=c", "a;b=c")]
    public async Task A_text_key_is_the_raw_path_percent_decoded_once(string target, string key)
    {
        door.Reset();
        string answer = await door.GetRawAsync("/v1/kv/" + target);
        Assert.StartsWith("HTTP/1.1 200", answer, StringComparison.Ordinal);
        Assert.Equal(key, Encoding.UTF8.GetString(door.Asked!.Key.Span));
    }

    [Fact]
    public async Task A_key_that_is_not_utf8_is_taken_byte_for_byte()
    {
        door.Reset();
        await door.GetRawAsync("/v1/kv/%FF%FE");
        Assert.Equal(new byte[] { 0xFF, 0xFE }, door.Asked!.Key.ToArray());
    }

    [Fact]
    public async Task An_encoded_slash_and_its_encoded_encoding_are_two_keys()
    {
        door.Reset();
        await door.GetRawAsync("/v1/kv/a%2Fb");
        byte[] slash = door.Asked!.Key.ToArray();
        await door.GetRawAsync("/v1/kv/a%252Fb");
        Assert.NotEqual(slash, door.Asked!.Key.ToArray());
    }

    [Theory]
    [InlineData("a/../b")]
    [InlineData("a/%2E%2E/b")]
    [InlineData("a/.%2e/b")]
    [InlineData(".")]
    [InlineData("..")]
    [InlineData("x/.")]
    [InlineData("%2e")]
    [InlineData("./x")]
    [InlineData("../../health/live")]
    public async Task A_dot_segment_is_refused_before_anything_collapses_it(string target)
    {
        door.Reset();
        string answer = await door.GetRawAsync("/v1/kv/" + target);
        Assert.StartsWith("HTTP/1.1 400", answer, StringComparison.Ordinal);
        Assert.Contains("urn:kvstore:problem:key-not-addressable", answer, StringComparison.Ordinal);
        Assert.Contains("/v1/b64/", answer, StringComparison.Ordinal);
        Assert.Null(door.Asked);
    }

    [Theory]
    [InlineData("/v1/x/../kv/a")]
    [InlineData("/v1/incr/../kv/a")]
    public async Task A_dot_segment_before_the_key_is_refused_as_well(string target)
    {
        door.Reset();
        Assert.Contains("key-not-addressable", await door.GetRawAsync(target), StringComparison.Ordinal);
        Assert.Null(door.Asked);
    }

    [Theory]
    [InlineData("%")]
    [InlineData("a%2")]
    [InlineData("%zz")]
    [InlineData("%%%")]
    [InlineData("a%2Gb")]
    public async Task Bad_percent_encoding_is_an_invalid_request(string target)
    {
        door.Reset();
        string answer = await door.GetRawAsync("/v1/kv/" + target);
        Assert.StartsWith("HTTP/1.1 400", answer, StringComparison.Ordinal);
        Assert.Null(door.Asked);
    }

    [Theory]
    [InlineData("%")]
    [InlineData("a%2")]
    [InlineData("%zz")]
    [InlineData("%%%")]
    [InlineData("a%2Gb")]
    [InlineData("é")]
    public void The_decoder_itself_refuses_bad_percent_encoding(string target)
    {
        Problem? problem = KeyInUrl.Read("/v1/kv/" + target, 2, KeyForm.Text, 2048, out _);
        Assert.Equal(ErrorCode.InvalidRequest, problem!.Code);
    }

    [Fact]
    public async Task A_nul_byte_never_reaches_the_store_as_text_but_does_as_base64url()
    {
        door.Reset();
        Assert.StartsWith("HTTP/1.1 400", await door.GetRawAsync("/v1/kv/a%00b"), StringComparison.Ordinal);
        Assert.Null(door.Asked);
        await door.GetRawAsync("/v1/b64/" + Base64Url.EncodeToString("a\0b"u8));
        Assert.Equal("a\0b"u8.ToArray(), door.Asked!.Key.ToArray());
    }

    [Theory]
    [InlineData("/v1/kv/")]
    [InlineData("/v1/kv")]
    [InlineData("/v1/b64/")]
    public async Task An_empty_key_is_an_invalid_request(string target)
    {
        door.Reset();
        string answer = await door.GetRawAsync(target);
        Assert.StartsWith("HTTP/1.1 400", answer, StringComparison.Ordinal);
        Assert.Contains("empty", answer, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("x", 2048, 200)]
    [InlineData("x", 2049, 414)]
    [InlineData("%C3", 2048, 200)]
    [InlineData("%C3", 2049, 414)]
    public async Task Keys_of_2048_bytes_fit_however_they_are_encoded(string character, int count, int status)
    {
        door.Reset();
        string answer = await door.GetRawAsync("/v1/kv/" + string.Concat(Enumerable.Repeat(character, count)));
        Assert.StartsWith($"HTTP/1.1 {status}", answer, StringComparison.Ordinal);
        if (status == 414)
        {
            Assert.Contains("2049 bytes; the limit keyBytes is 2048", answer, StringComparison.Ordinal);
            Assert.Contains("\"code\":\"TooLarge\"", answer, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(2048)]
    public async Task Base64url_addresses_any_key(int length)
    {
        door.Reset();
        byte[] key = [.. Enumerable.Range(0, length).Select(i => (byte)(i * 7))];
        await door.GetRawAsync("/v1/b64/" + Base64Url.EncodeToString(key));
        Assert.Equal(key, door.Asked!.Key.ToArray());
    }

    [Theory]
    [InlineData("YWI=")] // padding
    [InlineData("YW+_")] // the other alphabet
    [InlineData("YW%2D")] // encoded: one spelling only
    [InlineData("YWJjY")] // a last character that holds six of eight bits
    [InlineData("YR")] // stray bits behind the last byte
    [InlineData("YWJ/")]
    public async Task Base64url_is_strict(string text)
    {
        door.Reset();
        string answer = await door.GetRawAsync("/v1/b64/" + text);
        Assert.StartsWith("HTTP/1.1 400", answer, StringComparison.Ordinal);
        Assert.Contains("\"code\":\"InvalidRequest\"", answer, StringComparison.Ordinal);
        Assert.Null(door.Asked);
    }

    [Fact]
    public async Task Base64url_keys_have_the_same_length_limit()
    {
        door.Reset();
        string answer = await door.GetRawAsync("/v1/b64/" + Base64Url.EncodeToString(new byte[2049]));
        Assert.StartsWith("HTTP/1.1 414", answer, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("http://localhost/v1/kv/a%2Fb?consistency=eventual")]
    [InlineData("/v1/%6Bv/a%2Fb")]
    [InlineData("/V1/KV/a%2Fb")]
    public async Task Other_spellings_of_the_prefix_do_not_change_the_key(string target)
    {
        door.Reset();
        await door.GetRawAsync(target);
        Assert.Equal("a/b", Encoding.UTF8.GetString(door.Asked!.Key.Span));
    }

    [Fact]
    public async Task The_query_is_not_part_of_the_key()
    {
        door.Reset();
        await door.GetRawAsync("/v1/kv/key?consistency=eventual");
        Assert.Equal("key", Encoding.UTF8.GetString(door.Asked!.Key.Span));
        Assert.Equal(ReadLevel.Eventual, door.Asked.Read.Level);
    }

    [Fact]
    public async Task A_question_mark_that_was_meant_for_the_key_is_noticed()
    {
        door.Reset();
        string answer = await door.GetRawAsync("/v1/kv/what?now");
        Assert.StartsWith("HTTP/1.1 400", answer, StringComparison.Ordinal);
        Assert.Contains("%3F", answer, StringComparison.Ordinal);
    }
}
