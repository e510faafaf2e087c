using System.Net.Http.Json;
using System.Text.Json;
using KvStore.Node.Http;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Http;

/// <summary>What explain makes of the replicas' answers. The door is n1's; n2 leads, n1 and n3 follow.</summary>
public sealed class ExplainTests(ScriptedDoor door) : IClassFixture<ScriptedDoor>
{
    private const uint History = 77;

    private static readonly NodeId N1 = new(1);
    private static readonly NodeId N2 = new(2);
    private static readonly NodeId N3 = new(3);
    private static readonly GroupId KeysGroup = new(1 + ((uint)Slot.Of("key"u8) / 4096));

    [Fact]
    public async Task It_shows_the_way_of_the_key_and_every_replica_by_its_own_word()
    {
        door.Reset();
        door.AnswerOf = (node, request) => node == N3
            ? ScriptedDoor.ReplicaOf(node, request, Evidence.AgeUnknown, applied: 90)
            : ScriptedDoor.ReplicaOf(node, request);
        JsonElement json = await ExplainAsync("consistency=bounded&maxStaleness=100ms");
        Assert.Equal("key", json.GetProperty("key").GetString());
        Assert.Equal(Slot.Of("key"u8), json.GetProperty("slot").GetInt32());
        Assert.Equal(Slot.Of("key"u8) / 1024, json.GetProperty("virtualNode").GetInt32());
        Assert.Equal(KeysGroup.Value, json.GetProperty("group").GetUInt32());
        Assert.Equal("n1", json.GetProperty("askedNode").GetString());
        Assert.Equal("bounded", json.GetProperty("read").GetProperty("consistency").GetString());
        Assert.Equal(100, json.GetProperty("read").GetProperty("maxStalenessMs").GetInt32());

        JsonElement n2 = Replica(json, "n2");
        Assert.True(n2.GetProperty("reachable").GetBoolean());
        Assert.Equal("leader", n2.GetProperty("role").GetString());
        Assert.Equal(9, n2.GetProperty("term").GetInt32());
        Assert.Equal(100, n2.GetProperty("applied").GetInt32());
        Assert.Equal(50, n2.GetProperty("stalenessMs").GetInt32());
        Assert.True(n2.GetProperty("canServe").GetBoolean());
        JsonElement n3 = Replica(json, "n3");
        Assert.Equal("follower", n3.GetProperty("role").GetString());
        Assert.Equal(JsonValueKind.Null, n3.GetProperty("stalenessMs").ValueKind);
        Assert.False(n3.GetProperty("canServe").GetBoolean());
        Assert.Contains("no proof", n3.GetProperty("reason").GetString(), StringComparison.Ordinal);
        Assert.Equal(("n1", "local"), WouldServe(json));
    }

    [Theory]
    [InlineData("consistency=eventual", true, true, "n1", "local")]
    [InlineData("consistency=session", true, true, "n1", "local")]
    [InlineData("consistency=strong", false, true, "n1", "asks-leader")]
    [InlineData("consistency=strong&onUnmet=fail", false, true, null, "fails")]
    [InlineData("maxStaleness=300ms", true, true, "n1", "local")]
    [InlineData("maxStaleness=299ms", false, true, "n1", "asks-leader")]
    [InlineData("maxStaleness=299ms&onUnmet=fail", false, true, null, "fails")]
    [InlineData("maxStaleness=299ms&onUnmet=serve", false, true, "n1", "local")]
    [InlineData("maxLag=7", true, true, "n1", "local")]
    [InlineData("maxLag=6", false, true, "n1", "asks-leader")]
    [InlineData("maxLag=7&maxStaleness=1s", true, true, "n1", "local")]
    [InlineData("maxLag=6&maxStaleness=1s", false, true, "n1", "asks-leader")]
    [InlineData("maxLag=7&maxStaleness=1ms", false, false, "n1", "asks-leader")]
    public async Task Each_level_says_who_can_and_who_would(string query, bool n1Can, bool n2Can, string? node, string how)
    {
        door.Reset();
        door.AnswerOf = (asked, request) => asked == N2
            ? ScriptedDoor.ReplicaOf(asked, request)
            : ScriptedDoor.ReplicaOf(asked, request, ageMs: 300, lag: 7);
        JsonElement json = await ExplainAsync(query);
        Assert.Equal(n1Can, Replica(json, "n1").GetProperty("canServe").GetBoolean());
        Assert.Equal(n2Can, Replica(json, "n2").GetProperty("canServe").GetBoolean());
        Assert.Equal((node, how), WouldServe(json));
        Assert.EndsWith(".", json.GetProperty("wouldServe").GetProperty("reason").GetString(), StringComparison.Ordinal);
        Assert.Null(door.Asked);
    }

