using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using KvStore.LoadTests.CommandLine;

namespace KvStore.LoadTests.Servers;

/// <param name="Name">Its id in the file.</param>
/// <param name="Http">REST.</param>
/// <param name="Binary">The binary protocol.</param>
/// <param name="Peer">Where the other nodes reach it.</param>
internal sealed record NodeAddress(string Name, Uri Http, IPEndPoint Binary, IPEndPoint Peer);

/// <summary>The part of cluster.json a client needs. Nodes are sorted by name, as the servers number them.</summary>
internal sealed record ClusterFile(string Path, string ClusterId, int Groups, int ReplicationFactor, IReadOnlyList<NodeAddress> Nodes)
{
    public static ClusterFile Read(string path)
    {
        try
        {
            using var document = JsonDocument.Parse(File.ReadAllText(path));
            var root = document.RootElement;
            var nodes = root.GetProperty("nodes").EnumerateArray().Select(node => new NodeAddress(
                node.GetProperty("id").GetString()!,
                new Uri($"http://{node.GetProperty("http").GetString()}"),
                Resolve(node.GetProperty("binary").GetString()!),
                Resolve(node.GetProperty("peer").GetString()!)));
            return new ClusterFile(
                path, root.GetProperty("clusterId").GetString()!, root.GetProperty("groups").GetInt32(),
                root.GetProperty("replicationFactor").GetInt32(),
                [.. nodes.OrderBy(node => node.Name, StringComparer.Ordinal)]);
        }
        catch (Exception e) when (e is IOException or JsonException or KeyNotFoundException or FormatException or SocketException or InvalidOperationException)
        {
            throw new UsageException($"cannot read the cluster file {path}: {e.Message}");
        }
    }

    /// <summary>The same cluster seen through some of its nodes.</summary>
    public IReadOnlyList<NodeAddress> Select(IReadOnlyList<string>? names) => names is null
        ? Nodes
        : [.. names.Select(Find)];

    private static IPEndPoint Resolve(string address)
    {
        if (IPEndPoint.TryParse(address, out var literal))
        {
            return literal;
        }

        var colon = address.LastIndexOf(':');
        return new IPEndPoint(
            Dns.GetHostAddresses(address[..colon], AddressFamily.InterNetwork)[0],
            int.Parse(address[(colon + 1)..], CultureInfo.InvariantCulture));
    }

    private NodeAddress Find(string name) =>
        Nodes.FirstOrDefault(node => node.Name == name) ?? throw new UsageException($"{Path} has no node '{name}'");
}
