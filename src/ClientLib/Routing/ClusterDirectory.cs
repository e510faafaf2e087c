using System.Net.Sockets;
using System.Text.Json;
using KvStore.Protocol;

namespace KvStore.Client.Routing;

/// <summary>What an endpoint said of its cluster.</summary>
internal sealed record DirectoryAnswer(string ClusterId, IReadOnlyList<AdvertisedNode> Nodes, ClusterRouting? Routing);

/// <summary>Asks an address that a client was given for the nodes of its cluster: its HTTP door by GET /v1/cluster, its binary one by a hello.</summary>
internal sealed class ClusterDirectory(KvClientOptions options) : IDisposable
{
    private readonly HttpClient _http = new(new SocketsHttpHandler { ConnectTimeout = options.ConnectTimeout, UseProxy = false })
    {
        Timeout = Timeout.InfiniteTimeSpan, // each request has its own, on the client's clock
        MaxResponseContentBufferSize = 4 << 20,
    };

    /// <exception cref="KvException">Nobody there, or nobody of ours.</exception>
    public async Task<DirectoryAnswer> AskAsync(KvEndpoint endpoint, string? clusterId, CancellationToken cancellationToken)
    {
        if (endpoint.Door == EndpointDoor.Binary)
        {
            return await AskBinaryAsync(endpoint, clusterId, cancellationToken).ConfigureAwait(false);
        }

        try
        {
            return await AskHttpAsync(endpoint, cancellationToken).ConfigureAwait(false);
        }
        catch (KvException e) when (endpoint.Door == EndpointDoor.Either && e.InnerException is HttpRequestException { InnerException: not SocketException })
        {
            // Something listens and does not speak HTTP.
            return await AskBinaryAsync(endpoint, clusterId, cancellationToken).ConfigureAwait(false);
        }
    }

    public void Dispose() => _http.Dispose();

    private async Task<DirectoryAnswer> AskHttpAsync(KvEndpoint endpoint, CancellationToken cancellationToken)
    {
        using var limit = new CancellationTokenSource(options.ConnectTimeout, options.Time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        try
        {
            using HttpResponseMessage response = await _http.GetAsync(new Uri($"http://{endpoint}/v1/cluster"), both.Token).ConfigureAwait(false);
            if (!response.IsSuccessStatusCode)
            {
                throw new KvException(
                    ErrorCode.Starting, $"{endpoint} does not say which nodes there are ({(int)response.StatusCode})")
                {
                    Outcome = Outcome.NotApplied,
                };
            }

            byte[] body = await response.Content.ReadAsByteArrayAsync(both.Token).ConfigureAwait(false);
            using JsonDocument json = JsonDocument.Parse(body);
            return new DirectoryAnswer(
                json.RootElement.GetProperty("clusterId").GetString()!,
                [.. json.RootElement.GetProperty("nodes").EnumerateArray().Select(NodeOf)],
                Routing: null);
        }
        catch (Exception e) when (e is HttpRequestException or JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new KvException(ErrorCode.NoLeader, $"{endpoint}: {e.Message}", e) { Outcome = Outcome.NotApplied };
        }
        catch (OperationCanceledException e) when (limit.IsCancellationRequested)
        {
            throw new KvException(ErrorCode.Timeout, $"{endpoint} did not answer within {options.ConnectTimeout.TotalMilliseconds:0} ms", e)
            {
                Outcome = Outcome.NotApplied,
            };
        }
    }

    private static AdvertisedNode NodeOf(JsonElement node) => new(
        new NodeId(node.GetProperty("number").GetUInt32()), node.GetProperty("id").GetString()!, HostAndPort(node.GetProperty("url").GetString()!),
        node.GetProperty("binary").GetString()!, node.TryGetProperty("zone", out JsonElement zone) ? zone.GetString() ?? "" : "");

    private static string HostAndPort(string url) => new Uri(url).Authority;

    private async Task<DirectoryAnswer> AskBinaryAsync(KvEndpoint endpoint, string? clusterId, CancellationToken cancellationToken)
    {
        var connecting = new KvConnectionOptions
        {
            ClusterId = clusterId ?? "",
            ClientName = options.ClientName,
            ConnectTimeout = options.ConnectTimeout,
            Time = options.Time,
        };
        await using KvConnection connection =
            await KvConnection.ConnectAsync(endpoint.Host, endpoint.Port, connecting, cancellationToken).ConfigureAwait(false);
        HelloAck server = connection.Server;
        var asked = new KvRequest { Operation = RoutingQuestion.Since(0), TimeoutMs = (int)options.ConnectTimeout.TotalMilliseconds };
        RequestResult result = await connection.TrySendAsync(asked, cancellationToken).ConfigureAwait(false);
        if (result.Reply?.Result is ClusterRouting { Nodes.Count: > 0 } routing)
        {
            return new DirectoryAnswer(server.ClusterId, routing.Nodes, routing);
        }

        // A build that does not know the question: what it says of itself is enough to work through it.
        return new DirectoryAnswer(
            server.ClusterId, [new AdvertisedNode(server.NodeId, server.NodeName, "", endpoint.ToString(), "")], Routing: null);
    }
}
