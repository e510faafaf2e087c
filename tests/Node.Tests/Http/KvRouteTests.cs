using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Node.Tests.Http;

public sealed class KvRouteTests(ScriptedDoor door) : IClassFixture<ScriptedDoor>
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_read_gives_the_bytes_and_says_what_they_are_worth(bool completeLater)
    {
        door.Reset();
        door.CompleteLater = completeLater;
        byte[] value = [0, 1, 2, 0xFF];
        door.Answer = _ => ScriptedDoor.Found(value, "image/png");
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key");
        Assert.Equal(200, (int)response.StatusCode);
        Assert.Equal(value, await response.Content.ReadAsByteArrayAsync());
        Assert.Equal("image/png", response.Content.Headers.ContentType!.ToString());
        Assert.Equal(4, response.Content.Headers.ContentLength);
        Assert.Equal(ScriptedDoor.ETagText, response.Headers.ETag!.ToString());
        Assert.Equal("1172000000001", Header(response, "Kv-Revision"));
        Assert.Equal("strong", Header(response, "Kv-Consistency"));
        Assert.Equal("0", Header(response, "Kv-Staleness"));
        Assert.Equal("node=n2; role=follower; group=3; term=9; applied=88123; path=waited", Header(response, "Kv-Served-By"));
        Assert.Equal("7", Header(response, "Kv-Ring-Epoch"));
        Assert.StartsWith("total;dur=", Header(response, "Server-Timing"), StringComparison.Ordinal);
        Assert.Equal("no-cache", response.Headers.CacheControl!.ToString());
        Assert.Equal("nosniff", Header(response, "X-Content-Type-Options"));
    }

    [Fact]
    public async Task A_value_without_a_type_is_bytes()
    {
        door.Reset();
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key");
        Assert.Equal("application/octet-stream", response.Content.Headers.ContentType!.ToString());
    }

    [Theory]
    [InlineData(ServedRole.Leader, ServedPath.Local, "role=leader; group=3; term=9; applied=88123; path=local")]
    [InlineData(ServedRole.Follower, ServedPath.Forwarded, "role=follower; group=3; term=9; applied=88123; path=forwarded")]
    [InlineData(ServedRole.Learner, ServedPath.Waited, "role=learner; group=3; term=9; applied=88123; path=waited")]
    public async Task Served_by_names_role_and_path(ServedRole role, ServedPath path, string expected)
    {
        door.Reset();
        door.Answer = _ => ScriptedDoor.Found([1]) with { Evidence = ScriptedDoor.Evidence(role: role, path: path) };
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key");
        Assert.Equal("node=n2; " + expected, Header(response, "Kv-Served-By"));
    }

    [Theory]
    [InlineData(ReadLevel.Eventual, Evidence.AgeUnknown, "eventual", "unknown")]
    [InlineData(ReadLevel.Eventual, 17u, "eventual", "17")]
    [InlineData(ReadLevel.Strong, Evidence.AgeUnknown, "strong", "0")]
    public async Task An_age_that_is_not_proved_is_unknown(ReadLevel level, uint ageMs, string consistency, string staleness)
    {
        door.Reset();
        door.Answer = _ => ScriptedDoor.Found([1]) with { Evidence = ScriptedDoor.Evidence(level, ageMs) };
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key");
        Assert.Equal(consistency, Header(response, "Kv-Consistency"));
        Assert.Equal(staleness, Header(response, "Kv-Staleness"));
    }

    [Fact]
    public async Task HEAD_gives_the_headers_of_GET_and_no_body()
    {
        door.Reset();
        string answer = await door.SendRawAsync("HEAD /v1/kv/key HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 200", answer, StringComparison.Ordinal);
        Assert.Contains("Content-Length: 5\r\n", answer, StringComparison.Ordinal);
        Assert.Contains($"ETag: {ScriptedDoor.ETagText}\r\n", answer, StringComparison.Ordinal);
        Assert.EndsWith("\r\n\r\n", answer, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ScriptedDoor.ETagText, 304)]
    [InlineData("W/" + ScriptedDoor.ETagText, 304)]
    [InlineData("\"1\", " + ScriptedDoor.ETagText, 304)]
    [InlineData("*", 304)]
    [InlineData("\"1\"", 200)]
    public async Task If_None_Match_saves_the_body_and_keeps_the_evidence(string ifNoneMatch, int status)
    {
        door.Reset();
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key", ("If-None-Match", ifNoneMatch));
        Assert.Equal(status, (int)response.StatusCode);
        Assert.Equal(ScriptedDoor.ETagText, response.Headers.ETag!.ToString());
        Assert.Equal("1172000000001", Header(response, "Kv-Revision"));
        Assert.StartsWith("node=n2", Header(response, "Kv-Served-By"), StringComparison.Ordinal);
        Assert.Equal("0", Header(response, "Kv-Staleness"));
        if (status == 304)
        {
            Assert.Empty(await response.Content.ReadAsByteArrayAsync());
        }
    }

    [Theory]
    [InlineData("*", 200)]
    [InlineData(ScriptedDoor.ETagText, 200)]
    [InlineData("\"1\"", 412)]
    public async Task If_Match_on_a_read_is_kept(string ifMatch, int status)
    {
        door.Reset();
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key", ("If-Match", ifMatch));
        Assert.Equal(status, (int)response.StatusCode);
        Assert.Equal(ScriptedDoor.ETagText, response.Headers.ETag!.ToString());
    }

    [Fact]
    public async Task A_missing_key_has_evidence_and_no_revision()
    {
        door.Reset();
        door.Answer = _ => new KvReply
        {
            Code = ErrorCode.KeyNotFound,
            Result = new Current(99),
            Evidence = ScriptedDoor.Evidence(),
            Epoch = 7,
        };
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key");
        ProblemDocument problem = await ProblemDocument.ReadAsync(response, 404, "KeyNotFound");
        Assert.Equal(3u, problem.Group);
        Assert.Null(problem.Outcome);
        Assert.NotEmpty(problem.Detail);
        Assert.StartsWith("node=n2", Header(response, "Kv-Served-By"), StringComparison.Ordinal);
        Assert.Equal("0", Header(response, "Kv-Staleness"));
        Assert.False(response.Headers.Contains("Kv-Revision"));
        Assert.Null(response.Headers.ETag);
    }

    [Theory]
    [InlineData("?format=json", null)]
    [InlineData("", "application/json")]
    [InlineData("", "text/html, Application/JSON;q=0.9, */*")]
    public async Task The_envelope_holds_value_and_evidence(string query, string? accept)
    {
        door.Reset();
        door.Answer = _ => ScriptedDoor.Found("grüße \"x\""u8.ToArray()) with
        {
            Evidence = ScriptedDoor.Evidence(ReadLevel.Eventual, Evidence.AgeUnknown),
        };
        using HttpResponseMessage response = await (accept is null
            ? door.SendAsync("GET", "/v1/kv/a%2Fb" + query)
            : door.SendAsync("GET", "/v1/kv/a%2Fb" + query, ("Accept", accept)));
        Assert.Equal("application/json", response.Content.Headers.ContentType!.MediaType);
        JsonElement json = await response.Content.ReadFromJsonAsync<JsonElement>();
        Assert.Equal(
            ["key", "value", "encoding", "etag", "revision", "expiresAt", "consistency", "stalenessMs"],
            json.EnumerateObject().Select(member => member.Name));
        Assert.Equal("a/b", json.GetProperty("key").GetString());
        Assert.Equal("grüße \"x\"", json.GetProperty("value").GetString());
        Assert.Equal("utf8", json.GetProperty("encoding").GetString());
        Assert.Equal(ScriptedDoor.ETagText, json.GetProperty("etag").GetString());
        Assert.Equal("1172000000001", json.GetProperty("revision").GetString());
        Assert.Equal("eventual", json.GetProperty("consistency").GetString());
        Assert.Equal(JsonValueKind.Null, json.GetProperty("stalenessMs").ValueKind);
    }

    [Fact]
    public async Task Bytes_that_are_no_text_are_base64_in_the_envelope()
    {
        door.Reset();
        door.Answer = _ => ScriptedDoor.Found([0xFF, 0xFE]);
        JsonElement json = await door.Client.GetFromJsonAsync<JsonElement>("/v1/b64/__4?format=json");
        Assert.Equal("base64", json.GetProperty("encoding").GetString());
        Assert.Equal("//4=", json.GetProperty("value").GetString());
        Assert.Equal("__4", json.GetProperty("key").GetString());
        Assert.Equal("base64url", json.GetProperty("keyEncoding").GetString());
        Assert.Equal(0, json.GetProperty("stalenessMs").GetInt32());
    }

    [Fact]
    public async Task Format_raw_wins_over_accept()
    {
        door.Reset();
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key?format=raw", ("Accept", "application/json"));
        Assert.Equal("value", await response.Content.ReadAsStringAsync());
    }

    [Theory]
    [InlineData(true, 201)]
    [InlineData(false, 204)]
    public async Task An_append_sends_bytes_type_and_condition_and_says_whether_it_created_the_key(bool created, int status)
    {
        door.Reset();
        door.Answer = _ => ScriptedDoor.Written(created, ServedRole.Leader);
        using HttpRequestMessage request = new(HttpMethod.Post, "/v1/append/log/today") { Content = new ByteArrayContent([1, 0, 255]) };
        request.Content.Headers.ContentType = new("text/plain");
        request.Headers.TryAddWithoutValidation("If-Match", "\"5\"");
        using HttpResponseMessage response = await door.Client.SendAsync(request);
        Assert.Equal(status, (int)response.StatusCode);
        Assert.Equal(ScriptedDoor.ETagText, response.Headers.ETag!.ToString());
        Append append = Assert.IsType<Append>(door.Asked!.Operation);
        Assert.Equal("log/today"u8.ToArray(), append.Key.ToArray());
        Assert.Equal([1, 0, 255], append.Value.ToArray());
        Assert.Equal("text/plain", StoredValue.ContentTypeOf(append.Stored.Span));
        Assert.Equal(new KvCondition(ConditionKind.RevisionIs, 5), append.Condition);
    }

    [Fact]
    public async Task An_append_that_would_make_the_value_too_large_is_413()
    {
        door.Reset();
        door.Answer = _ => ScriptedDoor.Refused(ErrorCode.TooLarge);
        using HttpResponseMessage response = await door.Client.PostAsync("/v1/append/key", new ByteArrayContent([1]));
        Assert.Equal(413, (int)response.StatusCode);
    }

    [Theory]
    [InlineData(true, 201)]
    [InlineData(false, 204)]
    public async Task A_put_stores_bytes_and_type_and_says_whether_it_created_the_key(bool created, int status)
    {
        door.Reset();
        door.Answer = _ => ScriptedDoor.Written(created, ServedRole.Leader);
        using HttpResponseMessage response = await door.PutAsync("/v1/kv/key", [1, 0, 255], "text/plain; charset=utf-8");
        Assert.Equal(status, (int)response.StatusCode);
        Assert.Empty(await response.Content.ReadAsByteArrayAsync());
        Assert.Equal(ScriptedDoor.ETagText, response.Headers.ETag!.ToString());
        Assert.Equal("1172000000001", Header(response, "Kv-Revision"));
        Assert.StartsWith("node=n2; role=leader", Header(response, "Kv-Served-By"), StringComparison.Ordinal);
        Put put = Assert.IsType<Put>(door.Asked!.Operation);
        Assert.Equal(new byte[] { 1, 0, 255 }, put.Value.ToArray());
        Assert.Equal("text/plain; charset=utf-8", put.ContentType);
        Assert.Null(door.Asked.Id);
    }

    [Fact]
    public async Task An_empty_value_without_a_type_is_a_value()
    {
        door.Reset();
        using HttpResponseMessage response = await door.SendAsync("PUT", "/v1/kv/key");
        Assert.True(response.IsSuccessStatusCode);
        Put put = Assert.IsType<Put>(door.Asked!.Operation);
        Assert.Equal(0, put.Value.Length);
        Assert.Null(put.ContentType);
    }

    [Theory]
    [InlineData("PUT", "/v1/kv/key")]
    [InlineData("POST", "/v1/append/key")]
    public async Task E4_What_curl_says_of_every_body_is_no_content_type(string method, string path)
    {
        door.Reset();
        using HttpRequestMessage request = new(new HttpMethod(method), path) { Content = new StringContent("42") };
        request.Content.Headers.ContentType = new("application/x-www-form-urlencoded");
        using HttpResponseMessage response = await door.Client.SendAsync(request);
        Assert.True(response.IsSuccessStatusCode);
        ReadOnlyMemory<byte> stored = door.Asked!.Operation is Put put ? put.Stored : Assert.IsType<Append>(door.Asked.Operation).Stored;
        Assert.Equal("42"u8.ToArray(), StoredValue.ValueOf(stored).ToArray());
        Assert.Null(StoredValue.ContentTypeOf(stored.Span));
    }

    [Theory]
    [InlineData("delta")]
    [InlineData("initial")]
    public async Task A_delta_in_the_query_is_told_where_it_belongs(string name)
    {
        door.Reset();
        using HttpResponseMessage response = await door.SendAsync("POST", $"/v1/incr/key?{name}=5");
        ProblemDocument problem = await ProblemDocument.ReadAsync(response, 400, "InvalidRequest");
        Assert.Contains("JSON body", problem.Detail, StringComparison.Ordinal);
        Assert.Null(door.Asked);
    }

    [Fact]
    public async Task A_failed_condition_shows_the_current_version()
    {
        door.Reset();
        door.Answer = _ => ScriptedDoor.Refused(ErrorCode.ConditionFailed) with
        {
            Result = new Current(ScriptedDoor.Revision),
            Evidence = ScriptedDoor.Evidence(),
        };
        using HttpResponseMessage response = await door.PutAsync("/v1/kv/key", [1], null, ("If-Match", "\"5\""));
        ProblemDocument problem = await ProblemDocument.ReadAsync(response, 412, "ConditionFailed");
        Assert.Equal("not-applied", problem.Outcome);
        Assert.Equal(ScriptedDoor.ETagText, response.Headers.ETag!.ToString());
        Assert.Equal("1172000000001", Header(response, "Kv-Revision"));
        Assert.StartsWith("node=n2", Header(response, "Kv-Served-By"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_failed_condition_on_an_absent_key_shows_no_version()
    {
        door.Reset();
        door.Answer = _ => ScriptedDoor.Refused(ErrorCode.ConditionFailed) with { Evidence = ScriptedDoor.Evidence() };
        using HttpResponseMessage response = await door.PutAsync("/v1/kv/key", [1], null, ("If-Match", "*"));
        Assert.Equal(412, (int)response.StatusCode);
        Assert.Null(response.Headers.ETag);
        Assert.False(response.Headers.Contains("Kv-Revision"));
    }

    [Theory]
    [InlineData("Content-Encoding: gzip", 415)]
    [InlineData("Content-Range: bytes 0-1/2", 400)]
    [InlineData("Content-Type: grün", 400)]
    public async Task What_could_not_be_given_back_is_not_taken(string header, int status)
    {
        door.Reset();
        string answer = await door.SendRawAsync(
            $"PUT /v1/kv/key HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n{header}\r\n\r\nab");
        Assert.StartsWith($"HTTP/1.1 {status}", answer, StringComparison.Ordinal);
        Assert.Null(door.Asked);
    }

    [Theory]
    [InlineData(127, 204)]
    [InlineData(128, 400)]
    public async Task A_content_type_has_at_most_127_characters(int length, int status)
    {
        door.Reset();
        using HttpResponseMessage response = await door.PutAsync("/v1/kv/key", [1], "text/" + new string('x', length - 5));
        Assert.Equal(status, (int)response.StatusCode);
    }

    [Theory]
    [InlineData("", true, 204)]
    [InlineData("", false, 204)]
    [InlineData("?strict", true, 204)]
    [InlineData("?strict", false, 404)]
    [InlineData("?strict=true", false, 404)]
    [InlineData("?strict=false", false, 204)]
    public async Task A_delete_is_204_and_only_strict_asks_whether_there_was_something(string query, bool removed, int status)
    {
        door.Reset();
        door.Answer = _ => ScriptedDoor.Deleted(removed);
        using HttpResponseMessage response = await door.SendAsync("DELETE", "/v1/kv/key" + query);
        Assert.Equal(status, (int)response.StatusCode);
        if (status == 404)
        {
            Assert.Null((await ProblemDocument.ReadAsync(response, 404, "KeyNotFound")).Outcome);
        }

        Assert.IsType<Delete>(door.Asked!.Operation);
        Assert.StartsWith("node=n2", Header(response, "Kv-Served-By"), StringComparison.Ordinal);
        Assert.Equal(status == 204, response.Headers.Contains("Kv-Revision"));
        Assert.Null(response.Headers.ETag);
    }

    [Theory]
    [InlineData(null, 1L, 0L)]
    [InlineData("{}", 1L, 0L)]
    [InlineData("""{"delta":-5}""", -5L, 0L)]
    [InlineData("""{"initial":7}""", 1L, 7L)]
    [InlineData("""{"delta":9223372036854775807,"initial":-9223372036854775808}""", long.MaxValue, long.MinValue)]
    public async Task An_increment_takes_delta_and_initial(string? body, long delta, long initial)
    {
        door.Reset();
        door.Answer = _ => ScriptedDoor.Counted(42);
        using HttpResponseMessage response = await IncrementAsync(body);
        Assert.Equal(200, (int)response.StatusCode);
        Assert.Equal(
            """{"value":42,"etag":"\"1172000000001\"","revision":"1172000000001"}""", await response.Content.ReadAsStringAsync());
        Assert.Equal(ScriptedDoor.ETagText, response.Headers.ETag!.ToString());
        Increment increment = Assert.IsType<Increment>(door.Asked!.Operation);
        Assert.Equal(delta, increment.Delta);
        Assert.Equal(initial, increment.Initial);
    }

    [Theory]
    [InlineData("""{"delta":1.5}""")]
    [InlineData("""{"delta":"1"}""")]
    [InlineData("""{"delta":null}""")]
    [InlineData("""{"delta":1,"delta":2}""")]
    [InlineData("""{"dleta":1}""")]
    [InlineData("""{"delta":9223372036854775808}""")]
    [InlineData("""{"delta":1,}""")]
    [InlineData("""{"delta":1} x""")]
    [InlineData("5")]
    [InlineData("null")]
    [InlineData("[]")]
    public async Task A_malformed_increment_is_refused(string body)
    {
        door.Reset();
        using HttpResponseMessage response = await IncrementAsync(body);
        await ProblemDocument.ReadAsync(response, 400, "InvalidRequest");
        Assert.Null(door.Asked);
    }

    [Fact]
    public async Task An_increment_body_that_is_not_json_is_an_unsupported_media_type()
    {
        door.Reset();
        using HttpResponseMessage response = await IncrementAsync("delta=5", "application/x-www-form-urlencoded");
        ProblemDocument problem = await ProblemDocument.ReadAsync(response, 415, "InvalidRequest");
        Assert.Equal("urn:kvstore:problem:unsupported-media-type", problem.Type);
    }

    [Fact]
    public async Task An_increment_of_something_else_is_a_conflict()
    {
        door.Reset();
        door.Answer = _ => ScriptedDoor.Refused(ErrorCode.NotANumber) with { Evidence = ScriptedDoor.Evidence() };
        using HttpResponseMessage response = await IncrementAsync(null);
        await ProblemDocument.ReadAsync(response, 409, "NotANumber");
    }

    [Fact]
    public async Task A_value_of_exactly_the_limit_fits_and_one_byte_more_does_not()
    {
        door.Reset();
        using HttpResponseMessage fits = await door.PutAsync("/v1/kv/key", new byte[1 << 20]);
        Assert.True(fits.IsSuccessStatusCode);
        Assert.Equal(1 << 20, Assert.IsType<Put>(door.Asked!.Operation).Value.Length);
        door.Reset();
        string answer = await door.SendRawAsync(
            $"PUT /v1/kv/key HTTP/1.1\r\nHost: localhost\r\nContent-Length: {(1 << 20) + 1}\r\n\r\n", until: "}");
        Assert.StartsWith("HTTP/1.1 413", answer, StringComparison.Ordinal); // answered although the body was never sent
        Assert.Contains("limit valueBytes of 1048576 bytes", answer, StringComparison.Ordinal);
        Assert.Contains("Connection: close", answer, StringComparison.Ordinal);
        Assert.Null(door.Asked);
    }

    [Fact]
    public async Task A_client_that_sends_far_too_much_still_gets_its_answer()
    {
        door.Reset();
        using HttpResponseMessage response = await door.PutAsync("/v1/kv/key", new byte[8 << 20]);
        await ProblemDocument.ReadAsync(response, 413, "TooLarge");
    }

    [Theory]
    [InlineData(1 << 20, 204)]
    [InlineData((1 << 20) + 1, 413)]
    public async Task A_chunked_value_is_cut_at_the_limit(int length, int status)
    {
        door.Reset();
        using HttpRequestMessage request = new(HttpMethod.Put, "/v1/kv/key") { Content = new ByteArrayContent(new byte[length]) };
        request.Headers.TransferEncodingChunked = true;
        using HttpResponseMessage response = await door.Client.SendAsync(request);
        Assert.Equal(status, (int)response.StatusCode);
        Assert.Equal(status == 204, door.Asked is not null);
    }

    [Fact]
    public async Task A_chunked_value_arrives_whole()
    {
        door.Reset();
        string answer = await door.SendRawAsync(
            "PUT /v1/kv/key HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            + "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 204", answer, StringComparison.Ordinal);
        Assert.Equal("abcde", Encoding.ASCII.GetString(Assert.IsType<Put>(door.Asked!.Operation).Value.Span));
    }

    [Fact]
    public async Task A_broken_chunk_is_a_bad_request_and_nothing_is_written()
    {
        door.Reset();
        string answer = await door.SendRawAsync(
            "PUT /v1/kv/key HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n");
        Assert.StartsWith("HTTP/1.1 400", answer, StringComparison.Ordinal);
        Assert.Null(door.Asked);
    }

    [Theory]
    [InlineData("redirect", 307)]
    [InlineData("strict", 421)]
    [InlineData("proxy", 421)]
    public async Task A_node_that_may_not_pass_on_points_to_the_leader(string route, int status)
    {
        door.Reset();
        door.Groups = []; // it has no replica
        door.Answer = _ => ScriptedDoor.Refused(ErrorCode.WrongNode) with { LeaderHint = new NodeId(3) };
        using HttpResponseMessage response = await door.SendAsync("GET", $"/v1/kv/a%2Fb?route={route}");
        Assert.Equal(status, (int)response.StatusCode);
        Assert.Equal("http://127.0.0.1:7103", Header(response, "Kv-Leader"));
        if (status == 307)
        {
            Assert.Equal("http://127.0.0.1:7103/v1/kv/a%2Fb?route=redirect", Header(response, "Location"));
        }
    }

    [Theory]
    [InlineData("strict", "strong", ServedRole.Follower, 421)]
    [InlineData("redirect", "strong", ServedRole.Follower, 307)]
    [InlineData("proxy", "strong", ServedRole.Follower, 200)]
    [InlineData("strict", "strong", ServedRole.Leader, 200)]
    [InlineData("strict", "eventual", ServedRole.Follower, 200)]
    public async Task A_strong_read_proved_by_a_follower_is_not_what_strict_asked_for(
        string route, string level, ServedRole role, int status)
    {
        door.Reset();
        IReadOnlyList<GroupStatus> later = door.Groups;
        door.Groups = [.. later.Select(group => group with { Role = "Leader", Leader = new NodeId(1) })];
        door.Answer = request =>
        {
            door.Groups = later; // it led when it was asked
            return ScriptedDoor.Found([1]) with { Evidence = ScriptedDoor.Evidence(request.Read.Level, role: role) };
        };
        using HttpResponseMessage response = await door.SendAsync("GET", $"/v1/kv/key?route={route}&consistency={level}");
        Assert.Equal(status, (int)response.StatusCode);
        if (status != 200)
        {
            Assert.Equal("http://127.0.0.1:7102", Header(response, "Kv-Leader"));
            Assert.Equal("7", Header(response, "Kv-Ring-Epoch"));
            Assert.False(response.Headers.Contains("Kv-Served-By"));
        }
    }

    /// <summary>A strong read costs a round, and carries its value from the table: neither is for an answer that is known before.</summary>
    [Theory]
    [InlineData("strict", 421)]
    [InlineData("redirect", 307)]
    public async Task A_follower_that_may_not_pass_on_answers_a_strong_read_without_reading(string route, int status)
    {
        door.Reset();
        door.Answer = request => ScriptedDoor.Found([1]) with { Evidence = ScriptedDoor.Evidence(role: ServedRole.Follower) };
        using HttpResponseMessage response = await door.SendAsync("GET", $"/v1/kv/key?route={route}");
        Assert.Equal(status, (int)response.StatusCode);
        Assert.Equal("http://127.0.0.1:7102", Header(response, "Kv-Leader"));
        Assert.Equal("7", Header(response, "Kv-Ring-Epoch"));
        Assert.False(response.Headers.Contains("Kv-Served-By"));
        Assert.Null(door.Asked);
    }

    [Theory]
    [InlineData("proxy", 2, "strong")]
    [InlineData("strict", 1, "strong")]
    [InlineData("strict", 0, "strong")]
    [InlineData("strict", 2, "eventual")]
    public async Task Who_leads_or_knows_of_no_leader_and_who_asks_for_less_is_read_for(string route, uint leader, string level)
    {
        door.Reset();
        door.Groups = [.. Enumerable.Range(1, 4).Select(group => ScriptedDoor.Status((uint)group, leader))];
        door.Answer = request => ScriptedDoor.Found([1]) with { Evidence = ScriptedDoor.Evidence(request.Read.Level, role: ServedRole.Leader) };
        using HttpResponseMessage response = await door.SendAsync("GET", $"/v1/kv/key?route={route}&consistency={level}");
        Assert.Equal(200, (int)response.StatusCode);
        Assert.NotNull(door.Asked);
    }

    [Fact]
    public async Task A_redirect_without_a_known_leader_is_no_leader()
    {
        door.Reset();
        door.Groups = [.. Enumerable.Range(1, 4).Select(group => ScriptedDoor.Status((uint)group, leader: 0))];
        door.Answer = _ => ScriptedDoor.Refused(ErrorCode.WrongNode);
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key?route=redirect");
        await ProblemDocument.ReadAsync(response, 503, "NoLeader");
    }

    [Fact]
    public async Task Many_requests_share_pooled_completions_without_mixing_them_up()
    {
        door.Reset();
        door.CompleteLater = true;
        door.Answer = request => ScriptedDoor.Found(request.Key.ToArray());
        await Task.WhenAll(Enumerable.Range(0, 500).Select(async i =>
            Assert.Equal($"key-{i}", await door.Client.GetStringAsync($"/v1/kv/key-{i}"))));
    }

    private static string Header(HttpResponseMessage response, string name) => response.Headers.GetValues(name).Single();

    private async Task<HttpResponseMessage> IncrementAsync(string? body, string contentType = "application/json")
    {
        HttpRequestMessage request = new(HttpMethod.Post, "/v1/incr/counter");
        if (body is not null)
        {
            request.Content = new StringContent(body, Encoding.UTF8, contentType);
        }

        return await door.Client.SendAsync(request);
    }
}
