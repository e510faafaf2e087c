using KvStore.Protocol;

namespace KvStore.Node.Tests.Http;

/// <summary>What a web page in somebody's browser, or a client that sends nonsense, may have a node do: nothing.</summary>
public sealed class StrangerTests(ScriptedDoor door) : IClassFixture<ScriptedDoor>
{
    [Theory]
    [InlineData("Origin: https://evil.example")]
    [InlineData("Origin: null")]
    [InlineData("Origin: http://localhost:3000")]
    [InlineData("Sec-Fetch-Site: cross-site")]
    [InlineData("Sec-Fetch-Site: same-site")]
    public async Task D4_a_write_that_another_site_sent_is_refused(string header)
    {
        door.Reset();
        foreach (string request in new[] { "POST /v1/incr/x", "PUT /v1/kv/x", "DELETE /v1/kv/x" })
        {
            string answer = await door.SendRawAsync(
                $"{request} HTTP/1.1\r\nHost: {door.Address}\r\nConnection: close\r\n{header}\r\n"
                + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n\r\n");
            Assert.StartsWith("HTTP/1.1 403", answer, StringComparison.Ordinal);
            Assert.Contains("\"code\":\"Forbidden\"", answer, StringComparison.Ordinal);
            Assert.Contains("not-applied", answer, StringComparison.Ordinal);
            Assert.Null(door.Asked);
        }
    }

    [Fact]
    public async Task D4_a_page_of_the_node_itself_and_programs_may_write()
    {
        foreach (string header in new[] { $"Origin: http://{door.Address}", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: none", "X-None: 1" })
        {
            door.Reset();
            string answer = await door.SendRawAsync(
                $"PUT /v1/kv/x HTTP/1.1\r\nHost: {door.Address}\r\nConnection: close\r\n{header}\r\nContent-Length: 1\r\n\r\na");
            Assert.StartsWith("HTTP/1.1 204", answer, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("evil.example", 421)]
    [InlineData("evil.example:7101", 421)]
    [InlineData("localhost.evil.example", 421)]
    [InlineData("127.0.0.1.evil.example", 421)]
    [InlineData("localhost", 200)]
    [InlineData("LOCALHOST:7101", 200)]
    [InlineData("127.0.0.1", 200)]
    [InlineData("192.0.2.7:80", 200)]
    [InlineData("[::1]:7101", 200)]
    public async Task D4_a_name_that_is_not_the_nodes_is_not_served(string host, int status)
    {
        door.Reset();
        string answer = await door.SendRawAsync($"GET /v1/kv/x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        Assert.StartsWith($"HTTP/1.1 {status}", answer, StringComparison.Ordinal);
        Assert.Equal(status == 200, door.Asked is not null);
    }

    [Theory]
    [InlineData("FFFFFFFFFFFFFFFFF")]
    [InlineData("FFFFFFFF")]
    [InlineData("7FFFFFFFFFFFFFFF")]
    [InlineData("-1")]
    public async Task D6_a_chunk_that_cannot_be_is_a_bad_request(string size)
    {
        door.Reset();
        string answer = await door.SendRawAsync(
            $"PUT /v1/kv/key HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\nabc", until: "traceId");
        Assert.StartsWith("HTTP/1.1 4", answer, StringComparison.Ordinal);
        Assert.Contains("not-applied", answer, StringComparison.Ordinal);
        Assert.Null(door.Asked);
    }

    [Fact]
    public async Task D6_a_stop_during_an_upload_answers_draining()
    {
        ScriptedDoor own = new();
        await own.InitializeAsync();
        Task<string> answer = own.SendRawAsync("PUT /v1/kv/key HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc", until: "traceId");
        await Task.Delay(300);
        own.BeginDrain();
        Assert.StartsWith("HTTP/1.1 503", await answer, StringComparison.Ordinal);
        Assert.Contains("\"code\":\"Draining\"", await answer, StringComparison.Ordinal);
        Assert.Contains("not-applied", await answer, StringComparison.Ordinal);
        await own.DisposeAsync();
    }

    [Fact]
    public void D5_of_a_strangers_text_a_hundred_bytes_are_shown_and_nothing_that_a_terminal_obeys()
    {
        string shown = Excerpt.Of("n2\nFTL \u001b[2J\u202e\u2028" + new string('ä', 4000));
        Assert.InRange(System.Text.Encoding.UTF8.GetByteCount(shown), 50, Excerpt.MaxBytes + 3);
        Assert.DoesNotContain(shown, c => char.IsControl(c) || c is '\u202e' or '\u2028');
        Assert.StartsWith("n2\\u000AFTL \\u001B[2J\\u202E", shown, StringComparison.Ordinal);
        Assert.Equal("plain näme", Excerpt.Of("plain näme"));
        Assert.Equal("a\\uD800b", Excerpt.Of("a\ud800b"));
    }
}