    [Theory]
    [InlineData(100ul, History, "", true, "n1", "local")]
    [InlineData(101ul, History, "", false, "n1", "asks-leader")]
    [InlineData(101ul, History, "&onUnmet=fail", false, "n1", "waits")]
    [InlineData(101ul, History, "&onUnmet=serve", false, "n1", "local")]
    [InlineData(100ul, History + 1, "", false, null, "fails")]
    public async Task A_session_is_compared_with_what_each_replica_shows(
        ulong seen, uint history, string more, bool n1Can, string? node, string how)
    {
        door.Reset();
        SessionToken token = SessionToken.Empty("test").With(KeysGroup, new SessionPoint(seen, history), coversAll: false);
        JsonElement json = await ExplainAsync($"consistency=session&session={token}{more}");
        Assert.Equal(seen, json.GetProperty("read").GetProperty("sessionApplied").GetUInt64());
        Assert.Equal(n1Can, Replica(json, "n1").GetProperty("canServe").GetBoolean());
        Assert.Equal((node, how), WouldServe(json));
    }

    [Fact]
    public async Task A_replica_that_does_not_answer_within_a_second_is_not_reachable()
    {
        door.Reset();
        door.AnswerOf = (node, request) => node == N2 ? null : ScriptedDoor.ReplicaOf(node, request);
        JsonElement json = await ExplainAsync("consistency=strong");
        JsonElement n2 = Replica(json, "n2");
        Assert.False(n2.GetProperty("reachable").GetBoolean());
        Assert.False(n2.GetProperty("canServe").GetBoolean());
        Assert.Equal(JsonValueKind.Null, n2.GetProperty("role").ValueKind);
        Assert.Equal(("n1", "asks-leader"), WouldServe(json)); // as the read itself would: n1's replica still follows n2

        door.Groups = [.. door.Groups.Select(group => group with { Leader = NodeId.None })];
        Assert.Equal((null, "waits"), WouldServe(await ExplainAsync("consistency=strong")));
    }

    [Fact]
    public async Task A_leader_of_an_older_term_is_not_believed()
    {
        door.Reset();
        door.AnswerOf = (node, request) => ScriptedDoor.ReplicaOf(node, request) is var reply && node == N3
            ? reply with { Evidence = reply.Evidence!.Value with { Role = ServedRole.Leader, Term = 10 } }
            : reply;
        JsonElement json = await ExplainAsync("consistency=strong");
        Assert.Contains("the leader n3", json.GetProperty("wouldServe").GetProperty("reason").GetString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ReadLevel.Strong, true, "n2")]
    [InlineData(ReadLevel.Strong, false, null)]
    [InlineData(ReadLevel.Eventual, true, null)]
    public void A_node_without_a_replica_passes_reads_on(ReadLevel level, bool isLed, string? node)
    {
        KvRequest read = new() { Operation = new Get("key"u8), Read = new ReadTerms { Level = level }, HopsLeft = 1 };
        ReplicaAnswer[] replicas = [new(N2, isLed ? ScriptedDoor.ReplicaOf(N2, read) : null), new(N3, ScriptedDoor.ReplicaOf(N3, read))];
        ExplainedService would = new ReadForecast(read, replicas, own: null, new NodeDirectory(door.Config.Nodes), N1).Foresee();
        Assert.Equal((node, "forwards"), (would.Node, would.How));
    }

