using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Node.Tests.Http;

/// <summary>
/// What a short request for many large values, and a client that takes its answer slowly, can make a node hold. A batch of 512 gets of one value
/// of 1 MiB has 20 KB; thirty at a time took a node from 451 MB to 4.1 GB.
/// </summary>
public sealed class AnswerMemoryTests
{
    private const int Batches = 6;
    private const long HeldBytes = 128L << 20;
    private static readonly string Batch = $$"""{"items": [{{string.Join(", ", Enumerable.Repeat("""{"op": "get", "key": "big"}""", 512))}}]}""";

    private static readonly ReadOnlyMemory<byte> Stored = new byte[] { 0 }.Concat(Enumerable.Repeat((byte)0xFF, Limits.MaxValueBytes)).ToArray();
    private static readonly KvReply Big = new() { Result = new Found(1, Stored) };

    [Fact]
    public async Task Batches_of_large_gets_do_not_begin_more_than_there_is_memory_for()
    {
        await using OpenDoor door = await OpenDoor.CreateAsync();
        var waiting = new ConcurrentQueue<IReplySink>();
        int asked = 0, open = 0, most = 0;
        door.Scripted.Take = (_, sink) =>
        {
            Interlocked.Increment(ref asked);
            most = Math.Max(most, Interlocked.Increment(ref open));
            waiting.Enqueue(sink);
        };
        var batches = Enumerable.Range(0, Batches).Select(_ => BatchAsync(door.Scripted, "30s")).ToList();
        Task all = Task.WhenAll(batches);
        while (!all.IsCompleted)
        {
            await Task.WhenAny(all, Task.Delay(100)); // begun by then is what is begun without an answer
            while (waiting.TryDequeue(out IReplySink? sink))
            {
                Interlocked.Decrement(ref open);
                sink.Complete(Big);
            }
        }

        Assert.InRange((long)most * Limits.MaxValueBytes, 1, HeldBytes);
        Assert.InRange(asked, Batches, Batches * 8);
        foreach (Task<int[]> batch in batches)
        {
            int[] statuses = await batch;
            Assert.All(statuses, status => Assert.Contains(status, new[] { 200, 413, 429 }));
            Assert.InRange((long)statuses.Count(status => status == 200) * Limits.MaxValueBytes, 0, Limits.MaxRequestBytes);
        }
    }

    [Fact]
    public async Task Answers_that_nobody_takes_have_a_limit_together()
    {
        await using OpenDoor door = await OpenDoor.CreateAsync();
        door.Scripted.Answer = request => request.Operation is Get ? Big : ScriptedDoor.Success(request);
        var slow = new List<Socket>();
        for (int i = 0; i < HeldBytes / Limits.MaxRequestBytes; i++)
        {
            slow.Add(await door.SlowBatchAsync());
        }

        int[] statuses = [];
        HttpResponseMessage get = new();
        for (int i = 0; i < 100 && (get.StatusCode != HttpStatusCode.TooManyRequests || statuses.Any(status => status != 429)); i++)
        {
            statuses = await BatchAsync(door.Scripted, "200ms");
            get = await door.Scripted.Client.GetAsync("/v1/kv/big");
        }

        Assert.All(statuses, status => Assert.Equal(429, status));
        ProblemDocument problem = await ProblemDocument.ReadAsync(get, 429, "Overloaded");
        Assert.True(problem.Retryable);
        using var content = new StringContent("""{"then": [{"op": "put", "key": "a", "value": "1"}, {"op": "get", "key": "a"}]}""", Encoding.UTF8, "application/json");
        await ProblemDocument.ReadAsync(await door.Scripted.Client.PostAsync("/v1/txn?timeout=200ms", content), 429, "Overloaded");
        Assert.IsNotType<Transaction>(door.Scripted.Asked!.Operation);

        // What is small needs nothing of it, and what is let go of is there for others.
        door.Scripted.Answer = ScriptedDoor.Success;
        Assert.Equal("value", await door.Scripted.Client.GetStringAsync("/v1/kv/small"));
        door.Scripted.Answer = _ => Big;
        slow.ForEach(socket => socket.Dispose());
        for (int i = 0; i < 100 && get.StatusCode != HttpStatusCode.OK; i++)
        {
            await Task.Delay(50);
            get = await door.Scripted.Client.GetAsync("/v1/kv/big");
        }

        Assert.Equal(Limits.MaxValueBytes, (await get.Content.ReadAsByteArrayAsync()).Length);
    }

