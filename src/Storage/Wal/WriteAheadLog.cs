using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>STUB. Limits of the log.</summary>
public sealed record WalOptions
{
    public long SegmentBytes { get; init; } = 64L << 20;

    /// <summary>Bytes queued in submissions and not yet gathered; beyond it <see cref="WriteAheadLog.TrySubmit"/> answers false.</summary>
    public long MaxQueuedBytes { get; init; } = 128L << 20;

    /// <summary>Largest group commit in bytes; what does not fit waits for the next.</summary>
    public int MaxBatchBytes { get; init; } = 4 << 20;

    /// <summary>Charged bytes of entries kept in memory over all groups; older ones are read back from their segment.</summary>
    public long EntryCacheBytes { get; init; } = 256L << 20;
}

/// <summary>Whose log this is: written into every segment header and checked on recovery.</summary>
public readonly record struct LogIdentity(string ClusterId, uint NodeId, Guid NodeUuid);

/// <summary>STUB. What one shard-loop turn asks the log to make durable.</summary>
public sealed class WalSubmission
{
    /// <summary>Called by <see cref="WriteAheadLog.Complete"/> on the log's thread once everything in it is durable.</summary>
    public WalSubmission(Action<WalSubmission> durable) => throw new NotSupportedException();

    /// <summary>Entries and/or hard state of a group, as a Ready hands them out. Entries replace the tail from their first index on.</summary>
    public void Append(GroupLog log, HardState? hardState, IReadOnlyList<Entry> entries) => throw new NotSupportedException();

    /// <summary>A durable snapshot file now stands for the log up to its index; the log before keepFrom is no longer needed.</summary>
    public void Compact(GroupLog log, SnapshotMetadata snapshot, string snapshotFile, ulong keepFrom) => throw new NotSupportedException();

    public bool IsEmpty => throw new NotSupportedException();
    public long Bytes => throw new NotSupportedException();
}

/// <summary>STUB. One group's log: what recovery found plus what was made durable since. Owned by the group's worker.</summary>
public sealed class GroupLog : ILogReader
{
    internal GroupLog(uint group) => Group = group;

    public uint Group { get; }

    /// <summary>Hard state found by recovery; default when the group is new.</summary>
    public HardState RecoveredHardState => throw new NotSupportedException();

    /// <summary>File name (under the snapshot folder) of <see cref="Snapshot"/>; null for the starting mark.</summary>
    public string? SnapshotFile => throw new NotSupportedException();

    public ulong FirstIndex => throw new NotSupportedException();
    public ulong LastIndex => throw new NotSupportedException();
    public SnapshotMetadata Snapshot => throw new NotSupportedException();

    /// <summary>Charged bytes from FirstIndex to LastIndex.</summary>
    public long LiveBytes => throw new NotSupportedException();

    public ulong Term(ulong index) => throw new NotSupportedException();
    public ulong LastClock(ulong index) => throw new NotSupportedException();
    public IReadOnlyList<Entry> Entries(ulong low, ulong highExclusive, long maxBytes) => throw new NotSupportedException();

    /// <summary>
    /// The owner's half of a completion: takes over what the submission made durable for this group. Called by the owning
    /// worker when the completion reaches it, in submission order, before it steps the core.
    /// </summary>
    public void OnDurable(WalSubmission submission) => throw new NotSupportedException();
}

/// <summary>
/// STUB. The write-ahead log shared by all groups of a node. Workers submit; one thread (or the simulator) turns the crank:
/// Gather, Write, Sync, Complete.
/// </summary>
public sealed class WriteAheadLog : IDisposable
{
    /// <summary>
    /// Recovers the log of a directory, or creates it. After it returns everything found is durable in a fresh segment, so it
    /// may be acted on. Throws <see cref="CorruptStorageException"/> when acknowledged data is damaged.
    /// </summary>
    public static WriteAheadLog Open(IFileSystem files, string directory, LogIdentity identity, WalOptions options) => throw new NotSupportedException();

    /// <summary>True when Open created the log (no segment was there).</summary>
    public bool IsNew => throw new NotSupportedException();

    /// <summary>The log of a group: as recovered, or a new one starting at the mark.</summary>
    public GroupLog OpenGroup(uint group, SnapshotMetadata startingMark) => throw new NotSupportedException();

    /// <summary>Any worker. False when the queue is full: the worker keeps its submission and tries next turn.</summary>
    public bool TrySubmit(WalSubmission submission) => throw new NotSupportedException();

    /// <summary>Called when work arrives in an empty queue (any thread).</summary>
    public Action? Wake { get; set; }

    /// <summary>Takes what is queued into one buffer. False: nothing to do.</summary>
    public bool Gather() => throw new NotSupportedException();

    public void Write() => throw new NotSupportedException();
    public void Sync() => throw new NotSupportedException();

    /// <summary>Posts the completions of the batch that was synced, and frees segments nobody needs.</summary>
    public void Complete() => throw new NotSupportedException();

    public WalCounters Counters => throw new NotSupportedException();

    public void Dispose() => throw new NotSupportedException();
}

/// <summary>Totals since start, read by any thread.</summary>
public readonly record struct WalCounters(long Syncs, long Batches, long Entries, long Bytes, int LiveSegments, long RecoveredEntries);
