using KvStore.Protocol;

namespace KvStore.Node.Tests.Http;

public sealed class ProblemTests(ScriptedDoor door) : IClassFixture<ScriptedDoor>
{
    public static TheoryData<ErrorCode> EveryFailure => [.. Enum.GetValues<ErrorCode>().Where(code => code != ErrorCode.None)];

    [Theory]
    [MemberData(nameof(EveryFailure))]
    public async Task Every_code_becomes_its_problem(ErrorCode code)
    {
        door.Reset();
        door.Answer = _ => ScriptedDoor.Refused(code);
        ErrorCodeEntry entry = ErrorCodes.Of(code);
        using HttpResponseMessage response = await door.PutAsync("/v1/kv/key", [1]);
        ProblemDocument problem = await ProblemDocument.ReadAsync(response, entry.HttpStatus, code.ToString());
        Assert.Equal(entry.Urn, problem.Type);
        Assert.Equal(entry.Retryable, problem.Retryable);
        string? outcome = entry.Outcome switch
        {
            Outcome.NotApplied => "not-applied",
            Outcome.Unknown => "unknown",
            Outcome.Applied => "applied",
            _ => null,
        };
        Assert.Equal(outcome, problem.Outcome);
        Assert.Equal("Because.", problem.Detail);
        Assert.Equal("7", response.Headers.GetValues("Kv-Ring-Epoch").Single());
        bool retryLater = (int)response.StatusCode is 429 or 503;
        Assert.Equal(retryLater, response.Headers.RetryAfter is not null);
        Assert.Equal(retryLater, problem.RetryAfterMs is not null);
    }

    [Theory]
    [InlineData(ErrorCode.InvalidRequest, 400)]
    [InlineData(ErrorCode.KeyNotFound, 404)]
    [InlineData(ErrorCode.NotANumber, 409)]
    [InlineData(ErrorCode.ConditionFailed, 412)]
    [InlineData(ErrorCode.TooLarge, 413)]
    [InlineData(ErrorCode.WrongNode, 421)]
    [InlineData(ErrorCode.IdempotencyReused, 422)]
    [InlineData(ErrorCode.Overloaded, 429)]
    [InlineData(ErrorCode.Internal, 500)]
    [InlineData(ErrorCode.NoLeader, 503)]
    [InlineData(ErrorCode.Indeterminate, 504)]
    [InlineData(ErrorCode.DiskFull, 507)]
    public async Task The_statuses_are_the_documented_ones(ErrorCode code, int status)
    {
        door.Reset();
        door.Answer = _ => ScriptedDoor.Refused(code);
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key");
        Assert.Equal(status, (int)response.StatusCode);
    }

    [Fact]
    public async Task What_the_store_proved_wins_over_what_the_code_proves()
    {
        door.Reset();
        door.Answer = _ => new KvReply { Code = ErrorCode.Internal, Outcome = Outcome.NotApplied, Detail = "It was never proposed." };
        using HttpResponseMessage response = await door.PutAsync("/v1/kv/key", [1]);
        Assert.Equal("not-applied", (await ProblemDocument.ReadAsync(response, 500, "Internal")).Outcome);
    }

    [Fact]
    public async Task No_leader_says_which_group_who_might_lead_and_when_to_try_again()
    {
        door.Reset();
        door.Answer = _ => new KvReply
        {
            Code = ErrorCode.NoLeader,
            Outcome = Outcome.NotApplied,
            Detail = "Nobody.",
            LeaderHint = new NodeId(3),
            RetryAfterMs = 1200,
            Epoch = 7,
        };
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key");
        ProblemDocument problem = await ProblemDocument.ReadAsync(response, 503, "NoLeader");
        Assert.Equal("http://127.0.0.1:7103", problem.Leader);
        Assert.Equal("http://127.0.0.1:7103", response.Headers.GetValues("Kv-Leader").Single());
        Assert.Equal(1200, problem.RetryAfterMs);
        Assert.Equal("2", response.Headers.GetValues("Retry-After").Single());
        Assert.Equal(1u + ((uint)Slot.Of("key"u8) / 1024 / 4), problem.Group);
        Assert.False(response.Headers.Contains("Kv-Served-By"));
    }

