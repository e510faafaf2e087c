using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.Load;

/// <summary>The doors of a cluster by their names on the command line.</summary>
internal static class Doors
{
    public const string Binary = "binary";
    public const string Rest = "rest";

    /// <summary>The binary door through the .NET client, which asks leaders where one has to answer.</summary>
    public const string Library = "client";

    /// <summary>Not a door of ours: the cluster file then lists etcd's client addresses as http.</summary>
    public const string Etcd = "etcd";

    /// <param name="door">binary, rest or etcd.</param>
    /// <param name="cluster">All nodes.</param>
    /// <param name="nodes">Those that are asked.</param>
    /// <param name="connectionsPerNode">Of the binary door; the others open one per request in flight.</param>
    public static IStoreClient Open(string door, ClusterFile cluster, IReadOnlyList<NodeAddress> nodes, int connectionsPerNode) =>
        door switch
        {
            Rest => new RestClient(nodes, [.. cluster.Nodes.Select(node => node.Name)], recording: false),
            Library => new LibraryClient(nodes),
            Etcd => new EtcdClient(nodes),
            _ => new BinaryClient(nodes, connectionsPerNode),
        };
}