    /// <summary>60 % of a control group of 256 MiB; all nodes together are no more than that machine has.</summary>
    [Fact]
    public async Task B3_what_doors_hold_is_a_share_of_the_memory_of_a_small_node()
    {
        const long MemoryBytes = 161_061_273;
        await using OpenDoor door = await OpenDoor.CreateAsync(MemoryBytes);
        door.Scripted.Answer = request => request.Operation is Get ? Big : ScriptedDoor.Success(request);
        var held = new List<Socket>();
        for (int i = 0; i < 8; i++)
        {
            held.Add(await door.SlowBatchAsync());
            held.Add(await door.UnfinishedFrameAsync());
        }

        // The answer's last part is asked for when the ones before have come.
        string metrics = "";
        for (int i = 0; i < 100 && (AnswersIn(metrics) < 8 << 20 || FramesIn(metrics) < 8 << 20); i++)
        {
            await Task.Delay(50);
            metrics = await door.Scripted.Client.GetStringAsync("/metrics");
        }

        Assert.InRange(AnswersIn(metrics), 8 << 20, MemoryBytes / 16);
        Assert.InRange(FramesIn(metrics), 8 << 20, MemoryBytes / 16);
        held.ForEach(socket => socket.Dispose());

        static long AnswersIn(string metrics) => Value(metrics, "kvstore_rest_answer_bytes");
        static long FramesIn(string metrics) => Value(metrics, "kvstore_binary_unfinished_frame_bytes");
        static long Value(string metrics, string name) => metrics.Split('\n').FirstOrDefault(line => line.StartsWith(name + " ", StringComparison.Ordinal)) is { } line
            ? long.Parse(line[(name.Length + 1)..], CultureInfo.InvariantCulture)
            : -1;
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_large_answer_is_sent_while_it_is_written_and_says_the_same(bool isText)
    {
        await using OpenDoor door = await OpenDoor.CreateAsync();
        byte[] value = isText
            ? Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("aä€😀\"\u0001", 20_000)))
            : [.. Enumerable.Range(0, 200_001).Select(i => (byte)i)];
        door.Scripted.Answer = request => request.Operation is Transaction
            ? new KvReply { Outcome = Outcome.Applied, Result = new TransactionResult(7, true, [new ItemResult(ErrorCode.None, Outcome.None, null, ScriptedDoor.Found(value).Result)]) }
            : ScriptedDoor.Found(value);
        foreach (string path in new[] { "/v1/batch", "/v1/txn", "/v1/kv/a?format=json" })
        {
            using var content = new StringContent(
                path == "/v1/batch" ? """{"items": [{"op": "get", "key": "a"}]}""" : """{"then": [{"op": "get", "key": "a"}]}""", Encoding.UTF8, "application/json");
            bool isGet = path.StartsWith("/v1/kv", StringComparison.Ordinal);
            using var request = new HttpRequestMessage(isGet ? HttpMethod.Get : HttpMethod.Post, path) { Content = isGet ? null : content };
            using HttpResponseMessage response = await door.Scripted.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            Assert.True(response.Headers.TransferEncodingChunked, path);
            JsonElement answer = JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement;
            JsonElement item = isGet ? answer : answer.GetProperty("results")[0];
            Assert.Equal(isText ? "utf8" : "base64", item.GetProperty("encoding").GetString());
            Assert.Equal(value, isText ? Encoding.UTF8.GetBytes(item.GetProperty("value").GetString()!) : item.GetProperty("value").GetBytesFromBase64());
        }
    }

    private static async Task<int[]> BatchAsync(ScriptedDoor door, string timeout)
    {
        using var content = new StringContent(Batch, Encoding.UTF8, "application/json");
        using HttpResponseMessage response = await door.Client.PostAsync($"/v1/batch?timeout={timeout}", content);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        using JsonDocument answer = await JsonDocument.ParseAsync(await response.Content.ReadAsStreamAsync());
        return [.. answer.RootElement.GetProperty("results").EnumerateArray().Select(item => item.GetProperty("status").GetInt32())];
    }

    private sealed class OpenDoor : IAsyncDisposable
    {
        public static async Task<OpenDoor> CreateAsync(long memoryBytes = 0)
        {
            var door = new OpenDoor();
            door.Scripted.Config = door.Scripted.Config with { Limits = door.Scripted.Config.Limits with { MemoryBytes = memoryBytes } };
            await door.Scripted.InitializeAsync();
            return door;
        }

        public ScriptedDoor Scripted { get; } = new();

        /// <summary>Asks for more than sockets buffer, and reads nothing of it but that it has begun.</summary>
        public async Task<Socket> SlowBatchAsync()
        {
            Socket socket = new(SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 4096 };
            await socket.ConnectAsync(Scripted.Address);
            await socket.SendAsync(Encoding.ASCII.GetBytes(
                $"POST /v1/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {Batch.Length}\r\n\r\n{Batch}"));
            await socket.ReceiveAsync(new byte[16]);
            return socket;
        }

        /// <summary>Announces the largest there is, by the binary port, and sends nothing of it.</summary>
        public async Task<Socket> UnfinishedFrameAsync()
        {
            Socket socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await socket.ConnectAsync(Scripted.BinaryAddress);
            FrameWriter frames = new();
            frames.Begin(FrameKind.Hello, FrameFlags.None, 0);
            HelloCodec.Encode(frames, new ClientHello { ClusterId = "test" });
            Assert.True(frames.TryEnd(Limits.MaxHelloBytes));
            await socket.SendAsync(frames.Written);
            Assert.True(await socket.ReceiveAsync(new byte[4096]) > FrameHeader.SizeBytes);
            byte[] header = new byte[FrameHeader.SizeBytes];
            new FrameHeader(FrameKind.Request, FrameFlags.None, Limits.MaxRequestBytes, 0, 1).WriteTo(header);
            await socket.SendAsync(header);
            return socket;
        }

        public async ValueTask DisposeAsync() => await Scripted.DisposeAsync();
    }
}