    [Fact]
    public async Task Replicas_are_asked_for_their_own_state_without_the_value()
    {
        door.Reset();
        List<KvRequest> asked = [];
        door.AnswerOf = (node, request) =>
        {
            lock (asked)
            {
                asked.Add(request);
            }

            return ScriptedDoor.ReplicaOf(node, request);
        };
        await ExplainAsync("consistency=strong");
        Assert.Equal(3, asked.Count);
        Assert.All(asked, request =>
        {
            Assert.True(Assert.IsType<Get>(request.Operation).WithoutValue);
            Assert.Equal((ReadLevel.Eventual, (byte)0), (request.Read.Level, request.HopsLeft));
        });
    }

    [Fact]
    public async Task Any_key_can_be_explained()
    {
        door.Reset();
        JsonElement binary = await door.Client.GetFromJsonAsync<JsonElement>("/v1/explain/__4?keyEncoding=base64url");
        Assert.Equal(("__4", "base64url"), (binary.GetProperty("key").GetString(), binary.GetProperty("keyEncoding").GetString()));
        Assert.Equal(Slot.Of([0xFF, 0xFE]), binary.GetProperty("slot").GetInt32());
        JsonElement slashes = await door.Client.GetFromJsonAsync<JsonElement>("/v1/explain/a/b%2Fc?consistency=eventual");
        Assert.Equal("a/b/c", slashes.GetProperty("key").GetString());
    }

    [Theory]
    [InlineData("consistency=weak", "InvalidRequest")]
    [InlineData("maxStaleness=1d", "InvalidRequest")]
    [InlineData("keyEncoding=hex", "InvalidRequest")]
    [InlineData("ifMatch=*", "InvalidRequest")]
    [InlineData("session=abc", "SessionTokenInvalid")]
    public async Task What_a_read_refuses_explain_refuses(string query, string code)
    {
        door.Reset();
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/explain/key?" + query);
        await ProblemDocument.ReadAsync(response, 400, code);
    }

    [Fact]
    public async Task A_minted_token_holds_what_this_node_has_applied()
    {
        door.Reset();
        door.SessionPoints = [new(new GroupId(1), new SessionPoint(5, History)), new(new GroupId(4), new SessionPoint(9, History))];
        using HttpResponseMessage response = await door.SendAsync("GET", "/v1/session");
        JsonElement json = await response.Content.ReadFromJsonAsync<JsonElement>();
        string text = json.GetProperty("session").GetString()!;
        Assert.Equal(text, response.Headers.GetValues("Kv-Session").Single());
        Assert.True(response.Headers.CacheControl!.NoStore);
        Assert.Equal("n1", json.GetProperty("node").GetString());
        Assert.Equal(2, json.GetProperty("groups").GetInt32());
        Assert.False(json.GetProperty("overflow").GetBoolean());
        Assert.True(SessionToken.TryParse(text, "test", out SessionToken? token, out _));
        Assert.Equal(door.SessionPoints, token.Points);
    }

    private static JsonElement Replica(JsonElement json, string node) =>
        json.GetProperty("replicas").EnumerateArray().Single(replica => replica.GetProperty("node").GetString() == node);

    private static (string? Node, string How) WouldServe(JsonElement json) =>
        (json.GetProperty("wouldServe").GetProperty("node").GetString(), json.GetProperty("wouldServe").GetProperty("how").GetString()!);

    private Task<JsonElement> ExplainAsync(string query) => door.Client.GetFromJsonAsync<JsonElement>("/v1/explain/key?" + query);
}
