using KvStore.Node.Config;
using KvStore.Node.Http;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Http;

public sealed class RequestOptionTests(ScriptedDoor door) : IClassFixture<ScriptedDoor>
{
    [Theory]
    [InlineData("GET", "Kv-Consistency", "weak", "accepted: strong, bounded, session, eventual")]
    [InlineData("GET", "Kv-Consistency", "STRONG", "accepted: strong, bounded, session, eventual")]
    [InlineData("GET", "Kv-Max-Staleness", "5", "from 1ms to 24h")]
    [InlineData("GET", "Kv-Max-Staleness", "0ms", "from 1ms to 24h")]
    [InlineData("GET", "Kv-Max-Staleness", "-1s", "from 1ms to 24h")]
    [InlineData("GET", "Kv-Max-Staleness", "25h", "from 1ms to 24h")]
    [InlineData("GET", "Kv-Max-Staleness", "86400001ms", "from 1ms to 24h")]
    [InlineData("GET", "Kv-Max-Lag", "-1", "0 or more")]
    [InlineData("GET", "Kv-Max-Lag", "1.5", "0 or more")]
    [InlineData("GET", "Kv-Max-Lag", "18446744073709551616", "0 or more")]
    [InlineData("GET", "Kv-Timeout", "5", "a duration")]
    [InlineData("GET", "Kv-Timeout", "s", "a duration")]
    [InlineData("GET", "Kv-Timeout", "-1s", "a duration")]
    [InlineData("GET", "Kv-Timeout", "1.5s", "a duration")]
    [InlineData("GET", "Kv-Timeout", "0s", "a duration")]
    [InlineData("GET", "Kv-Timeout", "61s", "at most 60s")]
    [InlineData("GET", "Kv-Timeout", "99999999999m", "a duration")]
    [InlineData("GET", "Kv-Route", "direct", "accepted: proxy, redirect, strict")]
    [InlineData("GET", "Kv-On-Unmet", "panic", "accepted: forward, fail, serve")]
    [InlineData("GET", "If-None-Match", "17", "accepted: ")]
    [InlineData("GET", "If-Match", "W/\"17\"", "one strong ETag")]
    [InlineData("GET", "Kv-Consistancy", "eventual", "no header Kv-Consistancy")]
    [InlineData("PUT", "Kv-Ack", "one", "accepted: majority, all")]
    [InlineData("PUT", "Kv-Ttl", "60s", "not available yet")]
    [InlineData("PUT", "If-Match", "17", "one strong ETag")]
    [InlineData("PUT", "If-Match", "\"1\", \"2\"", "one strong ETag")]
    [InlineData("PUT", "If-None-Match", "\"17\"", "takes only *")]
    [InlineData("PUT", "Idempotency-Key", "\"open", "printable ASCII")]
    [InlineData("PUT", "Kv-First-Sent", "1700000000000", "Idempotency-Key")]
    [InlineData("DELETE", "If-None-Match", "*", "not offered on a delete")]
    [InlineData("POST", "If-Match", "*", "not offered on an increment")]
    [InlineData("POST", "If-None-Match", "*", "not offered on an increment")]
    public async Task A_bad_header_value_is_refused_and_the_answer_says_what_is_accepted(
        string method, string header, string value, string hint)
    {
        door.Reset();
        using HttpResponseMessage response = await door.SendAsync(method, PathOf(method), (header, value));
        ProblemDocument problem = await ProblemDocument.ReadAsync(response, 400, "InvalidRequest");
        Assert.Contains(hint, problem.Detail, StringComparison.Ordinal);
        Assert.Equal("not-applied", problem.Outcome);
        Assert.Null(door.Asked);
    }

