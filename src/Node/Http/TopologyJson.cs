using System.Text.Json;
using System.Text.Json.Serialization;

namespace KvStore.Node.Http;

internal sealed record ClusterDescription(
    string ClusterId, string Node, ulong Epoch, int ReplicationFactor, int VirtualNodes, int Groups, IReadOnlyList<NodeDescription> Nodes);

internal sealed record NodeList(ulong Epoch, IReadOnlyList<NodeDescription> Nodes);

/// <param name="Id">Name in the configuration.</param>
/// <param name="Number">Number inside frames and files.</param>
/// <param name="Url">Its HTTP door.</param>
/// <param name="Binary">Address of its binary door.</param>
/// <param name="Zone">Failure zone.</param>
/// <param name="Weight">Share of the ring.</param>
/// <param name="Replicas">Replicas placed on it.</param>
internal sealed record NodeDescription(string Id, uint Number, string Url, string Binary, string Zone, int Weight, int Replicas);

internal sealed record RingDescription(ulong Epoch, int Slots, int VirtualNodes, IReadOnlyList<ArcDescription> Arcs);

/// <summary>First and last are both inside the arc.</summary>
internal sealed record ArcDescription(int FirstVirtualNode, int LastVirtualNode, int FirstSlot, int LastSlot, uint Group);

internal sealed record GroupList(ulong Epoch, IReadOnlyList<GroupDescription> Groups);

/// <param name="Group">Number of the group.</param>
/// <param name="Replicas">In the order of preference; the first is the preferred leader.</param>
/// <param name="Leader">As far as this node knows; null when it has no replica or knows of none.</param>
/// <param name="Local">This node's replica; null when it has none.</param>
internal sealed record GroupDescription(uint Group, IReadOnlyList<ReplicaDescription> Replicas, string? Leader, LocalReplica? Local);

internal sealed record ReplicaDescription(ulong ReplicaId, string Node, string? Url);

internal sealed record LocalReplica(
    ulong ReplicaId, string Role, ulong Term, ulong Commit, ulong Applied, ulong FirstIndex, ulong LastIndex, long LogBytes, long Keys,
    ulong SnapshotIndex, long SnapshotsInstalled);

/// <param name="Group">Number of the group.</param>
/// <param name="Node">Whose replica it is.</param>
/// <param name="ReplicaId">The replica.</param>
/// <param name="Applied">The index the hash belongs to; hashes of different indices say nothing about each other.</param>
/// <param name="Hash">16 hexadecimal digits: a JSON number would lose some.</param>
internal sealed record StateHashDescription(uint Group, string Node, ulong ReplicaId, ulong Applied, string Hash);

internal sealed record KeyLocation(
    string Key, string KeyEncoding, int Slot, int VirtualNode, uint Group, string? Leader, string? LeaderUrl,
    IReadOnlyList<ReplicaDescription> Replicas, ulong Epoch);

/// <param name="Status">What was asked for, when it holds.</param>
/// <param name="Groups">Local groups; null when the question has nothing to do with them.</param>
/// <param name="GroupsWithoutLeader">Those of them that know no leader now.</param>
/// <param name="Clock">What is wrong with the time that groups here count by; null when nothing is. The node is ready all the same.</param>
/// <param name="Disk">"enough", "short" while writes that grow are refused, "full" while all are.</param>
/// <param name="Memory">"enough", or "short" while writes that grow are refused; the node is ready all the same.</param>
internal sealed record HealthReport(
    string Status,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? Groups = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? GroupsWithoutLeader = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Memory = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Disk = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Clock = null);

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(ClusterDescription))]
[JsonSerializable(typeof(NodeList))]
[JsonSerializable(typeof(RingDescription))]
[JsonSerializable(typeof(GroupList))]
[JsonSerializable(typeof(GroupDescription))]
[JsonSerializable(typeof(StateHashDescription))]
[JsonSerializable(typeof(KeyLocation))]
[JsonSerializable(typeof(HealthReport))]
internal sealed partial class TopologyJson : JsonSerializerContext;
