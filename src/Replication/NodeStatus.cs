using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>A local replica as it was at most a tick ago.</summary>
public sealed record GroupStatus(
    GroupId Group, ulong ReplicaId, string Role, NodeId Leader, ulong Term, ulong Commit, ulong Applied, ulong FirstIndex, ulong LastIndex,
    long LogBytes, long Keys, ulong SnapshotIndex);

/// <summary>Totals since start, for /metrics and load reports.</summary>
public readonly record struct NodeCounters(
    long Requests, long Forwards, long Proposals, long EntriesApplied, long CommandsApplied, long ReadRounds, long StrongReads,
    long LocalReads, long Elections, long Overloaded, long PeerPayloadsDropped, long TableBytesReserved, long TableBytesLive,
    long LogEntriesHeldBack, WalCounters Wal);
