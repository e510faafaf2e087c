namespace KvStore.Storage;

/// <summary>Limits of the log.</summary>
public sealed record WalOptions
{
    /// <summary>Size of a segment file. A group commit larger than that gets a segment of its own size.</summary>
    public long SegmentBytes { get; init; } = 64L << 20;

    /// <summary>
    /// Bytes queued in submissions and not yet gathered; beyond it <see cref="WriteAheadLog.TrySubmit"/> answers false. A
    /// submission that is larger by itself is taken when the queue is empty, or it would wait for ever.
    /// </summary>
    public long MaxQueuedBytes { get; init; } = 128L << 20;

    /// <summary>Largest group commit in bytes; what does not fit waits for the next. A larger submission is a commit of its own.</summary>
    public int MaxBatchBytes { get; init; } = 4 << 20;

    /// <summary>Charged bytes of entries kept in memory over all groups; older ones are read back from their segment.</summary>
    public long EntryCacheBytes { get; init; } = 256L << 20;

    /// <summary>
    /// Bytes of live segments, the newest first, that may stay as they are. What lies in older ones is to be written again or
    /// compacted (<see cref="WriteAheadLog.PurgeBelow"/>), so that one quiet group does not hold the whole log. Until that is
    /// done the log is larger. At least four segments.
    /// </summary>
    public long PurgeTriggerBytes { get; init; } = 1L << 30;

    /// <summary>Retired segments kept for reuse, which spares the file system new blocks; the others are deleted.</summary>
    public int MaxSpareSegments { get; init; } = 2;
}
