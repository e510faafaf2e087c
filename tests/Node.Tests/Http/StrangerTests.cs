using System.Text.Json;
using KvStore.Node.Tests.Hosting;
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
    public async Task D6_a_trailer_that_cannot_be_is_a_bad_request()
    {
        door.Reset();
        string answer = await door.SendRawAsync(
            "PUT /v1/kv/key HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\0c\r\n\r\n", until: "traceId");
        Assert.StartsWith("HTTP/1.1 400", answer, StringComparison.Ordinal);
        Assert.Contains("not-applied", answer, StringComparison.Ordinal);
        Assert.Null(door.Asked);
    }

    [Theory]
    [InlineData("PUT /v1/kv/key")]
    [InlineData("POST /v1/append/key")]
    [InlineData("POST /v1/incr/key")]
    [InlineData("POST /v1/txn")]
    [InlineData("POST /v1/batch")]
    public async Task D6_a_stop_during_an_upload_answers_draining_and_logs_nothing(string request)
    {
        foreach (string body in new[] { "Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" })
        {
            var log = new LogRecorder();
            ScriptedDoor own = new() { Logs = log };
            await own.InitializeAsync();
            Task<string> answer = own.SendRawAsync(
                $"{request} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{body}", until: "traceId");
            await Task.Delay(300);
            own.BeginDrain();
            Assert.StartsWith("HTTP/1.1 503", await answer, StringComparison.Ordinal);
            Assert.Contains("\"code\":\"Draining\"", await answer, StringComparison.Ordinal);
            Assert.Contains("not-applied", await answer, StringComparison.Ordinal);
            await own.DisposeAsync();
            Assert.DoesNotContain(log.Lines, line => line.Text.Contains("invalid state", StringComparison.Ordinal));
        }
    }

    /// <summary>JSON that names half a surrogate is no text, wherever it stands.</summary>
    [Theory]
    [InlineData("/v1/txn", """{"\ud800":1}""")]
    [InlineData("/v1/batch", """{"\ud800":1}""")]
    [InlineData("/v1/txn", """{"then": [{"op": "get", "key": "k", "\udc00": 1}]}""")]
    [InlineData("/v1/batch", """{"items": [{"op": "get", "key": "k", "\udc00": 1}]}""")]
    [InlineData("/v1/txn", """{"if": [{"key": "k", "is": "\ud800"}]}""")]
    [InlineData("/v1/txn", """{"if": [{"key": "k", "is": {"value": "\ud800"}}]}""")]
    [InlineData("/v1/txn", """{"if": [{"key": "k", "is": {"\ud800": "v"}}]}""")]
    [InlineData("/v1/txn", """{"then": [{"op": "incr", "key": "k", "delta": "\ud800"}]}""")]
    [InlineData("/v1/batch", """{"items": [{"op": "incr", "key": "k", "initial": "\ud800"}]}""")]
    [InlineData("/v1/batch", """{"items": [{"op": "\ud800", "key": "k"}]}""")]
    [InlineData("/v1/batch", """{"items": [{"op": "get", "key": "k", "keyEncoding": "\ud800"}]}""")]
    [InlineData("/v1/incr/key", """{"\ud800":1}""")]
    [InlineData("/v1/incr/key", """{"delta":"\ud800"}""")]
    public async Task Half_a_surrogate_is_a_bad_request(string path, string body)
    {
        door.Reset();
        using var content = new StringContent(body, System.Text.Encoding.UTF8, "application/json");
        using HttpResponseMessage response = await door.Client.PostAsync(path, content);
        Assert.Equal(400, (int)response.StatusCode);
        JsonElement problem = JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement;
        Assert.Equal("InvalidRequest", problem.GetProperty("code").GetString());
        Assert.Equal("not-applied", problem.GetProperty("outcome").GetString());
        Assert.Null(door.Asked);
    }

    [Theory]
    [InlineData("/v1/txn", "{\"NAME\":1}")]
    [InlineData("/v1/batch", "{\"NAME\":1}")]
    [InlineData("/v1/batch", "{\"items\": [{\"op\": \"NAME\", \"key\": \"k\"}]}")]
    [InlineData("/v1/txn", "{\"then\": [{\"op\": \"get\", \"key\": \"k\", \"NAME\": 1}]}")]
    [InlineData("/v1/txn", "{\"if\": [{\"key\": \"k\", \"is\": {\"value\": \"v\", \"NAME\": 1}}]}")]
    [InlineData("/v1/batch", "{\"NAME\":1, \"NAME\":1}")]
    [InlineData("/v1/incr/key", "{\"NAME\":1}")]
    public async Task A_problem_repeats_no_more_than_a_hundred_bytes_of_a_member(string path, string body)
    {
        door.Reset();
        int length = path == "/v1/incr/key" ? 900 : 1_900_000;
        using var content = new StringContent(
            body.Replace("NAME", new string('x', length), StringComparison.Ordinal), System.Text.Encoding.UTF8, "application/json");
        using HttpResponseMessage response = await door.Client.PostAsync(path, content);
        Assert.Equal(400, (int)response.StatusCode);
        string problem = await response.Content.ReadAsStringAsync();
        Assert.DoesNotContain(new string('x', Excerpt.MaxBytes + 1), problem, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("GET", "/v1/kv/key?NAME=1", null)]
    [InlineData("GET", "/v1/kv/key?route=NAME", null)]
    [InlineData("GET", "/v1/kv/key?route=proxy", "Kv-Route: NAME")]
    [InlineData("GET", "/v1/kv/key", "Kv-NAME: 1")]
    [InlineData("GET", "/v1/kv/key", "Kv-Session: NAME")]
    [InlineData("GET", "/NAME", null)]
    [InlineData("GET", "/v1/cluster/groups/NAME", null)]
    [InlineData("NAME", "/v1/kv/key", null)]
    public async Task A_problem_repeats_no_more_than_a_hundred_bytes_of_a_request(string method, string target, string? header)
    {
        door.Reset();
        string Named(string text) => text.Replace("NAME", new string('x', 3000), StringComparison.Ordinal);
        string answer = await door.SendRawAsync(
            $"{Named(method)} {Named(target)} HTTP/1.1\r\nHost: localhost\r\n{(header is null ? "" : Named(header) + "\r\n")}Connection: close\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 4", answer, StringComparison.Ordinal);
        Assert.Contains("\"detail\":", answer, StringComparison.Ordinal);
        Assert.DoesNotContain(new string('x', Excerpt.MaxBytes + 1), answer, StringComparison.Ordinal);
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
