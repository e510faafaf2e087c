using System.Net;
using System.Text;
using System.Text.Json;
using KvStore.Node.Tests.Hosting;
using KvStore.Protocol;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Node.Tests.Http;

public sealed class TransactionRouteTests(ScriptedDoor door) : IClassFixture<ScriptedDoor>
{
    [Fact]
    public async Task Conditions_and_operations_are_read_as_they_are_written()
    {
        door.Reset();
        Transaction? seen = null;
        door.Answer = request =>
        {
            seen = (Transaction)request.Operation;
            return ScriptedDoor.Refused(ErrorCode.NoLeader);
        };
        const string Body = """
            {
              "if": [
                {"key": "{t}a", "is": "absent"}, {"key": "{t}b", "is": "exists"}, {"key": "{t}c", "is": {"revision": "17"}},
                {"key": "{t}d", "is": {"revision": "\"18\""}}, {"key": "{t}e", "is": {"value": "v"}},
                {"key": "{t}f", "is": {"value": "AP8=", "encoding": "base64", "contentType": "image/png"}}
              ],
              "then": [
                {"op": "put", "key": "{t}a", "value": "text"}, {"op": "put", "key": "{t}b", "value": "AP8=", "encoding": "base64"},
                {"op": "put", "key": "{t}c", "value": "{}", "contentType": "application/json", "ifMatch": "5"},
                {"op": "append", "key": "{t}d", "value": "more", "ifAbsent": true}, {"op": "delete", "key": "{t}e", "ifMatch": "*"},
                {"op": "incr", "key": "{t}f", "delta": "-9223372036854775808", "initial": 3}, {"op": "get", "key": "e3R9ZQ", "keyEncoding": "base64url"}
              ],
              "else": [{"op": "incr", "key": "{t}g"}]
            }
            """;
        using HttpResponseMessage response = await PostAsync(Body);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        var expected = new Transaction(
            [
                KeyCondition.Absent(Bytes("{t}a")), KeyCondition.Exists(Bytes("{t}b")), KeyCondition.RevisionIs(Bytes("{t}c"), 17),
                KeyCondition.RevisionIs(Bytes("{t}d"), 18), KeyCondition.ValueIs(Bytes("{t}e"), Bytes("v")),
                KeyCondition.StoredIs(Bytes("{t}f"), [0, 255], "image/png"),
            ],
            [
                new Put("{t}a"u8, "text"u8, "text/plain"), new Put("{t}b"u8, [0, 255]),
                new Put("{t}c"u8, "{}"u8, "application/json", new KvCondition(ConditionKind.RevisionIs, 5)),
                new Append("{t}d"u8, "more"u8, "text/plain", new KvCondition(ConditionKind.Absent)),
                new Delete("{t}e"u8, new KvCondition(ConditionKind.Exists)), new Increment("{t}f"u8, long.MinValue, 3), new Get("{t}e"u8),
            ],
            [new Increment("{t}g"u8)]);
        Assert.Equal<Operation>(expected, seen);
    }