    [Theory]
    [InlineData("GET", "consistency=weak")]
    [InlineData("GET", "consistency=eventual&consistency=eventual")]
    [InlineData("GET", "timeout=5")]
    [InlineData("GET", "route=direct")]
    [InlineData("GET", "onUnmet=never")]
    [InlineData("GET", "ifMatch=17")]
    [InlineData("GET", "ifNoneMatch=17")]
    [InlineData("GET", "format=xml")]
    [InlineData("GET", "consistancy=eventual")]
    [InlineData("GET", "maxStaleness=soon")]
    [InlineData("GET", "maxLag=many")]
    [InlineData("GET", "consistency=strong&maxStaleness=5s")]
    [InlineData("GET", "consistency=session&maxLag=5")]
    [InlineData("GET", "wait=30s")]
    [InlineData("PUT", "ttl=60s")]
    [InlineData("PUT", "ack=none")]
    [InlineData("PUT", "idempotencyKey=")]
    [InlineData("PUT", "firstSent=soon&idempotencyKey=a")]
    [InlineData("PUT", "ifNoneMatch=%2A&ifMatch=%2217%22")]
    [InlineData("DELETE", "strict=maybe")]
    public async Task Query_twins_are_as_strict(string method, string query)
    {
        door.Reset();
        using HttpResponseMessage response = await door.SendAsync(method, PathOf(method) + "?" + query);
        await ProblemDocument.ReadAsync(response, 400, "InvalidRequest");
        Assert.Null(door.Asked);
    }

    [Theory]
    [InlineData("Kv-Consistency: eventual", "Kv-Consistency: eventual")]
    [InlineData("Idempotency-Key: a", "idempotency-key: b")]
    [InlineData("If-Match: \"1\"", "If-Match: \"2\"")]
    public async Task A_header_that_is_there_twice_is_refused(string first, string second)
    {
        door.Reset();
        string answer = await door.SendRawAsync(
            $"GET /v1/kv/key HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{first}\r\n{second}\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 400", answer, StringComparison.Ordinal);
        Assert.Contains("send it once", answer, StringComparison.Ordinal);
        Assert.Null(door.Asked);
    }

