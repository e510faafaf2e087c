using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// A local replica as it was at most a tick ago. SnapshotsInstalled are those fetched from another node since this process
/// started, because the leader's log did not reach back. Level: at which feature level the group is written.
/// </summary>
public sealed record GroupStatus(
    GroupId Group, ulong ReplicaId, string Role, NodeId Leader, ulong Term, ulong Commit, ulong Applied, ulong FirstIndex, ulong LastIndex,
    long LogBytes, long Keys, ulong SnapshotIndex, long SnapshotsInstalled, ushort Level = FeatureLevel.First)
{
    /// <summary>
    /// Whole seconds by which the group's time is ahead of the slowest wall clock of its voters, as far as they were heard. Group time never
    /// goes back: what began with clocks that were ahead stays ahead until real time has caught up.
    /// </summary>
    public long ClockLeadSeconds { get; init; }

    /// <summary>Applied entries that a snapshot covers and that are kept for voters that do not have them yet.</summary>
    public long EntriesHeldBack => SnapshotIndex >= FirstIndex ? (long)(SnapshotIndex + 1 - FirstIndex) : 0;
}

/// <summary>Totals since start, for /metrics and load reports.</summary>
public readonly record struct NodeCounters(
    long Requests, long Forwards, long Proposals, long EntriesApplied, long CommandsApplied, long ReadRounds, long StrongReads,
    long LocalReads, long UnmetReads, long Elections, long Overloaded, long PeerPayloadsDropped, long TableBytesReserved, long TableBytesLive,
    long LogEntriesHeldBack, SnapshotCounters Snapshots, WalCounters Wal, long PeerItemsSkipped, long AboveLevel)
{
    /// <summary>Messages of peers refused because their term was further above the group's than a term may jump.</summary>
    public long TermsRefused { get; init; }

    /// <summary>Writes refused because this node or another member of their group is short of room.</summary>
    public long GrowthRefused { get; init; }
}

/// <summary>What a node has room for now.</summary>
/// <param name="Memory">What it holds, in bytes.</param>
/// <param name="MemoryLimitBytes">What it plans with; <see cref="long.MaxValue"/> when nobody said.</param>
/// <param name="IsMemoryShort">Writes that grow are refused for want of memory.</param>
public sealed record RoomStatus(MemoryUse Memory, long MemoryLimitBytes, bool IsMemoryShort)
{
    /// <summary>As last looked at, twice a second.</summary>
    public long DiskFreeBytes { get; init; } = long.MaxValue;

    /// <summary>Writes that grow are refused for want of disk.</summary>
    public bool IsDiskShort { get; init; }

    /// <summary>The log has no room for entries: they are neither proposed nor taken.</summary>
    public bool TakesNoEntries { get; init; }
}

/// <param name="Taken">Of this node's own groups.</param>
/// <param name="Installed">Fetched from other nodes.</param>
/// <param name="BytesReceived">Pieces of snapshots that came from other nodes, repeated ones included.</param>
public readonly record struct SnapshotCounters(long Taken, long Installed, long BytesReceived);

/// <summary>Hash of everything a replica holds, at the index it had applied then: equal on replicas at an equal index.</summary>
public readonly record struct StateHash(ulong Applied, ulong Hash);
