using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using KvStore.LoadTests.Measuring;
using KvStore.LoadTests.Servers;
using KvStore.Protocol;

namespace KvStore.LoadTests.Hostile;

/// <summary>
/// The other client: reads and writes at a steady pace through both doors of the nodes, over connections that it keeps, and now and then
/// over a new one. It has no second try: whatever does not succeed is noted.
/// </summary>
internal sealed class Bystander(IReadOnlyList<NodeAddress> nodes) : IAsyncDisposable
{
    /// <summary>How a failure begins that is a request without an answer in its time.</summary>
    public const string NoAnswer = "no answer in time: ";

    private const int TimeoutMs = 10_000;
    private const int NewConnectionEvery = 25;
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(10);

    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromMilliseconds(TimeoutMs + 2000) };
    private readonly Dictionary<NodeAddress, RequestChannel> _channels = [];
    private long _number;

    /// <summary>Works until it is told to stop. The latency of what succeeded, and what did not.</summary>
    public async Task<(LatencyHistogram Latency, IReadOnlyList<string> Failures)> RunAsync(CancellationToken stop)
    {
        LatencyHistogram latency = new();
        List<string> failures = [];
        while (!stop.IsCancellationRequested)
        {
            long n = _number++;
            NodeAddress node = nodes[(int)(n / 4 % nodes.Count)];
            long started = Stopwatch.GetTimestamp();
            string? failure;
            try
            {
                failure = (n % 4) switch
                {
                    0 => await PutAsync(node, n),
                    1 => await GetAsync(node, n),
                    2 => await AskAsync(node, n, isWrite: true),
                    _ => await AskAsync(node, n, isWrite: false),
                };
            }
            catch (Exception e) when (e is HttpRequestException or IOException or SocketException or OperationCanceledException)
            {
                failure = (e is OperationCanceledException ? NoAnswer : "") + e.Message;
            }

            if (failure is null)
            {
                latency.Record((long)Stopwatch.GetElapsedTime(started).TotalNanoseconds);
            }
            else
            {
                failures.Add($"{node.Name}, {(n % 4 < 2 ? "REST" : "binary")}: {failure}");
            }

            await Task.Delay(Pace, CancellationToken.None);
        }

        return (latency, failures);
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        foreach (var channel in _channels.Values)
        {
            await channel.DisposeAsync();
        }
    }

    private async Task<string?> PutAsync(NodeAddress node, long n)
    {
        using HttpRequestMessage put = new(HttpMethod.Put, Url(node, n)) { Content = new StringContent($"{n}") };
        put.Headers.ConnectionClose = n / 4 % NewConnectionEvery == 0;
        using HttpResponseMessage answer = await _http.SendAsync(put);
        return answer.IsSuccessStatusCode ? null : await RefusalAsync(answer);
    }

    private async Task<string?> GetAsync(NodeAddress node, long n)
    {
        using HttpResponseMessage answer = await _http.GetAsync(Url(node, n));
        return answer.IsSuccessStatusCode || answer.StatusCode == HttpStatusCode.NotFound
            ? null
            : await RefusalAsync(answer);
    }

    private static async Task<string> RefusalAsync(HttpResponseMessage answer) =>
        $"{(answer.StatusCode == HttpStatusCode.GatewayTimeout ? NoAnswer : "")}{(int)answer.StatusCode} {await answer.Content.ReadAsStringAsync()}";

    private async Task<string?> AskAsync(NodeAddress node, long n, bool isWrite)
    {
        if (n / 4 % NewConnectionEvery == 0 && _channels.Remove(node, out var old))
        {
            await old.DisposeAsync();
        }

        if (!_channels.TryGetValue(node, out var channel) || !channel.IsOpen)
        {
            (channel, string? refused) = await DialAsync(node);
            if (channel is null)
            {
                return refused;
            }

            _channels[node] = channel;
        }

        byte[] key = Encoding.ASCII.GetBytes(Key(n));
        RequestResult result = await channel.SendAsync(new KvRequest
        {
            Operation = isWrite ? new Put(key, "v"u8) : new Get(key),
            TimeoutMs = TimeoutMs,
        });
        return result.Reply is { IsExecuted: true } ? null : $"{result.End} {result.Reply?.Code} {result.Reply?.Detail}";
    }

    private static async Task<(RequestChannel? Channel, string? Refused)> DialAsync(NodeAddress node)
    {
        Socket socket = new(SocketType.Stream, ProtocolType.Tcp);
        using CancellationTokenSource limit = new(TimeoutMs);
        await socket.ConnectAsync(node.Binary, limit.Token);
        var transport = new SocketTransport(socket);
        HandshakeResult answer = await Handshake.DialAsync(transport, new ClientHello { ClientName = "bystander" }, limit.Token);
        if (answer.Ack is { } ack)
        {
            return (RequestChannel.Start(transport, new RequestChannelOptions { PeerLevel = ack.Level }), null);
        }

        transport.Dispose();
        return (null, $"no hello: {answer.Refused?.Reason} {answer.Refused?.Detail}{answer.Failure}");
    }

    private static Uri Url(NodeAddress node, long n) =>
        new(node.Http, string.Create(CultureInfo.InvariantCulture, $"/v1/kv/{Key(n)}?timeout={TimeoutMs / 1000}s"));

    private static string Key(long n) => string.Create(CultureInfo.InvariantCulture, $"by{n % 997}");
}
