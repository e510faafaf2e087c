using System.Net;
using System.Text.Json.Nodes;
using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.Chaos.Network;

/// <summary>
/// The network between the nodes, with a link of our own in every direction and for both ports on which nodes reach each other: Raft
/// (peer) and forwarded requests (binary). It needs no rights and no tools of the system, because a node is told by a file of its own
/// where the others are. Clients do not come this way.
/// </summary>
internal sealed class PeerNetwork : IAsyncDisposable
{
    private readonly Dictionary<(string From, string To), CuttableLink[]> _links = [];

    /// <summary>Writes DIR/cluster.json and beside it a DIR/cluster.NODE.json for each node; scripts/cluster.sh prefers those.</summary>
    /// <returns>The network, and the path of cluster.json.</returns>
    public static (PeerNetwork Network, string Path) Create(ClusterFile cluster, string directory)
    {
        var network = new PeerNetwork();
        string text = File.ReadAllText(cluster.Path);
        string path = Path.Combine(directory, "cluster.json");
        Directory.CreateDirectory(directory);
        File.WriteAllText(path, text);
        foreach (var node in cluster.Nodes)
        {
            var file = JsonNode.Parse(text)!;
            foreach (var other in file["nodes"]!.AsArray().Where(other => (string?)other!["id"] != node.Name))
            {
                var address = cluster.Nodes.First(known => known.Name == (string?)other!["id"]);
                CuttableLink[] links = [new(address.Peer), new(address.Binary)];
                network._links.Add((node.Name, address.Name), links);
                other!["peer"] = Text(links[0].Address);
                other["binary"] = Text(links[1].Address);
            }

            File.WriteAllText(Path.Combine(directory, $"cluster.{node.Name}.json"), file.ToJsonString());
        }

        return (network, path);
    }

    public void CutOff(string node) => LinksOf(node).ForEach(link => link.Cut());

    /// <param name="node">Which was cut off.</param>
    /// <param name="loseConnections">As in <see cref="CuttableLink.Heal"/>.</param>
    public void Heal(string node, bool loseConnections) => LinksOf(node).ForEach(link => link.Heal(loseConnections));

    public async ValueTask DisposeAsync()
    {
        foreach (var link in _links.Values.SelectMany(links => links))
        {
            await link.DisposeAsync();
        }
    }

    private static string Text(IPEndPoint address) => address.ToString();

    private List<CuttableLink> LinksOf(string node) =>
        [.. _links.Where(link => link.Key.From == node || link.Key.To == node).SelectMany(link => link.Value)];
}
