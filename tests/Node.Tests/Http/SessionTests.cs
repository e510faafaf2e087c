using KvStore.Protocol;

namespace KvStore.Node.Tests.Http;

/// <summary>Session tokens at the HTTP door: what reaches the store of them, and what goes back.</summary>
public sealed class SessionTests(ScriptedDoor door) : IClassFixture<ScriptedDoor>
{
    private const uint History = 77;

    private static readonly GroupId KeysGroup = new(1 + ((uint)Slot.Of("key"u8) / 4096));
    private static readonly GroupId OtherGroup = new((KeysGroup.Value % 4) + 1);

    public static TheoryData<string, string, ErrorCode, int> Executed => new()
    {
        { "GET", "", ErrorCode.None, 200 },
        { "GET", "?ifNoneMatch=*", ErrorCode.None, 304 },
        { "GET", "?ifMatch=%221%22", ErrorCode.None, 412 },
        { "GET", "", ErrorCode.KeyNotFound, 404 },
        { "HEAD", "", ErrorCode.None, 200 },
        { "PUT", "", ErrorCode.None, 204 },
        { "PUT", "?ifMatch=%221%22", ErrorCode.ConditionFailed, 412 },
        { "DELETE", "", ErrorCode.None, 204 },
        { "DELETE", "?strict", ErrorCode.None, 404 },
        { "POST", "", ErrorCode.None, 200 },
        { "POST", "", ErrorCode.NotANumber, 409 },
        { "PUT", "?ack=all", ErrorCode.NotOnAll, 504 },
        { "POST", "", ErrorCode.TooLarge, 413 },
    };

    [Theory]
    [MemberData(nameof(Executed))]
    public async Task Every_executed_reply_begins_or_continues_a_session(string method, string query, ErrorCode code, int status)
    {
        door.Reset();
        door.Answer = request => Reply(code, request);
        using HttpResponseMessage first = await door.SendAsync(method, PathOf(method) + query);
        Assert.Equal(status, (int)first.StatusCode);
        Assert.Equal(new SessionPoint(88123, History), TokenOf(first).Find(KeysGroup));
        Assert.Single(TokenOf(first).Points);

        // What the session had seen of another group stays in it.
        SessionToken before = Empty().With(OtherGroup, new SessionPoint(5, History), coversAll: false).With(KeysGroup, new SessionPoint(7, History), coversAll: false);
        using HttpResponseMessage next = await door.SendAsync(method, PathOf(method) + query, ("Kv-Session", before.ToString()));
        Assert.Equal(status, (int)next.StatusCode);
        Assert.Equal(new SessionPoint(7, History), door.Asked!.Session);
        Assert.Equal(new SessionPoint(88123, History), TokenOf(next).Find(KeysGroup));
        Assert.Equal(new SessionPoint(5, History), TokenOf(next).Find(OtherGroup));
    }

    [Fact]
    public async Task A_group_that_holds_nothing_yet_adds_nothing_and_takes_nothing()
    {
        door.Reset();
        door.Answer = request => Reply(ErrorCode.KeyNotFound, request) with { History = 0 };
        SessionToken before = Empty().With(OtherGroup, new SessionPoint(5, History), coversAll: false);
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key", ("Kv-Session", before.ToString()));
        Assert.Equal(before.ToString(), response.Headers.GetValues("Kv-Session").Single());
    }

    [Theory]
    [InlineData(ErrorCode.NoLeader)]
    [InlineData(ErrorCode.Indeterminate)]
    [InlineData(ErrorCode.Timeout)]
    [InlineData(ErrorCode.TooStale)]
    [InlineData(ErrorCode.SessionTokenInvalid)]
    [InlineData(ErrorCode.IdempotencyInFlight)]
    [InlineData(ErrorCode.IdempotencyExpired)]
    [InlineData(ErrorCode.IdempotencyReused)]
    public async Task A_reply_that_executed_nothing_or_nobody_knows_carries_no_token(ErrorCode code)
    {
        door.Reset();
        door.Answer = _ => ScriptedDoor.Refused(code) with { Evidence = code == ErrorCode.TooStale ? ScriptedDoor.Evidence() : null };
        using HttpResponseMessage response = await door.SendAsync("PUT", "/v1/kv/key", ("Kv-Session", Empty().ToString()));
        Assert.False(response.Headers.Contains("Kv-Session"));
    }

    [Fact]
    public async Task A_session_never_goes_back()
    {
        door.Reset();
        door.Answer = request => Reply(ErrorCode.None, request);
        SessionToken ahead = Empty().With(KeysGroup, new SessionPoint(90000, History), coversAll: false);
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key?consistency=eventual&session=" + ahead);
        Assert.Equal(new SessionPoint(90000, History), TokenOf(response).Find(KeysGroup));
    }

