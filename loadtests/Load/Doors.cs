using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.Load;

/// <summary>The doors of a cluster by their names on the command line.</summary>
internal static class Doors
{
    public const string Binary = "binary";
    public const string Rest = "rest";

    /// <param name="door">binary or rest.</param>
    /// <param name="cluster">All nodes.</param>
    /// <param name="nodes">Those that are asked.</param>
    /// <param name="connectionsPerNode">Of the binary door; REST opens one per request in flight.</param>
    public static IStoreClient Open(string door, ClusterFile cluster, IReadOnlyList<NodeAddress> nodes, int connectionsPerNode) =>
        door == Rest
            ? new RestClient(nodes, [.. cluster.Nodes.Select(node => node.Name)], recording: false)
            : new BinaryClient(nodes, connectionsPerNode);
}
