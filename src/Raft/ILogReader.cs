namespace KvStore.Raft;

/// <summary>
/// The durable part of a group's log as Raft reads it. Entries that are not durable yet live in the core; the owner adds
/// them here when their sync has completed and then steps <see cref="AppendSynced"/>.
/// </summary>
public interface ILogReader
{
    /// <summary>First index that can be read; everything before it is covered by <see cref="Snapshot"/> or was never there.</summary>
    ulong FirstIndex { get; }

    /// <summary>Last durable index; FirstIndex - 1 when the log is empty.</summary>
    ulong LastIndex { get; }

    /// <summary>Term at an index in [FirstIndex - 1, LastIndex].</summary>
    ulong Term(ulong index);

    /// <summary>
    /// Last revision used by the entry at an index in [FirstIndex - 1, LastIndex] (<see cref="Entry.LastClock"/>); a leader
    /// stamps above it.
    /// </summary>
    ulong LastClock(ulong index);

    /// <summary>Entries in [low, highExclusive): at least one, then as many as fit into maxBytes of charged bytes.</summary>
    IReadOnlyList<Entry> Entries(ulong low, ulong highExclusive, long maxBytes);

    /// <summary>
    /// Whether the entry at an index in [FirstIndex, LastIndex] may be asked for now to be sent. False: it is not in memory, and enough was
    /// read from the disk just now; a follower's next sign of life asks again.
    /// </summary>
    bool MayRead(ulong index) => true;

    /// <summary>
    /// The newest durable snapshot; for a group that never had one, its starting mark (index 5, term 5, the first configuration).
    /// </summary>
    SnapshotMetadata Snapshot { get; }
}
