using KvStore.Raft;

namespace KvStore.Storage;

/// <param name="Group">The Raft group.</param>
/// <param name="Epoch">Routing epoch the writer knew.</param>
/// <param name="FeatureLevel">The group's level at the index.</param>
/// <param name="Metadata">What the log needs to go on from here.</param>
/// <param name="GroupTime">Milliseconds, at the index.</param>
/// <param name="VirtualNodes">The group's virtual nodes, ascending.</param>
public sealed record SnapshotHeader(
    uint Group, ulong Epoch, ushort FeatureLevel, SnapshotMetadata Metadata, ulong GroupTime, IReadOnlyList<int> VirtualNodes);
