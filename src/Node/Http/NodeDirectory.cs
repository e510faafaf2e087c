using KvStore.Node.Config;
using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>Names and URLs of the nodes by number, and the header text made of them, composed once.</summary>
internal sealed class NodeDirectory
{
    private readonly string[] _urls;
    private readonly string[][] _servedBy;

    public NodeDirectory(IReadOnlyList<NodeConfig> nodes)
    {
        Nodes = nodes;
        _urls = [.. nodes.Select(n => $"http://{n.Http}")];
        _servedBy = [.. nodes.Select(n => new[]
        {
            "", // roles count from 1
            $"node={n.Id}; role=leader; group=",
            $"node={n.Id}; role=follower; group=",
            $"node={n.Id}; role=learner; group=",
        })];
    }

    public IReadOnlyList<NodeConfig> Nodes { get; }

    public string? UrlOf(NodeId node) => Knows(node) ? _urls[node.Value - 1] : null;

    public string? NameOf(NodeId node) => Knows(node) ? Nodes[(int)node.Value - 1].Id : null;

    /// <summary>None when there is no such node.</summary>
    public NodeId NumberOf(string name)
    {
        for (int i = 0; i < Nodes.Count; i++)
        {
            if (Nodes[i].Id == name)
            {
                return new NodeId((uint)i + 1);
            }
        }

        return NodeId.None;
    }

    /// <summary>Kv-Served-By up to the number of the group.</summary>
    public string ServedByPrefix(NodeId node, ServedRole role) =>
        Knows(node) ? _servedBy[node.Value - 1][(int)role] : $"node={node}; role={role.ToString().ToLowerInvariant()}; group=";

    private bool Knows(NodeId node) => node.Value >= 1 && node.Value <= _urls.Length;
}
