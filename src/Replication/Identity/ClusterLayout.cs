using System.Security.Cryptography;

namespace KvStore.Replication;

/// <summary>
/// What all nodes of a cluster must agree on for ever: it decides which key belongs to which group and which number means
/// which node. Fixed at the first start; a later change is refused.
/// </summary>
public sealed record ClusterLayout(string ClusterId, int VirtualNodes, int Groups, int ReplicationFactor, IReadOnlyList<string> NodeNames)
{
    /// <summary>SHA-256 over the encoded layout: what two nodes compare when they meet.</summary>
    public byte[] Hash()
    {
        var encoded = new FieldWriter();
        Write(encoded);
        return SHA256.HashData(encoded.Written);
    }

    internal void Write(FieldWriter writer)
    {
        writer.Text(ClusterId);
        writer.UInt32((uint)VirtualNodes);
        writer.UInt32((uint)Groups);
        writer.UInt32((uint)ReplicationFactor);
        writer.UInt32((uint)NodeNames.Count);
        foreach (var name in NodeNames)
        {
            writer.Text(name);
        }
    }

    internal static ClusterLayout Read(ref FieldReader reader)
    {
        var clusterId = reader.Text();
        var virtualNodes = (int)reader.UInt32();
        var groups = (int)reader.UInt32();
        var replicationFactor = (int)reader.UInt32();
        var names = new string[reader.Count()];
        for (var i = 0; i < names.Length; i++)
        {
            names[i] = reader.Text();
        }

        return new ClusterLayout(clusterId, virtualNodes, groups, replicationFactor, names);
    }

    /// <summary>
    /// The first thing in which a configuration departs from this layout, as a sentence with both values; null when nothing does.
    /// </summary>
    public string? DifferenceFrom(ClusterLayout configured)
    {
        if (ClusterId != configured.ClusterId)
        {
            return Sentence("clusterId", ClusterId, configured.ClusterId);
        }

        if (VirtualNodes != configured.VirtualNodes)
        {
            return Sentence("virtualNodes", VirtualNodes, configured.VirtualNodes);
        }

        if (Groups != configured.Groups)
        {
            return Sentence("groups", Groups, configured.Groups);
        }

        if (ReplicationFactor != configured.ReplicationFactor)
        {
            return Sentence("replicationFactor", ReplicationFactor, configured.ReplicationFactor);
        }

        return NodeNames.SequenceEqual(configured.NodeNames)
            ? null
            : Sentence("the set of nodes", string.Join(" ", NodeNames), string.Join(" ", configured.NodeNames));

        static string Sentence(string what, object stored, object wanted) =>
            $"{what} was fixed as {stored} at the first start but is configured as {wanted}";
    }
}
