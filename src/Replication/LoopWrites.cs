using KvStore.Raft;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// What a loop writes: everything of one turn is one submission to the node's log. Also how long its writes wait for the disk, and how much
/// of the log a turn may read and a tick may write again.
/// </summary>
internal sealed class LoopWrites(StoreNodeOptions options, WriteAheadLog log, Inbox<SnapshotItem> snapshots, Inbox<LoopItem> loop, IReadOnlyList<LoopFront> loops)
{
    // Empty ones, for the next turns. A write is in one place at a time: filled here, at the log, back here.
    private readonly Stack<TurnWrite> _spare = new();

    // What the log has taken and not made durable, oldest first, with the moment on the clock below.
    private readonly Queue<(TurnWrite Write, long AtMs)> _submitted = new();
    private TurnWrite? _current;
    private long _rewriteBytesLeft;

    // Elapsed milliseconds without those in which this process stood still: they are not the disk's.
    private long _watchedMs;
    private long _oldestWriteMs;

    public LogReadBudget LogReads { get; } = new(MaxLogReadBytesPerTurn);

    /// <summary>Work for the snapshot thread.</summary>
    public Inbox<SnapshotItem> Snapshots => snapshots;

    /// <summary>Segments below this one should go.</summary>
    public ulong PurgeBelow => log.PurgeBelow;

    /// <summary>
    /// The live entries of all groups are few beside what the log may hold: to write those in old segments again costs little
    /// and ends. If they were many, rewriting would fill the log by itself, and only compaction makes room.
    /// </summary>
    public bool LiveLogIsSmall => loops.Sum(l => l.Counters.LiveLogBytes) <= options.Wal.PurgeTriggerBytes / MaxRewriteShare;

    /// <summary>What this turn writes.</summary>
    public TurnWrite Current => _current ??= _spare.TryPop(out TurnWrite? spare) ? spare : new TurnWrite(loop);

    /// <summary>The same if there is something to write already.</summary>
    public TurnWrite? Pending => _current;

    /// <param name="watchedMs">Since the last turn, as far as the process did not stand still.</param>
    public void StartTurn(long watchedMs)
    {
        LogReads.StartTurn();
        _watchedMs += watchedMs;
    }

    public void StartTick() => _rewriteBytesLeft = MaxRewriteBytesPerTick;

    public TurnWrite.Part Compact(ReplicaAddress of, GroupLog group, SnapshotMetadata snapshot, string file, ulong keepFrom)
    {
        Current.Submission.Compact(group, snapshot, file, keepFrom);
        return Current.Add(of, synced: null);
    }

    /// <summary>Writes entries of a replica again that lie in segments the log wants to free, as far as this tick's budget goes.</summary>
    public void Rewrite(ReplicaAddress of, GroupLog group, ulong segmentsBelow)
    {
        if (_rewriteBytesLeft <= 0)
        {
            return;
        }

        long bytes = Current.Submission.Rewrite(group, segmentsBelow, _rewriteBytesLeft);
        if (bytes > 0)
        {
            _rewriteBytesLeft -= bytes;
            Current.Add(of, synced: null);
        }
    }

    public void DeleteWhenDurable(string directory, string file) => Current.Delete(new SnapshotDeletion(directory, file));

    /// <summary>False: the log takes no more now, what there is to write stays for the next turn.</summary>
    public bool TrySubmit()
    {
        if (_current is null)
        {
            return true;
        }

        if (_current.Submission.IsEmpty)
        {
            // Files that no log ever referred to: their deletion waits for nothing.
            foreach (SnapshotDeletion deletion in _current.Deletions)
            {
                snapshots.Post(deletion);
            }
        }
        else if (log.TrySubmit(_current.Submission))
        {
            _submitted.Enqueue((_current, _watchedMs));
        }
        else
        {
            return false;
        }

        _current = null;
        return true;
    }

    /// <summary>The oldest write is durable; those it concerns have not been told yet.</summary>
    public void Completed(TurnWrite write)
    {
        (TurnWrite oldest, long atMs) = _submitted.Dequeue();
        Invariant.Check(ReferenceEquals(oldest, write), "the log finishes a loop's writes in their order");
        _oldestWriteMs = Math.Max(_oldestWriteMs, _watchedMs - atMs);
    }

    /// <summary>Everybody in it has been told.</summary>
    public void Ended(TurnWrite write)
    {
        foreach (SnapshotDeletion deletion in write.Deletions)
        {
            snapshots.Post(deletion);
        }

        // Its parts may be remembered by their replicas; the write itself is by nobody from here on.
        if (_spare.Count < MaxSpareWrites && write.TryReuse())
        {
            _spare.Push(write);
        }
    }

    /// <summary>Once a tick: how old the oldest write is that is not durable, and the most that one has been since the last tick.</summary>
    public (long AgeMs, long WorstMs) Watch()
    {
        long ageMs = _submitted.TryPeek(out var oldest) ? _watchedMs - oldest.AtMs : 0;
        long worstMs = Math.Max(ageMs, _oldestWriteMs);
        _oldestWriteMs = 0;
        return (ageMs, worstMs);
    }

    /// <summary>Live entries of the log are moved to newer segments while they fit into this part of the purge trigger.</summary>
    private const int MaxRewriteShare = 4;

    /// <summary>Log entries written again in one tick, of all groups; one larger entry goes alone.</summary>
    private const long MaxRewriteBytesPerTick = 256 * 1024;

    /// <summary>Writes kept for reuse; more are on their way only while the disk stands still.</summary>
    private const int MaxSpareWrites = 16;

    /// <summary>
    /// Entries that followers need and memory no longer has, read from the disk in one turn, of all groups; the append that passes it goes out
    /// whole.
    /// </summary>
    internal const long MaxLogReadBytesPerTurn = 1 << 20;
}
