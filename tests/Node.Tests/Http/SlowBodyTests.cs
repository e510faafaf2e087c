using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Http;

/// <summary>
/// A body that takes longer to come than the request has time: the deadline is for the work, and begins when all of the body is there. How slowly a
/// body may come has a limit of its own.
/// </summary>
public sealed class SlowBodyTests(ScriptedDoor door) : IClassFixture<ScriptedDoor>
{
    private const int TimeoutMs = 1000;
    private static readonly TimeSpan Upload = TimeSpan.FromMilliseconds(TimeoutMs + 200);

    [Theory]
    [InlineData("PUT", "/v1/kv/k", "v")]
    [InlineData("POST", "/v1/append/k", "v")]
    [InlineData("POST", "/v1/incr/k", """{"delta": 1}""")]
    [InlineData("POST", "/v1/txn", """{"then": [{"op": "put", "key": "k", "value": "v"}]}""")]
    [InlineData("POST", "/v1/batch", """{"items": [{"op": "put", "key": "k", "value": "v"}]}""")]
    [InlineData("POST", "/v1/batch", """{"items": [{"op": "get", "key": "k"}]}""")]
    public async Task A_body_that_comes_slowly_uses_up_no_time_of_the_work(string method, string path, string body)
    {
        door.Reset();
        door.Answer = request => request.Operation is Transaction
            ? new KvReply { Outcome = Outcome.Applied, Result = new TransactionResult(7, Succeeded: true, []) }
            : ScriptedDoor.Success(request);
        using var request = new HttpRequestMessage(new HttpMethod(method), path) { Content = new SlowContent(body) };
        request.Headers.Add("Kv-Timeout", $"{TimeoutMs}ms");
        using HttpResponseMessage response = await door.Client.SendAsync(request);
        string answer = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, $"{response.StatusCode} {answer}");
        Assert.NotNull(door.Asked);
        Assert.InRange(door.Asked.TimeoutMs, TimeoutMs / 2, TimeoutMs);
        if (path == "/v1/batch")
        {
            int status = JsonDocument.Parse(answer).RootElement.GetProperty("results")[0].GetProperty("status").GetInt32();
            Assert.InRange(status, 200, 299);
        }
    }

    /// <summary>All but the last byte, and that one later.</summary>
    private sealed class SlowContent : HttpContent
    {
        private readonly byte[] _bytes;

        public SlowContent(string body)
        {
            _bytes = Encoding.UTF8.GetBytes(body);
            Headers.ContentType = new MediaTypeHeaderValue("application/json");
        }

        protected override bool TryComputeLength(out long length)
        {
            length = _bytes.Length;
            return true;
        }

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.WriteAsync(_bytes.AsMemory(0, _bytes.Length - 1));
            await stream.FlushAsync();
            await Task.Delay(Upload);
            await stream.WriteAsync(_bytes.AsMemory(_bytes.Length - 1));
        }
    }
}