    [Fact]
    public async Task A_header_and_its_twin_may_agree_but_not_disagree()
    {
        door.Reset();
        using HttpResponseMessage agree = await door.SendAsync("GET", "/v1/kv/key?consistency=eventual", ("Kv-Consistency", "eventual"));
        Assert.Equal(200, (int)agree.StatusCode);
        using HttpResponseMessage disagree = await door.SendAsync("GET", "/v1/kv/key?consistency=strong", ("Kv-Consistency", "eventual"));
        ProblemDocument problem = await ProblemDocument.ReadAsync(disagree, 400, "InvalidRequest");
        Assert.Contains("disagree", problem.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Options_reach_the_store()
    {
        door.Reset();
        await door.SendAsync("GET", "/v1/kv/key", ("Kv-Consistency", "eventual"), ("Kv-Timeout", "250ms"), ("Kv-Route", "strict"));
        Assert.Equal(ReadLevel.Eventual, door.Asked!.Read.Level);
        Assert.Equal(250, door.Asked.TimeoutMs);
        Assert.Equal(0, door.Asked.HopsLeft);

        await door.SendAsync("GET", "/v1/kv/key?timeout=1m&route=proxy");
        Assert.Equal(ReadLevel.Strong, door.Asked.Read.Level);
        Assert.Equal(60_000, door.Asked.TimeoutMs);
        Assert.Equal(KvRequest.MostHops, door.Asked.HopsLeft);
    }

    [Theory]
    [InlineData("consistency=bounded", ReadLevel.Bounded, 5000, null)]
    [InlineData("consistency=bounded&maxStaleness=250ms", ReadLevel.Bounded, 250, null)]
    [InlineData("consistency=bounded&maxStaleness=24h", ReadLevel.Bounded, 86_400_000, null)]
    [InlineData("consistency=bounded&maxLag=0", ReadLevel.Bounded, 0, 0ul)]
    [InlineData("consistency=bounded&maxLag=7&maxStaleness=1s", ReadLevel.Bounded, 1000, 7ul)]
    [InlineData("maxStaleness=1ms", ReadLevel.Bounded, 1, null)]
    [InlineData("maxLag=7", ReadLevel.Bounded, 0, 7ul)]
    [InlineData("consistency=session", ReadLevel.Session, 0, null)]
    [InlineData("consistency=eventual", ReadLevel.Eventual, 0, null)]
    public async Task Level_and_bound_reach_the_store(string query, ReadLevel level, int maxStalenessMs, ulong? maxLag)
    {
        door.Reset();
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key?" + query);
        Assert.Equal(200, (int)response.StatusCode);
        ReadTerms terms = door.Asked!.Read;
        Assert.Equal((level, maxStalenessMs, maxLag), (terms.Level, terms.MaxStalenessMs, terms.MaxLag));
        Assert.True(door.Asked.Session.IsNone);
    }

    [Theory]
    [InlineData(ReadLevel.Bounded, "", ReadLevel.Bounded, 1234)]
    [InlineData(ReadLevel.Eventual, "", ReadLevel.Eventual, 0)]
    [InlineData(ReadLevel.Eventual, "?consistency=strong", ReadLevel.Strong, 0)]
    [InlineData(ReadLevel.Eventual, "?consistency=bounded", ReadLevel.Bounded, 1234)]
    [InlineData(ReadLevel.Eventual, "?maxStaleness=7ms", ReadLevel.Bounded, 7)]
    public async Task What_a_read_does_not_say_the_configuration_says(
        ReadLevel configured, string query, ReadLevel level, int maxStalenessMs)
    {
        ScriptedDoor other = new()
        {
            Config = door.Config with { Reads = new ReadSettings { Default = configured, MaxStalenessMs = 1234 } },
        };
        await other.InitializeAsync();
        using HttpResponseMessage response = await other.SendAsync("GET", "/v1/kv/key" + query);
        Assert.Equal((level, maxStalenessMs), (other.Asked!.Read.Level, other.Asked.Read.MaxStalenessMs));
        await other.DisposeAsync();
    }

    [Fact]
    public async Task A_bound_beside_another_level_is_refused_with_both_ways_out()
    {
        door.Reset();
        using HttpResponseMessage response = await door.SendAsync(
            "GET", "/v1/kv/key", ("Kv-Consistency", "strong"), ("Kv-Max-Staleness", "5s"));
        ProblemDocument problem = await ProblemDocument.ReadAsync(response, 400, "InvalidRequest");
        Assert.Contains("is strong: send Kv-Consistency: bounded, or no bound", problem.Detail, StringComparison.Ordinal);
        Assert.Null(door.Asked);
    }

    [Theory]
    [InlineData("forward", OnUnmet.Forward)]
    [InlineData("fail", OnUnmet.Fail)]
    [InlineData("serve", OnUnmet.Serve)]
    public async Task What_to_do_about_an_unmet_level_reaches_the_store(string value, OnUnmet expected)
    {
        door.Reset();
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key", ("Kv-On-Unmet", value));
        Assert.Equal(expected, door.Asked!.Read.OnUnmet);
    }

    [Theory]
    [InlineData("PUT")]
    [InlineData("DELETE")]
    [InlineData("POST")]
    public async Task The_acknowledgement_a_write_asks_for_reaches_the_store(string method)
    {
        door.Reset();
        await door.SendAsync(method, PathOf(method), ("Kv-Ack", "all"));
        Assert.Equal(WriteAck.All, door.Asked!.Ack);
        await door.SendAsync(method, PathOf(method));
        Assert.Equal(WriteAck.Majority, door.Asked!.Ack);
    }

    [Fact]
    public async Task Without_options_a_read_is_strong_and_has_five_seconds()
    {
        door.Reset();
        await door.SendAsync("GET", "/v1/kv/key");
        Assert.Equal(ReadLevel.Strong, door.Asked!.Read.Level);
        Assert.Equal(5000, door.Asked.TimeoutMs);
        Assert.Equal(KvRequest.MostHops, door.Asked.HopsLeft);
        Assert.Null(door.Asked.Id);
    }

    [Theory]
    [InlineData("If-Match", "*", ConditionKind.Exists, 0ul)]
    [InlineData("If-Match", "\"17\"", ConditionKind.RevisionIs, 17ul)]
    [InlineData("If-Match", "\"not ours\"", ConditionKind.None, 0ul)]
    [InlineData("If-Match", "\"foreign\"", ConditionKind.RevisionIs, ETag.NoRevision)]
    [InlineData("If-None-Match", "*", ConditionKind.Absent, 0ul)]
    public async Task Conditions_reach_the_store(string header, string value, ConditionKind kind, ulong revision)
    {
        door.Reset();
        await door.PutAsync("/v1/kv/key", [1], null, (header, value));
        if (kind == ConditionKind.None)
        {
            Assert.Null(door.Asked); // a space inside a tag: malformed
            return;
        }

        Assert.Equal(new KvCondition(kind, revision), Assert.IsType<Put>(door.Asked!.Operation).Condition);
    }

    [Fact]
    public async Task An_idempotency_key_becomes_the_identity_of_the_write()
    {
        door.Reset();
        await door.PutAsync("/v1/kv/key", [1], null, ("Idempotency-Key", "\"order-17\""), ("Kv-First-Sent", "1700000000000"));
        RequestId id = door.Asked!.Id!.Value;
        Assert.Equal(1700000000000ul, id.FirstSentMs);
        Assert.Equal(0ul, id.Sequence);
        await door.SendAsync("PUT", "/v1/kv/key?idempotencyKey=order-17");
        Assert.Equal(id.Client, door.Asked!.Id!.Value.Client);
        Assert.NotEqual(id.Digest, door.Asked.Id.Value.Digest);
    }

    [Fact]
    public async Task What_a_retry_may_change_is_not_in_the_digest()
    {
        door.Reset();
        SessionPoint seen = new(4, 5);
        GroupId group = new(1 + ((uint)Slot.Of("key"u8) / 4096));
        SessionToken token = SessionToken.Empty("test").With(group, seen, coversAll: false);
        await door.PutAsync("/v1/kv/key", [1], null, ("Idempotency-Key", "order-17"));
        KvRequest first = door.Asked!;
        await door.PutAsync(
            "/v1/kv/key", [1], null, ("Idempotency-Key", "order-17"), ("Kv-Timeout", "17ms"), ("Kv-Route", "strict"), ("Kv-Ack", "all"),
            ("Kv-Session", token.ToString()));
        KvRequest retry = door.Asked!;
        Assert.Equal((17, (byte)0, WriteAck.All, seen), (retry.TimeoutMs, retry.HopsLeft, retry.Ack, retry.Session));
        Assert.NotNull(first.Id);
        Assert.Equal(first.Id, retry.Id);
    }

    [Theory]
    [InlineData("GET", "Idempotency-Key", "a")]
    [InlineData("GET", "Kv-Ack", "all")]
    [InlineData("PUT", "Kv-Consistency", "strong")]
    [InlineData("PUT", "Kv-Max-Staleness", "5s")]
    [InlineData("PUT", "Kv-On-Unmet", "forward")]
    public async Task Options_that_say_nothing_about_a_request_may_be_sent_with_it(string method, string header, string value)
    {
        door.Reset();
        using HttpResponseMessage response = await door.SendAsync(method, PathOf(method), (header, value));
        Assert.True(response.IsSuccessStatusCode);
    }

    [Theory]
    [InlineData("1ms", 1)]
    [InlineData("500ms", 500)]
    [InlineData("5s", 5000)]
    [InlineData("1m", 60_000)]
    [InlineData("24h", 86_400_000)]
    public void Durations_are_a_number_and_a_unit(string text, int milliseconds)
    {
        Assert.True(RequestOptions.TryParseDuration(text, out int parsed));
        Assert.Equal(milliseconds, parsed);
    }

    [Theory]
    [InlineData("")]
    [InlineData("m")]
    [InlineData("ms")]
    [InlineData("5d")]
    [InlineData(" 5s")]
    [InlineData("5 s")]
    [InlineData("+5s")]
    [InlineData("2147483647m")]
    [InlineData("٥s")]
    public void Everything_else_is_no_duration(string text) => Assert.False(RequestOptions.TryParseDuration(text, out _));

    private static string PathOf(string method) => method == "POST" ? "/v1/incr/key" : "/v1/kv/key";
}
