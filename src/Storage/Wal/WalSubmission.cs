using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// What one shard-loop turn asks the log to make durable. It travels: the worker fills it, the log's thread writes it and notes
/// where it landed, the worker gets it back and passes it to <see cref="GroupLog.OnDurable"/>. At any time exactly one of
/// them holds it. Submissions of a worker must be submitted in the order in which they were filled.
/// </summary>
public sealed class WalSubmission
{
    private readonly Action<object> _durable;
    private readonly object _owner;
    private readonly List<WalItem> _items = [];

    /// <param name="durable">Called by <see cref="WriteAheadLog.Complete"/> on the log's thread once everything in it is durable.</param>
    /// <param name="owner">What it is called with: one delegate serves all submissions.</param>
    public WalSubmission(Action<object> durable, object owner) => (_durable, _owner) = (durable, owner);

    /// <summary>The same, called with the submission itself.</summary>
    public WalSubmission(Action<WalSubmission> durable)
    {
        _durable = submission => durable((WalSubmission)submission);
        _owner = this;
    }

    public bool IsEmpty => _items.Count == 0;

    /// <summary>Bytes it takes in a batch.</summary>
    public long Bytes { get; private set; }

    internal List<WalItem> Items => _items;

    internal int RecordCount { get; private set; }

    internal long EntryCount { get; private set; }

    internal long RewrittenCount { get; private set; }

    internal long RewrittenBytes { get; private set; }

    /// <summary>Next in the queue's stack; the queue's.</summary>
    internal WalSubmission? Next { get; set; }

    /// <summary>Where its batch was written; set by the log's thread before the submission comes back.</summary>
    internal Segment? Segment { get; private set; }

    internal long BatchOffset { get; private set; }

    /// <summary>
    /// Entries and/or hard state of a group, as a Ready hands them out. Entries replace the tail from their first index on.
    /// </summary>
    public void Append(GroupLog log, HardState? hardState, IReadOnlyList<Entry> entries)
    {
        if (hardState is null && entries.Count == 0)
        {
            return;
        }

        for (int i = 1; i < entries.Count; i++)
        {
            Invariant.Check(entries[i].Index == entries[0].Index + (ulong)i, "entries are appended without a gap");
        }

        Introduce(log);
        Add(new WalItem(this, log) { HardState = hardState, Entries = entries.Count > 0 ? entries : null },
            (hardState is null ? 0 : ItemFormat.HardStateBytes) + (entries.Count > 0 ? BatchWriter.EntriesBytes(entries) : 0),
            (hardState is null ? 0 : 1) + (entries.Count > 0 ? 1 : 0));
        EntryCount += entries.Count;
    }

    /// <summary>
    /// A durable snapshot file now stands for the log up to its index; the log before keepFrom is no longer needed. Entries
    /// behind the snapshot stay when the log agrees with it, and go when it does not (a snapshot from the leader).
    /// </summary>
    public void Compact(GroupLog log, SnapshotMetadata snapshot, string snapshotFile, ulong keepFrom)
    {
        Invariant.Check(keepFrom <= snapshot.Index + 1, "the log is never cut beyond the snapshot");

        // Own snapshots are of applied, so of durable entries: what is at keepFrom - 1 is known here. A snapshot from the
        // leader leaves nothing before it, and its own metadata say what is at its index.
        LogStart start = keepFrom == snapshot.Index + 1 ? LogStart.After(snapshot) : log.StartBefore(keepFrom);
        Introduce(log);
        Add(new WalItem(this, log) { Cut = new WalCut(snapshot, snapshotFile, start) },
            ItemFormat.MarkBytes(snapshot, snapshotFile) + ItemFormat.CompactBytes, 2);
    }

