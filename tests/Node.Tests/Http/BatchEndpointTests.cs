using System.Net;
using System.Text;
using System.Text.Json;
using KvStore.Node.Tests.Hosting;
using KvStore.Protocol;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Node.Tests.Http;

public sealed class BatchEndpointTests(ScriptedDoor door) : IClassFixture<ScriptedDoor>
{
    [Fact]
    public async Task Each_item_has_an_outcome_of_its_own()
    {
        door.Reset();
        door.Answer = request => request.Operation switch
        {
            Delete => ScriptedDoor.Refused(ErrorCode.NoLeader),
            Increment => ScriptedDoor.Refused(ErrorCode.Indeterminate),
            Append => ScriptedDoor.Refused(ErrorCode.KeyNotFound),
            _ => new KvReply { Outcome = Outcome.Applied, Result = new Written(7, Created: true) },
        };
        JsonElement answer = await RunAsync("""
            {"items": [{"op": "put", "key": "a", "value": "1"}, {"op": "delete", "key": "b"}, {"op": "incr", "key": "c"},
                       {"op": "append", "key": "d", "value": "x"}]}
            """);
        Assert.False(answer.GetProperty("atomic").GetBoolean());
        JsonElement[] results = [.. answer.GetProperty("results").EnumerateArray()];
        Assert.Equal([201, 503, 504, 404], results.Select(item => item.GetProperty("status").GetInt32()));
        Assert.Equal("7", results[0].GetProperty("revision").GetString());
        Assert.Equal(("NoLeader", "not-applied"), (results[1].GetProperty("code").GetString(), results[1].GetProperty("outcome").GetString()));
        Assert.Equal(("Indeterminate", "unknown"), (results[2].GetProperty("code").GetString(), results[2].GetProperty("outcome").GetString()));
        Assert.False(results[3].GetProperty("found").GetBoolean());
    }

    [Theory]
    [InlineData("put", "PUT", "/v1/kv/k", true, 201)]
    [InlineData("put", "PUT", "/v1/kv/k", false, 204)]
    [InlineData("append", "POST", "/v1/append/k", true, 201)]
    [InlineData("append", "POST", "/v1/append/k", false, 204)]
    [InlineData("delete", "DELETE", "/v1/kv/k", false, 204)]
    [InlineData("incr", "POST", "/v1/incr/k", false, 200)]
    [InlineData("get", "GET", "/v1/kv/k", false, 200)]
    public async Task The_status_of_an_item_is_what_the_operation_alone_is_answered_with(string op, string method, string path, bool created, int status)
    {
        door.Reset();
        door.Answer = request => request.Operation is Put or Append ? ScriptedDoor.Written(created) : ScriptedDoor.Success(request);
        using HttpResponseMessage alone = await door.SendAsync(method, path);
        Assert.Equal(status, (int)alone.StatusCode);
        string value = op is "put" or "append" ? """, "value": "v" """ : "";
        JsonElement answer = await RunAsync($$"""{"items": [{"op": "{{op}}", "key": "k"{{value}}}]}""");
        Assert.Equal(status, answer.GetProperty("results")[0].GetProperty("status").GetInt32());
    }

    [Fact]
    public async Task Each_write_has_an_id_of_its_own_that_a_repetition_has_again()
    {
        door.Reset();
        List<RequestId> ids = [];
        door.Answer = request =>
        {
            lock (ids)
            {
                ids.Add(request.Id!.Value);
            }

            return new KvReply { Outcome = Outcome.Applied, Result = new Written(7, Created: true) };
        };
        const string Body = """{"items": [{"op": "put", "key": "a", "value": "1"}, {"op": "put", "key": "a", "value": "1"}]}""";
        await RunAsync(Body, "k");
        await RunAsync(Body, "k");
        Assert.Equal(4, ids.Count);
        Assert.Equal(2, ids.Select(id => id.Client).Distinct().Count());
        await RunAsync(Body, "l");
        Assert.Equal(4, ids.Select(id => id.Client).Distinct().Count());
    }

    [Theory]
    [InlineData("del")]
    [InlineData("delete")]
    public async Task A_delete_goes_by_both_names(string op)
    {
        door.Reset();
        door.Answer = _ => new KvReply { Outcome = Outcome.Applied, Result = new Deleted(7, Existed: true) };
        JsonElement answer = await RunAsync($$"""{"items": [{"op": "{{op}}", "key": "a"}]}""");
        Assert.True(answer.GetProperty("results")[0].GetProperty("existed").GetBoolean());
        Assert.IsType<Delete>(door.Asked!.Operation);
    }

