using System.Net.Http.Headers;
using System.Text;
using KvStore.LoadTests.Servers;
using KvStore.Protocol;

namespace KvStore.LoadTests.Load;

/// <summary>
/// The peer to compare with: etcd through its JSON gateway, which any machine can speak to without gRPC. The gateway costs etcd more
/// CPU than gRPC does, so the fair column of ours beside it is rest. Reads: strong is linearizable, eventual is serializable.
/// </summary>
internal sealed class EtcdClient(IReadOnlyList<NodeAddress> nodes) : IStoreClient
{
    private const int GraceMs = 1000;
    private static readonly MediaTypeHeaderValue Json = new("application/json");

    private readonly HttpMessageInvoker _http = new(new SocketsHttpHandler
    {
        MaxConnectionsPerServer = int.MaxValue,
        ActivityHeadersPropagator = null,
        UseCookies = false,
        UseProxy = false,
    });

    public int NodeCount => nodes.Count;

    public async ValueTask<KvReply> SendAsync(int node, int lane, KvRequest request, ClientSession? session = null)
    {
        string key = Convert.ToBase64String(request.Key.Span);
        string body = request.Operation is Put put ? $$"""{"key":"{{key}}","value":"{{Convert.ToBase64String(put.Value.Span)}}"}"""
            : request.Read.Level == ReadLevel.Strong ? $$"""{"key":"{{key}}"}"""
            : $$"""{"key":"{{key}}","serializable":true}""";
        var uri = new Uri(nodes[node].Http, request.IsWrite ? "/v3/kv/put" : "/v3/kv/range");
        using var message = new HttpRequestMessage(HttpMethod.Post, uri) { Content = new ByteArrayContent(Encoding.ASCII.GetBytes(body)) };
        message.Content.Headers.ContentType = Json;
        using var deadline = new CancellationTokenSource(request.TimeoutMs + GraceMs);
        try
        {
            using var response = await _http.SendAsync(message, deadline.Token);
            byte[] answer = await response.Content.ReadAsByteArrayAsync(deadline.Token);
            return response.IsSuccessStatusCode
                ? new KvReply()
                : new KvReply { Code = ErrorCode.Internal, Outcome = Outcome.Unknown, Detail = Encoding.UTF8.GetString(answer) };
        }
        catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException)
        {
            return new KvReply { Code = ErrorCode.Indeterminate, Outcome = Outcome.Unknown, Detail = e.Message };
        }
    }

    public ValueTask DisposeAsync()
    {
        _http.Dispose();
        return ValueTask.CompletedTask;
    }
}
