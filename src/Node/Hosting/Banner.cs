using System.Text;
using KvStore.Node.Config;

namespace KvStore.Node.Hosting;

/// <summary>What a person sees after starting all nodes in one process.</summary>
internal static class Banner
{
    public static string Of(ClusterConfig cluster, IReadOnlyList<NodeHost> nodes, string dataDirectory)
    {
        var text = new StringBuilder();
        text.AppendLine();
        text.Append($"  KvStore  cluster {cluster.ClusterId}: {nodes.Count} nodes, {cluster.Groups} groups, ");
        text.AppendLine($"{cluster.ReplicationFactor} replicas each, data in {dataDirectory}");
        text.AppendLine();

        var nameWidth = Math.Max(4, nodes.Max(node => node.Name.Length));
        var urlWidth = nodes.Max(node => Url(node).Length);
        text.AppendLine($"  {"node".PadRight(nameWidth)}  {"url".PadRight(urlWidth)}  groups held  groups led");
        foreach (var node in nodes)
        {
            var held = node.Store!.Groups.Count;
            var led = GroupsLed([node]).Count();
            text.AppendLine($"  {node.Name.PadRight(nameWidth)}  {Url(node).PadRight(urlWidth)}  {held,11}  {led,10}");
        }

        if (cluster.Groups - GroupsLed(nodes).Distinct().Count() is > 0 and var leaderless)
        {
            text.AppendLine();
            text.AppendLine($"  {leaderless} of {cluster.Groups} groups have no leader yet; their keys answer NoLeader until they have one");
        }

        // Written at one node, read at another: any node serves any key.
        var key = "/v1/kv/hello";
        text.AppendLine();
        text.Append($"  put and get:  curl -sX PUT {Url(nodes[0])}{key} -H 'Content-Type: text/plain' -d world");
        text.AppendLine($" && curl -s {Url(nodes[^1])}{key}");
        text.AppendLine($"  API:          {Url(nodes[0])}/docs");
        text.AppendLine("  stop:         Ctrl-C");
        text.AppendLine();
        return text.ToString();
    }

    /// <summary>The groups that each node says it leads: all of them once when the cluster has settled.</summary>
    public static IEnumerable<uint> GroupsLed(IEnumerable<NodeHost> nodes) =>
        nodes.SelectMany(node => node.Store!.Groups.Where(group => group.Leader == node.Store.Self).Select(group => group.Group.Value));

    private static string Url(NodeHost node) => $"http://{node.Endpoints.Http}";
}
