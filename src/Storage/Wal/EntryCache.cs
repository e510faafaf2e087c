namespace KvStore.Storage;

/// <summary>
/// The budget for entries kept in memory, shared by all groups and all workers. Only the sum is shared: each group holds its
/// own newest entries, and a group that adds while the budget is exceeded lets go of its own oldest. A quiet group keeps
/// what it has until it is compacted.
/// </summary>
internal sealed class EntryCache(long maxBytes)
{
    private long _bytes;

    /// <summary>Charged bytes of the entries that are in memory.</summary>
    public long Bytes => Interlocked.Read(ref _bytes);

    public bool IsOver => Interlocked.Read(ref _bytes) > maxBytes;

    public void Charge(long bytes) => Interlocked.Add(ref _bytes, bytes);
}
