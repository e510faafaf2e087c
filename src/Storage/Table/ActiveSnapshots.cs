namespace KvStore.Storage;

/// <summary>
/// The revisions somebody reads a group at. Any thread adds and removes; the owner asks before it frees a version. How many
/// there may be is decided where scans are admitted; here each costs eight bytes.
/// </summary>
internal sealed class ActiveSnapshots
{
    // Sorted, with duplicates; never changed, only replaced.
    private ulong[] _revisions = [];
    private long _removals;

    /// <summary>How often a snapshot went away: when it moves, pinned versions may have become free.</summary>
    public long Removals => Volatile.Read(ref _removals);

    public ulong[] Current => Volatile.Read(ref _revisions);

    /// <summary>A full fence: what is read afterwards is read after everybody can see the registration.</summary>
    public void Add(ulong revision)
    {
        ulong[] seen;
        ulong[] next;
        do
        {
            seen = Volatile.Read(ref _revisions);
            int at = LowerBound(seen, revision);
            next = [.. seen.AsSpan(0, at), revision, .. seen.AsSpan(at)];
        }
        while (Interlocked.CompareExchange(ref _revisions, next, seen) != seen);
    }

    public void Remove(ulong revision)
    {
        ulong[] seen;
        ulong[] next;
        do
        {
            seen = Volatile.Read(ref _revisions);
            int at = LowerBound(seen, revision);
            next = [.. seen.AsSpan(0, at), .. seen.AsSpan(at + 1)];
        }
        while (Interlocked.CompareExchange(ref _revisions, next, seen) != seen);
        Interlocked.Increment(ref _removals);
    }

    /// <summary>Whether one of the snapshots sees a version that was written at one revision and superseded at another.</summary>
    public static bool AnySees(ulong[] revisions, ulong written, ulong superseded)
    {
        int at = LowerBound(revisions, written);
        return at < revisions.Length && revisions[at] < superseded;
    }

    private static int LowerBound(ulong[] revisions, ulong revision)
    {
        int low = 0;
        int high = revisions.Length;
        while (low < high)
        {
            int middle = (low + high) >> 1;
            if (revisions[middle] < revision)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }
}