    [Fact]
    public async Task An_operation_that_is_no_item_is_refused_with_those_that_are()
    {
        foreach (OperationRow row in OperationTable.All)
        {
            door.Reset();
            using HttpResponseMessage response = await SendAsync($$"""{"items": [{"op": "{{row.Name}}x", "key": "a"}]}""", null);
            Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
            string known = (await response.Content.ReadAsStringAsync()).Split("known here are")[1];
            bool isItem = row.IsRead || row.Type.IsSubclassOf(typeof(KeyWrite));
            Assert.Equal(isItem, known.Contains($" {row.Name}", StringComparison.Ordinal));
        }
    }

    [Fact]
    public async Task Values_of_one_answer_have_a_limit()
    {
        door.Reset();
        int asked = 0;
        door.Answer = _ =>
        {
            Interlocked.Increment(ref asked);
            return new KvReply { Result = new Found(1, new byte[] { 0 }.Concat(new byte[Limits.MaxValueBytes]).ToArray()) };
        };
        string items = string.Join(", ", Enumerable.Repeat("""{"op": "get", "key": "a"}""", 100));
        JsonElement answer = await RunAsync($$"""{"items": [{{items}}]}""");
        int[] statuses = [.. answer.GetProperty("results").EnumerateArray().Select(item => item.GetProperty("status").GetInt32())];
        Assert.Equal(4, asked);
        Assert.Equal(4, statuses.Count(status => status == 200));
        Assert.Equal(96, statuses.Count(status => status == 413));
    }

    [Theory]
    [InlineData("""{"items": []}""", "1 to 512")]
    [InlineData("""{}""", "1 to 512")]
    [InlineData("""[]""", "must be an object")]
    [InlineData("""{"items": [{"op": "get", "key": "a"}], "atomic": true}""", "atomic is not known here")]
    [InlineData("""{"items": [{"op": "txn", "key": "a"}]}""", "items[0].op")]
    public async Task What_is_wrong_is_said_with_its_place(string body, string expected)
    {
        door.Reset();
        using HttpResponseMessage response = await SendAsync(body, null);
        string problem = await response.Content.ReadAsStringAsync();
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Contains(expected, JsonDocument.Parse(problem).RootElement.GetProperty("detail").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Too_many_items_are_refused()
    {
        door.Reset();
        string items = string.Join(", ", Enumerable.Repeat("""{"op": "get", "key": "a"}""", Limits.MaxBatchItems + 1));
        using HttpResponseMessage response = await SendAsync($$"""{"items": [{{items}}]}""", null);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
    }

    [Fact]
    public async Task Keys_of_every_group_are_written_and_read_through_any_node()
    {
        using var folder = new TestCluster(nodes: 3);
        await using RunningCluster cluster = await RunningCluster.StartAsync(folder, NullLoggerFactory.Instance);
        string puts = string.Join(", ", Enumerable.Range(0, 200).Select(i => $$"""{"op": "put", "key": "k{{i}}", "value": "{{i}}"}"""));
        string gets = string.Join(", ", Enumerable.Range(0, 200).Select(i => $$"""{"op": "get", "key": "k{{i}}"}"""));
        JsonElement written = await PostAsync(cluster, 0, puts, "");
        Assert.All(written.GetProperty("results").EnumerateArray(), item => Assert.Equal(201, item.GetProperty("status").GetInt32()));
        JsonElement read = await PostAsync(cluster, 1, gets, "");
        Assert.Equal(
            Enumerable.Range(0, 200).Select(i => $"{i}"),
            read.GetProperty("results").EnumerateArray().Select(item => item.GetProperty("value").GetString()));
        Assert.All(read.GetProperty("results").EnumerateArray(), item => Assert.Equal("strong", item.GetProperty("consistency").GetString()));
        JsonElement local = await PostAsync(cluster, 2, gets, "?consistency=eventual");
        Assert.All(local.GetProperty("results").EnumerateArray(), item => Assert.Equal("eventual", item.GetProperty("consistency").GetString()));
    }

    private static async Task<JsonElement> PostAsync(RunningCluster cluster, int node, string items, string query)
    {
        using var content = new StringContent($$"""{"items": [{{items}}]}""", Encoding.UTF8, "application/json");
        using HttpResponseMessage response = await cluster.Http.PostAsync(RunningCluster.Url(cluster.Nodes[node], "/v1/batch" + query), content);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.NotEmpty(response.Headers.GetValues("Kv-Session").Single());
        return JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement;
    }

    private async Task<HttpResponseMessage> SendAsync(string body, string? idempotencyKey)
    {
        using var content = new StringContent(body, Encoding.UTF8, "application/json");
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/batch") { Content = content };
        if (idempotencyKey is not null)
        {
            request.Headers.Add("Idempotency-Key", $"\"{idempotencyKey}\"");
        }

        return await door.Client.SendAsync(request);
    }

    private async Task<JsonElement> RunAsync(string body, string? idempotencyKey = null)
    {
        using HttpResponseMessage response = await SendAsync(body, idempotencyKey);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == HttpStatusCode.OK, text);
        return JsonDocument.Parse(text).RootElement;
    }
}
