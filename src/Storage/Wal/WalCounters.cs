namespace KvStore.Storage;

/// <summary>Totals since start, read by any thread.</summary>
public readonly record struct WalCounters(
    long Syncs, long Batches, long Entries, long Bytes, int LiveSegments, long LiveBytes, long RewrittenEntries, long RewrittenBytes,
    long RecoveredEntries);