    [Theory]
    [InlineData("session", ReadLevel.Strong)]
    [InlineData("bounded", ReadLevel.Bounded)]
    [InlineData("eventual", ReadLevel.Eventual)]
    public async Task A_token_that_dropped_groups_makes_session_reads_of_absent_ones_strong(string level, ReadLevel asked)
    {
        // Only a cluster of more than 64 groups makes such tokens.
        ScriptedDoor large = new() { Config = door.Config with { Groups = 256 }, Answer = request => Reply(ErrorCode.None, request) };
        await large.InitializeAsync();
        SessionToken token = Empty();
        for (uint group = 0; group <= SessionToken.MaxGroups; group++)
        {
            token = token.With(new GroupId(100 + group), new SessionPoint(1, History), coversAll: false);
        }

        Assert.True(token.NeedsStrong(KeysGroup));
        using HttpResponseMessage response = await large.SendAsync(
            "GET", "/v1/kv/key", ("Kv-Consistency", level), ("Kv-Session", token.ToString()));
        Assert.Equal(200, (int)response.StatusCode);
        Assert.Equal(asked, large.Asked!.Read.Level);
        Assert.True(TokenOf(response).Overflow);

        // Of a group that the token knows, it knows enough.
        token = token.With(KeysGroup, new SessionPoint(3, History), coversAll: true);
        using HttpResponseMessage known = await large.SendAsync(
            "GET", "/v1/kv/key?consistency=session", ("Kv-Session", token.ToString()));
        Assert.Equal(ReadLevel.Session, large.Asked!.Read.Level);
        await large.DisposeAsync();
    }

    [Fact]
    public async Task A_session_read_without_a_token_has_no_requirement()
    {
        door.Reset();
        door.Answer = request => Reply(ErrorCode.None, request);
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key?consistency=session");
        Assert.Equal(ReadLevel.Session, door.Asked!.Read.Level);
        Assert.True(door.Asked.Session.IsNone);
        Assert.False(TokenOf(response).Overflow);
    }

    public static TheoryData<string, string> BadTokens => new()
    {
        { "abc", "unreadable" },
        { "", "unreadable" },
        { "not base64url!", "unreadable" },
        { Empty().ToString()[..^1], "unreadable" },
        { SessionToken.Empty("elsewhere").ToString(), "another cluster than test" },
        { Empty().With(new GroupId(5), new SessionPoint(1, History), coversAll: false).ToString(), "groups 1 to 4" },
        { Empty().With(new GroupId(0), new SessionPoint(1, History), coversAll: false).ToString(), "groups 1 to 4" },
    };

    [Theory]
    [MemberData(nameof(BadTokens))]
    public async Task A_token_that_is_not_ours_is_refused_by_name(string token, string hint)
    {
        foreach (string method in new[] { "GET", "PUT", "DELETE", "POST" })
        {
            door.Reset();
            using HttpResponseMessage response = await door.SendAsync(method, PathOf(method), ("Kv-Session", token));
            ProblemDocument problem = await ProblemDocument.ReadAsync(response, 400, "SessionTokenInvalid");
            Assert.Equal("urn:kvstore:problem:session-token-invalid", problem.Type);
            Assert.Contains(hint, problem.Detail, StringComparison.Ordinal);
            Assert.Equal("not-applied", problem.Outcome);
            Assert.Null(door.Asked);
        }
    }

    [Theory]
    [InlineData(0, 400)]
    [InlineData(1, 431)]
    public async Task A_token_longer_than_any_of_ours_is_too_long(int over, int status)
    {
        door.Reset();
        string token = new('A', SessionToken.MaxTextLength + over);
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key", ("Kv-Session", token));
        ProblemDocument problem = await ProblemDocument.ReadAsync(response, status, over == 0 ? "SessionTokenInvalid" : "TooLarge");
        Assert.Equal(over == 1, problem.Detail.Contains($"limit is {SessionToken.MaxTextLength}", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(480u, "480")]
    [InlineData(Evidence.AgeUnknown, "unknown")]
    public async Task Too_stale_tells_the_best_age_there_was(uint ageMs, string staleness)
    {
        door.Reset();
        door.Answer = _ => ScriptedDoor.Refused(ErrorCode.TooStale) with
        {
            Evidence = ScriptedDoor.Evidence(ReadLevel.Eventual, ageMs),
            RetryAfterMs = 200,
        };
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key?maxStaleness=100ms&onUnmet=fail");
        ProblemDocument problem = await ProblemDocument.ReadAsync(response, 503, "TooStale");
        Assert.Equal(ageMs == Evidence.AgeUnknown ? null : ageMs, problem.BestStalenessMs);
        Assert.Equal(200, problem.RetryAfterMs);
        Assert.Equal("1", response.Headers.GetValues("Retry-After").Single());
        Assert.Equal(staleness, response.Headers.GetValues("Kv-Staleness").Single());
        Assert.StartsWith("node=n2; role=follower", response.Headers.GetValues("Kv-Served-By").Single(), StringComparison.Ordinal);
        Assert.False(response.Headers.Contains("Kv-Consistency"));
    }

    [Fact]
    public async Task A_lag_is_never_a_bare_count()
    {
        door.Reset();
        door.Answer = request => Reply(ErrorCode.None, request) with { Lag = new ReplicaLag(3, 87) };
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key?maxLag=5");
        Assert.Equal("entries=3; age=87", response.Headers.GetValues("Kv-Lag").Single());
    }

    private static KvReply Reply(ErrorCode code, KvRequest request) => new()
    {
        Code = code,
        Outcome = ErrorCodes.Of(code).Outcome,
        Result = code is ErrorCode.None or ErrorCode.NotOnAll
            ? ScriptedDoor.Success(request).Result
            : new Current(ScriptedDoor.Revision),
        Evidence = ScriptedDoor.Evidence() with { Group = KeysGroup },
        History = History,
        Epoch = 7,
    };

    private static SessionToken Empty() => SessionToken.Empty("test");

    private static SessionToken TokenOf(HttpResponseMessage response)
    {
        Assert.True(SessionToken.TryParse(response.Headers.GetValues("Kv-Session").Single(), "test", out SessionToken? token, out _));
        return token;
    }

    private static string PathOf(string method) => method == "POST" ? "/v1/incr/key" : "/v1/kv/key";
}