    [Theory]
    [InlineData("", "not the JSON")]
    [InlineData("[]", "must be an object")]
    [InlineData("{}", "1 to 512")]
    [InlineData("""{"then": [], "than": []}""", "than is not known here; did you mean then?")]
    [InlineData("""{"then": [], "then": []}""", "not the JSON")]
    [InlineData("""{"then": {}}""", "then must be a list")]
    [InlineData("""{"then": [1]}""", "then[0] must be an object")]
    [InlineData("""{"then": [{"key": "k"}]}""", "then[0].op is missing")]
    [InlineData("""{"then": [{"op": "get"}]}""", "then[0].key is missing")]
    [InlineData("""{"then": [{"op": "put", "key": "k"}]}""", "then[0].value is missing")]
    [InlineData("""{"then": [{"op": "touch", "key": "k"}]}""", "touch")]
    [InlineData("""{"then": [{"op": "batch", "key": "k"}]}""", "get, put, delete, del, incr, append")]
    [InlineData("""{"then": [{"op": "txn", "key": "k"}]}""", "get, put, delete, del, incr, append")]
    [InlineData("""{"then": [{"op": "get", "key": "k", "delta": 1}]}""", "then[0].delta is not known here")]
    [InlineData("""{"then": [{"op": "put", "key": "k", "value": 1}]}""", "then[0].value must be a text")]
    [InlineData("""{"then": [{"op": "put", "key": "k", "value": "\ud800"}]}""", "surrogate")]
    [InlineData("""{"then": [{"op": "put", "key": "k", "value": "!", "encoding": "base64"}]}""", "must be base64")]
    [InlineData("""{"then": [{"op": "put", "key": "k", "value": "v", "encoding": "hex"}]}""", "\"utf8\" or \"base64\"")]
    [InlineData("""{"then": [{"op": "put", "key": "k", "value": "v", "contentType": "a\r\nb"}]}""", "printable ASCII")]
    [InlineData("""{"then": [{"op": "incr", "key": "k", "delta": 1.5}]}""", "whole number")]
    [InlineData("""{"then": [{"op": "incr", "key": "k", "delta": 9223372036854775808}]}""", "whole number")]
    [InlineData("""{"then": [{"op": "delete", "key": "k", "ifMatch": "x"}]}""", "must be a revision")]
    [InlineData("""{"then": [{"op": "delete", "key": "k", "ifMatch": "1", "ifAbsent": true}]}""", "beside ifAbsent")]
    [InlineData("""{"if": [{"key": "k"}]}""", "if[0].is is missing")]
    [InlineData("""{"if": [{"key": "k", "is": "there"}]}""", "if[0].is must be")]
    [InlineData("""{"if": [{"key": "k", "is": {}}]}""", "if[0].is.value is missing")]
    [InlineData("""{"if": [{"key": "k", "is": {"revision": "0"}}]}""", "if[0].is.revision must be a revision")]
    [InlineData("""{"if": [{"key": "k", "is": {"revision": "1", "value": "v"}}]}""", "if[0].is.value is not known here")]
    public async Task What_is_wrong_is_said_with_its_place(string body, string expected)
    {
        door.Reset();
        using HttpResponseMessage response = await PostAsync(body);
        string problem = await response.Content.ReadAsStringAsync();
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Contains(expected, JsonDocument.Parse(problem).RootElement.GetProperty("detail").GetString(), StringComparison.Ordinal);
        Assert.Contains("not-applied", problem, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_not_said_to_be_JSON_is_refused()
    {
        door.Reset();
        using var content = new StringContent("{}", Encoding.UTF8, "text/plain");
        using HttpResponseMessage response = await door.Client.PostAsync("/v1/txn", content);
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, response.StatusCode);
    }

    [Fact]
    public async Task A_transaction_is_run_on_real_nodes()
    {
        using var folder = new TestCluster(nodes: 3);
        await using RunningCluster cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);

        const string Open = """
            {"if": [{"key": "{bank}a", "is": "absent"}],
             "then": [{"op": "put", "key": "{bank}a", "value": "100"}, {"op": "put", "key": "{bank}b", "value": "0"}],
             "else": [{"op": "get", "key": "{bank}a"}, {"op": "get", "key": "{bank}b"}, {"op": "get", "key": "{bank}none"}]}
            """;
        JsonElement opened = await RunAsync(cluster, 0, Open);
        Assert.True(opened.GetProperty("succeeded").GetBoolean());
        Assert.All(opened.GetProperty("results").EnumerateArray(), item => Assert.True(item.GetProperty("created").GetBoolean()));

        JsonElement there = await RunAsync(cluster, 1, Open);
        Assert.False(there.GetProperty("succeeded").GetBoolean());
        Assert.Equal(
            ["100", "0", "none"],
            there.GetProperty("results").EnumerateArray().Select(item => item.GetProperty("found").GetBoolean() ? item.GetProperty("value").GetString() : "none"));

        const string Move = """
            {"if": [{"key": "{bank}a", "is": {"value": "100"}}],
             "then": [{"op": "get", "key": "{bank}a"}, {"op": "incr", "key": "{bank}a", "delta": -30}, {"op": "incr", "key": "{bank}b", "delta": 30}]}
            """;
        JsonElement moved = await RunAsync(cluster, 2, Move, "move-1");
        JsonElement again = await RunAsync(cluster, 0, Move, "move-1");
        Assert.Equal([70, 30], moved.GetProperty("results").EnumerateArray().Skip(1).Select(item => item.GetProperty("value").GetInt64()));
        Assert.Equal(moved.GetProperty("revision").GetString(), again.GetProperty("revision").GetString());
        Assert.Equal("Superseded", again.GetProperty("results")[0].GetProperty("code").GetString());
        Assert.Equal("70", await cluster.GetAsync(cluster.Nodes[1], "%7Bbank%7Da"));

        using HttpResponseMessage failed = await SendAsync(
            cluster, 0, """{"then": [{"op": "put", "key": "{bank}c", "value": "x"}, {"op": "incr", "key": "{bank}c"}]}""", null);
        Assert.Equal(HttpStatusCode.Conflict, failed.StatusCode);
        Assert.Contains("item 1", await failed.Content.ReadAsStringAsync(), StringComparison.Ordinal);

        using HttpResponseMessage apart = await SendAsync(cluster, 0, """{"then": [{"op": "get", "key": "a"}, {"op": "get", "key": "b"}]}""", null);
        Assert.Equal(HttpStatusCode.BadRequest, apart.StatusCode);
        string problem = await apart.Content.ReadAsStringAsync();
        Assert.Contains("CrossGroupTransaction", problem, StringComparison.Ordinal);
        Assert.Contains("slots", problem, StringComparison.Ordinal);
    }

    private static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    private static async Task<HttpResponseMessage> SendAsync(RunningCluster cluster, int node, string body, string? idempotencyKey)
    {
        using var content = new StringContent(body, Encoding.UTF8, "application/json");
        using var request = new HttpRequestMessage(HttpMethod.Post, RunningCluster.Url(cluster.Nodes[node], "/v1/txn")) { Content = content };
        if (idempotencyKey is not null)
        {
            request.Headers.Add("Idempotency-Key", $"\"{idempotencyKey}\"");
        }

        return await cluster.Http.SendAsync(request);
    }

    private static async Task<JsonElement> RunAsync(RunningCluster cluster, int node, string body, string? idempotencyKey = null)
    {
        using HttpResponseMessage response = await SendAsync(cluster, node, body, idempotencyKey);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == HttpStatusCode.OK, text);
        return JsonDocument.Parse(text).RootElement;
    }

    private async Task<HttpResponseMessage> PostAsync(string body)
    {
        using var content = new StringContent(body, Encoding.UTF8, "application/json");
        return await door.Client.PostAsync("/v1/txn", content);
    }
}
