using KvStore.LoadTests.CommandLine;

namespace KvStore.LoadTests.Servers;

/// <summary>What a run needs that starts and ends servers of its own: an empty data directory, and ports nobody listens on.</summary>
internal static class OwnServers
{
    private const string Marker = ".chaos-data";

    public static string DataIn(string outDirectory) => Path.Combine(outDirectory, "data");

    /// <summary>
    /// A run starts empty and deletes what an earlier one has left, but nothing else: the marker tells.
    /// </summary>
    public static string PrepareData(string outDirectory)
    {
        string data = DataIn(outDirectory);
        if (Directory.Exists(data) && !File.Exists(Path.Combine(data, Marker)))
        {
            throw new UsageException($"{data} was not made by a chaos run and will not be deleted; choose another --out");
        }

        if (Directory.Exists(data))
        {
            Directory.Delete(data, recursive: true);
        }

        Directory.CreateDirectory(data);
        File.WriteAllText(Path.Combine(data, Marker), "The data of a chaos run: the next one deletes it.\n");
        return data;
    }

    /// <summary>Otherwise the load would go to somebody else's nodes, which have taken the ports.</summary>
    public static async Task RefuseToShareAsync(ClusterFile cluster, CancellationToken cancellation)
    {
        using var probe = new ServerProbe(cluster, new ServerProcesses("."));
        foreach (var node in cluster.Nodes)
        {
            if (await probe.IsListeningAsync(node, cancellation))
            {
                throw new ServersException(
                    $"something listens at {node.Http} already; stop it first (scripts/cluster.sh down), or give another --cluster FILE");
            }
        }
    }
}