    /// <summary>
    /// Writes again what the group has in segments below a number: a run of entries, the oldest first, of at most
    /// <paramref name="maxBytes"/> payload bytes but at least one. One run of a group is under way at a time, and none while its log is
    /// being cut. The answer is what the run takes in a batch, 0 when there is none.
    /// </summary>
    public long Rewrite(GroupLog log, ulong segmentsBelow, long maxBytes)
    {
        IReadOnlyList<Entry> entries = log.EntriesBelow(segmentsBelow, maxBytes);
        if (entries.Count == 0)
        {
            return 0;
        }

        long bytes = BatchWriter.EntriesBytes(entries);
        Add(new WalItem(this, log) { Entries = entries, IsRewrite = true }, bytes, 1);
        RewrittenCount += entries.Count;
        RewrittenBytes += bytes;
        return bytes;
    }

    /// <summary>The group's replica is gone from this node, by a placement of this epoch. Nothing of this log may follow.</summary>
    public void Vacate(GroupLog log, ulong epoch) =>
        Add(new WalItem(this, log) { Replica = new ReplicaRecord(ReplicaId.None, epoch) }, ItemFormat.ReplicaBytes, 1);

    /// <summary>
    /// True: it is empty again, for the owner who got it back. False when a log in it has not been told (<see cref="GroupLog.OnDurable"/>) and
    /// still refers to it.
    /// </summary>
    public bool TryReuse()
    {
        if (Segment is null || !_items.TrueForAll(static item => item.Log.HasTaken(item)))
        {
            return false;
        }

        _items.Clear();
        if (_items.Capacity > MaxKeptItems)
        {
            _items.Capacity = 0;
        }

        (Bytes, RecordCount, EntryCount, RewrittenCount, RewrittenBytes) = (0, 0, 0, 0, 0);
        (Segment, BatchOffset) = (null, 0);
        return true;
    }

    internal void Placed(Segment segment, long batchOffset)
    {
        Segment = segment;
        BatchOffset = batchOffset;
    }

    /// <summary>A list that one large turn made longer is not kept.</summary>
    private const int MaxKeptItems = 256;

    internal void Durable() => _durable(_owner);

    /// <summary>The first record of a group says where its log starts: recovery never meets entries of an unknown log.</summary>
    private void Introduce(GroupLog log)
    {
        if (!log.IsIntroduced)
        {
            log.IsIntroduced = true;
            if (log.Replica is { } replica)
            {
                Add(new WalItem(this, log) { Replica = replica }, ItemFormat.ReplicaBytes, 1);
            }

            Add(new WalItem(this, log) { Cut = new WalCut(log.Snapshot, null, LogStart.After(log.Snapshot)) },
                ItemFormat.MarkBytes(log.Snapshot, null) + ItemFormat.CompactBytes, 2);
        }
    }

    private void Add(WalItem item, long bytes, int records)
    {
        _items.Add(item);
        item.Log.Track(item);
        Bytes += bytes;
        RecordCount += records;
    }
}

/// <summary>
/// One group's part of a submission: a hard state, entries, or both, the hard state first; or a replica that comes or goes; or a snapshot
/// with the cut it allows.
/// </summary>
internal sealed class WalItem(WalSubmission submission, GroupLog log)
{
    public WalSubmission Submission => submission;

    public GroupLog Log => log;

    public HardState? HardState { get; init; }

    public IReadOnlyList<Entry>? Entries { get; init; }

    /// <summary>The entries are in the log and only move to another segment.</summary>
    public bool IsRewrite { get; init; }

    public ReplicaRecord? Replica { get; init; }

    public WalCut? Cut { get; init; }

    /// <summary>With entries: where the first of them starts in the batch. Noted by the log's thread.</summary>
    public int FirstEntryAt { get; set; }
}

/// <summary>A snapshot that stands for the log up to its index, and the cut it allows.</summary>
internal sealed class WalCut(SnapshotMetadata snapshot, string? snapshotFile, LogStart start)
{
    public SnapshotMetadata Snapshot => snapshot;

    public string? SnapshotFile => snapshotFile;

    /// <summary>Where the log starts after the cut. The log's thread corrects it when a later cut came first.</summary>
    public LogStart Start { get; set; } = start;

    /// <summary>Where the log ends after the cut. The log's thread decides: it knows what came before.</summary>
    public ulong LastIndex { get; set; }
}
