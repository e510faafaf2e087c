using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// What one shard-loop turn asks the log to make durable. It travels: the worker fills it, the log's thread writes it and notes
/// where it landed, the worker gets it back and passes it to <see cref="GroupLog.OnDurable"/>. At any time exactly one of
/// them holds it. Submissions of a worker must be submitted in the order in which they were filled.
/// </summary>
public sealed class WalSubmission
{
    private readonly Action<WalSubmission> _durable;
    private readonly List<WalItem> _items = [];

    /// <summary>Called by <see cref="WriteAheadLog.Complete"/> on the log's thread once everything in it is durable.</summary>
    public WalSubmission(Action<WalSubmission> durable) => _durable = durable;

    public bool IsEmpty => _items.Count == 0;

    /// <summary>Bytes it takes in a batch.</summary>
    public long Bytes { get; private set; }

    internal IReadOnlyList<WalItem> Items => _items;

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
        if (hardState is { } state)
        {
            Add(new WalItem(this, log) { HardState = state }, ItemFormat.HardStateBytes, 1);
        }

        if (entries.Count > 0)
        {
            Add(new WalItem(this, log) { Entries = entries }, BatchWriter.EntriesBytes(entries), 1);
            EntryCount += entries.Count;
        }
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
        Add(new WalItem(this, log) { Snapshot = snapshot, SnapshotFile = snapshotFile, Start = start },
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

    internal void Placed(Segment segment, long batchOffset)
    {
        Segment = segment;
        BatchOffset = batchOffset;
    }

    internal void Durable() => _durable(this);

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

            Add(new WalItem(this, log) { Snapshot = log.Snapshot, Start = LogStart.After(log.Snapshot) },
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

/// <summary>One group's part of a submission: exactly one of hard state, entries, a replica that comes or goes, or a snapshot with the cut it allows.</summary>
internal sealed class WalItem(WalSubmission submission, GroupLog log)
{
    public WalSubmission Submission => submission;

    public GroupLog Log => log;

    public HardState? HardState { get; init; }

    public IReadOnlyList<Entry>? Entries { get; init; }

    /// <summary>The entries are in the log and only move to another segment.</summary>
    public bool IsRewrite { get; init; }

    public ReplicaRecord? Replica { get; init; }

    public SnapshotMetadata? Snapshot { get; init; }

    public string? SnapshotFile { get; init; }

    /// <summary>With a snapshot: where the log starts after the cut. The log's thread corrects it when a later cut came first.</summary>
    public LogStart Start { get; set; }

    /// <summary>With a snapshot: where the log ends after the cut. The log's thread decides: it knows what came before.</summary>
    public ulong LastIndex { get; set; }

    /// <summary>With entries: where the first of them starts in the batch. Noted by the log's thread.</summary>
    public int FirstEntryAt { get; set; }
}
