using System.Globalization;
using System.Net;
using System.Text.Json;
using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.CatchUp;

/// <summary>A node's replica of one group, as the node sees it.</summary>
internal sealed record ReplicaState(int Group, string? Leader, ulong Applied, ulong FirstIndex, long SnapshotsInstalled);

/// <summary>Hash of all a replica held at an index.</summary>
internal readonly record struct StateHash(ulong Applied, string Hash);

/// <summary>Asks nodes about their replicas, over REST.</summary>
internal sealed class ReplicaProbe : IDisposable
{
    // A hash is computed when it is asked for, at the pace of the node's snapshot thread.
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(90) };

    /// <summary>One line per group, ascending.</summary>
    public async Task<IReadOnlyList<ReplicaState>> ReplicasAsync(NodeAddress node, CancellationToken cancellation)
    {
        using var json = await GetAsync(new Uri(node.Http, "/v1/cluster/groups"), cancellation);
        return [.. json!.RootElement.GetProperty("groups").EnumerateArray().Select(group =>
        {
            var local = group.GetProperty("local");
            return new ReplicaState(
                group.GetProperty("group").GetInt32(), group.GetProperty("leader").GetString(), local.GetProperty("applied").GetUInt64(),
                local.GetProperty("firstIndex").GetUInt64(), local.GetProperty("snapshotsInstalled").GetInt64());
        })];
    }

    /// <summary>Null: the node computes as many hashes as it may, or takes too long.</summary>
    public async Task<StateHash?> HashAsync(NodeAddress node, int group, CancellationToken cancellation)
    {
        using var json = await GetAsync(
            new Uri(node.Http, string.Create(CultureInfo.InvariantCulture, $"/v1/cluster/groups/{group}/hash")), cancellation);
        return json is null
            ? null
            : new StateHash(json.RootElement.GetProperty("applied").GetUInt64(), json.RootElement.GetProperty("hash").GetString()!);
    }

    /// <summary>Its counters, or what it says of itself.</summary>
    public async Task<ServerCounters> CountersAsync(NodeAddress node, CancellationToken cancellation)
    {
        var counters = new ServerCounters();
        counters.Add(await _http.GetStringAsync(new Uri(node.Http, "/metrics"), cancellation));
        return counters;
    }

    public void Dispose() => _http.Dispose();

    private async Task<JsonDocument?> GetAsync(Uri url, CancellationToken cancellation)
    {
        try
        {
            using var response = await _http.GetAsync(url, cancellation);
            if (response.StatusCode is HttpStatusCode.TooManyRequests or HttpStatusCode.GatewayTimeout)
            {
                return null;
            }

            response.EnsureSuccessStatusCode();
            return await JsonDocument.ParseAsync(await response.Content.ReadAsStreamAsync(cancellation), default, cancellation);
        }
        catch (HttpRequestException e)
        {
            throw new ServersException($"{url}: {e.Message}");
        }
    }
}
