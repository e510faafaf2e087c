using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// What a node holds in memory, in bytes. Tables: chunks of the arenas, free slots included, and the leaves. Records: idempotency records
/// and floors. Log: entries kept to be sent and applied. Queued: requests that are not answered, payloads of peers that nobody has looked
/// at, and what waits to be written to the log.
/// </summary>
public readonly record struct MemoryUse(long Tables, long Records, long Log, long Queued)
{
    /// <summary>What stays until something is deleted, expires or is compacted.</summary>
    public long Lasting => Tables + Records + Log;

    public long Total => Lasting + Queued;
}

/// <summary>
/// Whether this node has memory for what grows. The limit is a share of the machine that the operator chose or
/// <see cref="StoreNodeOptions.MemoryBytes"/> stands for; the process takes more than what is counted here, so it is not all of it.
/// <para>
/// Growth is refused from seven eighths of the limit on, and taken again at three quarters: what lasts decides that, or a burst of requests
/// would hold everybody up until something is deleted. A request is refused as well while it and all that is on its way would pass
/// the mark. The last eighth is for deletes, whose tombstones and records take room before they give it back, for elections, reads and
/// snapshots. A delete under an id that came with it leaves a record, and who sends it decides how long: at the limit itself such a one is
/// refused, too. One that the leader numbered itself is forgotten as soon as it is answered.
/// </para>
/// </summary>
internal sealed class MemoryRoom(long limitBytes, Func<MemoryUse> measure, Action<bool, MemoryUse> changed)
{
    private readonly WaterMark _growth = new(Share(limitBytes, 7, 8), Share(limitBytes, 3, 4));

    public long LimitBytes => limitBytes;

    /// <summary>What grows is refused.</summary>
    public bool IsShort => _growth.IsPassed;

    /// <summary>Looks whether it is short, and says so when that has changed.</summary>
    public void Observe() => Observe(measure(), 0);

    /// <summary>Whether a write may add what it would add. Any thread.</summary>
    /// <param name="write">The write.</param>
    /// <param name="leavesRecord">It is remembered until its sender says that it need not be, or for the whole window.</param>
    /// <param name="grownBytes">What it and what shares its entry store beyond what was sent, while the versions before are still there.</param>
    public bool Admits(WriteOperation write, bool leavesRecord, long grownBytes)
    {
        if (limitBytes == long.MaxValue)
        {
            return true;
        }

        MemoryUse use = measure();
        if (write.OnlyRemoves)
        {
            return !leavesRecord || use.Total < limitBytes;
        }

        Observe(use, write.DataBytes);

        // What is on its way includes this write, as it was sent.
        return !IsShort && use.Total + grownBytes < Share(limitBytes, 7, 8);
    }

    private void Observe(MemoryUse use, int added)
    {
        if (_growth.Observe(use.Lasting + added))
        {
            changed(IsShort, use);
        }
    }

    private static long Share(long bytes, int part, int of) => bytes == long.MaxValue ? bytes : bytes / of * part;
}
