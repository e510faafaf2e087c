using KvStore.Protocol;

namespace KvStore.Cluster;

/// <summary>A node as the ring sees it. Weight multiplies its tokens and its share of the replicas.</summary>
public readonly record struct RingMember(NodeId Node, string Zone, int Weight);