    [Fact]
    public async Task An_unknown_route_is_not_a_missing_key()
    {
        door.Reset();
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kx/key");
        ProblemDocument problem = await ProblemDocument.ReadAsync(response, 404, "InvalidRequest");
        Assert.Equal("urn:kvstore:problem:unknown-route", problem.Type);
        door.Answer = _ => ScriptedDoor.Refused(ErrorCode.KeyNotFound);
        using HttpResponseMessage missing = await door.SendAsync("GET", "/v1/kv/key");
        Assert.Equal("urn:kvstore:problem:key-not-found", (await ProblemDocument.ReadAsync(missing, 404, "KeyNotFound")).Type);
    }

    [Fact]
    public async Task A_wrong_method_is_told_which_ones_are_right()
    {
        door.Reset();
        using HttpResponseMessage response = await door.SendAsync("PATCH", "/v1/kv/key");
        ProblemDocument problem = await ProblemDocument.ReadAsync(response, 405, "InvalidRequest");
        Assert.Equal("urn:kvstore:problem:method-not-allowed", problem.Type);
        Assert.Equal(["DELETE", "GET", "HEAD", "PUT"], response.Content.Headers.Allow.Order());
    }

    [Fact]
    public async Task A_problem_on_HEAD_has_its_headers_and_no_body()
    {
        door.Reset();
        door.Answer = _ => ScriptedDoor.Refused(ErrorCode.KeyNotFound) with { Evidence = ScriptedDoor.Evidence() };
        string answer = await door.SendRawAsync("HEAD /v1/kv/key HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 404", answer, StringComparison.Ordinal);
        Assert.Contains("application/problem+json", answer, StringComparison.Ordinal);
        Assert.Contains("Kv-Served-By: node=n2", answer, StringComparison.Ordinal);
        Assert.EndsWith("\r\n\r\n", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task While_the_log_is_read_every_data_route_says_starting()
    {
        door.Reset();
        door.Recovered = false;
        foreach ((string method, string path) in new[]
        {
            ("GET", "/v1/kv/key"), ("PUT", "/v1/kv/key"), ("DELETE", "/v1/b64/a2V5"), ("POST", "/v1/incr/key"), ("GET", "/v1/locate/key"),
            ("GET", "/v1/explain/key"), ("GET", "/v1/session"),
            ("GET", "/v1/cluster"), ("GET", "/v1/cluster/groups"), ("GET", "/v1/cluster/groups/1"), ("GET", "/health/ready"),
            ("GET", "/health/startup"),
        })
        {
            using HttpResponseMessage response = await door.SendAsync(method, path);
            ProblemDocument problem = await ProblemDocument.ReadAsync(response, 503, "Starting");
            Assert.Equal("not-applied", problem.Outcome);
            Assert.NotNull(response.Headers.RetryAfter);
        }
    }

    [Fact]
    public async Task A_failing_handler_is_an_internal_error_and_the_node_goes_on()
    {
        door.Reset();
        door.Answer = _ => throw new InvalidOperationException("scripted");
        using HttpResponseMessage response = await door.PutAsync("/v1/kv/key", [1]);
        ProblemDocument problem = await ProblemDocument.ReadAsync(response, 500, "Internal");
        Assert.Equal("unknown", problem.Outcome);
        Assert.DoesNotContain("scripted", problem.Detail, StringComparison.Ordinal);
        door.Reset();
        using HttpResponseMessage next = await door.SendAsync("GET", "/v1/kv/key");
        Assert.Equal(200, (int)next.StatusCode);
    }

    [Fact]
    public async Task A_code_from_a_newer_node_is_an_internal_error()
    {
        door.Reset();
        door.Answer = _ => new KvReply { Code = (ErrorCode)999, Outcome = Outcome.Unknown, Detail = "New." };
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/kv/key");
        await ProblemDocument.ReadAsync(response, 500, "999");
    }
}
