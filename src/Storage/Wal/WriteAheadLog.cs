using System.Text;
using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// The write-ahead log shared by all groups of a node. Workers submit; one thread (or the simulator) turns the crank:
/// Gather, Write, Sync, Complete. Each is a step of its own, so that a crash can fall between any two. One batch is in
/// flight at a time; batching comes from the sync's own duration, not from a timer.
///
/// Who owns what: the queue is everybody's (a lock-free stack). A <see cref="WalSubmission"/> belongs to whoever holds it.
/// A <see cref="GroupLog"/> belongs to its worker; the <see cref="GroupTail"/> behind it, the segment files and everything
/// else here to the log's thread. The only numbers both sides change are the live entries of a <see cref="Segment"/> and
/// the cache's sum.
///
/// A disk without room is waited for (<see cref="Write"/>). Any other failure of it is final: the log refuses everything afterwards, and
/// the node stops. A sync is never tried a second time, because after a failed one the system may have dropped the pages it could not write.
/// </summary>
public sealed class WriteAheadLog : IDisposable
{
    // A batch counts its items in 16 bits. A checkpoint has three per group, and there are at most as many groups as the ring
    // has slots (16,384), and the meta group.
    private const int MaxItems = ushort.MaxValue;

    /// <summary>
    /// Recovery writes all live entries again when they fit into this part of a segment: frequent restarts then leave no trail
    /// of half-used files.
    /// </summary>
    private const int RewriteShare = 4;

    private enum Stage : byte
    {
        Idle,
        Gathered,
        Written,
        Synced,
    }

    private readonly WalOptions _options;
    private readonly LogIdentity _identity;
    private readonly uint _identitySeed;
    private readonly SegmentFiles _segments;
    private readonly DurablePosition _position;
    private readonly EntryCache _cache;
    private readonly SortedDictionary<uint, GroupLog> _groups;

    // The queue: submitters push onto the stack, the log's thread takes all of it and turns it round.
    private WalSubmission? _queue;
    private long _queuedBytes;
    private bool _failed;
    private bool _opensForFirstBuilds;

    // The log's thread only.
    private readonly Queue<WalSubmission> _pending = new();
    private readonly List<WalSubmission> _gathered = [];
    private readonly List<GroupTail> _tails = [];
    private readonly SortedDictionary<uint, ReplicaRecord> _vacant;
    private readonly BatchWriter _batch;
    private readonly BatchWriter _checkpoint;
    private bool _rollFirst;
    private long _offset;
    private ulong _lastLsn;
    private ulong _syncedLsn;
    private ulong _freeBelow;
    private Stage _stage;

    // Counters: written by the log's thread, read by any.
    private long _syncs;
    private long _batches;
    private long _entries;
    private long _bytes;
    private long _rewrittenEntries;
    private long _rewrittenBytes;
    private int _liveSegments;
    private long _liveBytes;
    private ulong _purgeBelow;
    private readonly long _recoveredEntries;

    // Room: said by the log's thread; asked for by any.
    private long _roomBytes;
    private long _spareBytes;
    private bool _wantsRoom;
    private bool _isWaitingForRoom;
    private bool _roomAsked;
    private ulong _spareTriedIn;

    private WriteAheadLog(
        IFileSystem files, string directory, LogIdentity identity, WalOptions options, IReadOnlyDictionary<uint, string> snapshots,
        bool opensForFirstBuilds)
    {
        if (Encoding.UTF8.GetByteCount(identity.ClusterId) > SegmentHeader.MaxClusterIdBytes)
        {
            throw new ArgumentException($"the cluster id is longer than {SegmentHeader.MaxClusterIdBytes} bytes", nameof(identity));
        }

        if (options.SegmentBytes < 4 * BatchFormat.BlockBytes || options.SegmentBytes > 1L << 30)
        {
            throw new ArgumentOutOfRangeException(nameof(options), options.SegmentBytes, "a segment has 16 KiB to 1 GiB");
        }

        if (options.PurgeTriggerBytes < 4 * options.SegmentBytes)
        {
            throw new ArgumentOutOfRangeException(nameof(options), options.PurgeTriggerBytes, "the purge trigger is at least four segments");
        }

        _options = options;
        _opensForFirstBuilds = opensForFirstBuilds;
        _identity = identity;
        _identitySeed = BatchFormat.IdentitySeed(identity);
        _segments = new SegmentFiles(files, directory, options);
        _cache = new EntryCache(options.EntryCacheBytes);
        _batch = new BatchWriter(options.MaxBatchBytes);
        _checkpoint = new BatchWriter(options.MaxBatchBytes);

        Recovery found = Recovery.Run(files, directory, identity, _cache);
        CutTornTail = found.HasTornTail;
        found.Segments.ForEach(_segments.Add);
        _groups = found.Groups;
        _vacant = found.Vacant;
        var known = new Dictionary<uint, ReplicaRecord>(_vacant);
        foreach (GroupLog log in _groups.Values)
        {
            known[log.Group] = log.Replica ?? default;
        }

        Found = known;
        try
        {
            foreach ((uint group, string snapshot) in snapshots)
            {
                if (!known.ContainsKey(group) && !found.IsOfFirstBuild)
                {
                    throw new CorruptStorageException($"the log has lost group {group}, of which there is a snapshot", snapshot, 0);
                }
            }

            // A kill may have left the newest segment's name in the page cache only. Without it the older ones are needed again, so
            // the name is durable before the first of them goes.
            files.SyncDirectory(directory);

            // What nobody needs goes first: the new segment may need its room.
            _segments.FindReserve();
            found.Obsolete.ForEach(_segments.DeleteOrReserve);
            _segments.DeleteSpares();
            _position = DurablePosition.Open(files, directory, _identitySeed);
            foreach (GroupLog log in _groups.Values)
            {
                _tails.Add(log.Tail);
                _recoveredEntries += (long)(log.LastIndex + 1 - log.FirstIndex);
            }

            if (!TryStartFresh(found))
            {
                GoOnInNewest(found);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>
    /// Recovers the log of a directory, or creates it. After it returns everything found is durable in a fresh segment, so it
    /// may be acted on; on a disk without room for one, in the newest segment that is there. Throws <see cref="CorruptStorageException"/> when
    /// acknowledged data is damaged; nothing is changed then.
    /// </summary>
    /// <param name="files">The disk.</param>
    /// <param name="directory">The log's own folder; it is created.</param>
    /// <param name="identity">Whose log it is.</param>
    /// <param name="options">Limits.</param>
    /// <param name="snapshots">
    /// A snapshot file for each group that has one. No group has a snapshot before it is in the log, so the log must know them all; but a
    /// build before version 2 let a replica that came fetch its first snapshot before the log knew of it.
    /// </param>
    /// <param name="opensForFirstBuilds">See <see cref="OpensForFirstBuilds"/>.</param>
    public static WriteAheadLog Open(
        IFileSystem files, string directory, LogIdentity identity, WalOptions options, IReadOnlyDictionary<uint, string>? snapshots = null,
        bool opensForFirstBuilds = false)
    {
        DurableDirectory.Create(files, directory);
        return new WriteAheadLog(files, directory, identity, options, snapshots ?? new Dictionary<uint, string>(), opensForFirstBuilds);
    }

    /// <summary>Whether a folder holds a log. Spares are none: one is there before the first segment ever gets its name.</summary>
    public static bool Exists(IFileSystem files, string directory) =>
        files.ListFiles(directory).Any(name => SegmentHeader.TryParseFileName(name, out _));

    /// <summary>True when the log ended in the middle of a batch that was never acknowledged, and was cut there.</summary>
    public bool CutTornTail { get; }

    /// <summary>
    /// Whether segments opened from now on are of version 1, which the builds before version 2 read: the folder may yet go back to one
    /// of them. It is set to false, for good, before anything is submitted that they could not read. Any thread.
    /// </summary>
    public bool OpensForFirstBuilds
    {
        get => Volatile.Read(ref _opensForFirstBuilds);
        set => Volatile.Write(ref _opensForFirstBuilds, value);
    }

    /// <summary>Called when work arrives in an empty queue (any thread).</summary>
    public Action? Wake { get; set; }

    public WalCounters Counters => new(
        Volatile.Read(ref _syncs), Volatile.Read(ref _batches), Volatile.Read(ref _entries), Volatile.Read(ref _bytes),
        Volatile.Read(ref _liveSegments), Volatile.Read(ref _liveBytes), Volatile.Read(ref _rewrittenEntries),
        Volatile.Read(ref _rewrittenBytes), _recoveredEntries);

    /// <summary>
    /// Segments below this number are older than the newest <see cref="WalOptions.PurgeTriggerBytes"/>. Segments go from the oldest
    /// end only, so whoever has entries there is asked to compact them away or to write them again
    /// (<see cref="WalSubmission.Rewrite"/>). Any thread; it moves when the log goes on in another segment.
    /// </summary>
    public ulong PurgeBelow => Volatile.Read(ref _purgeBelow);

    /// <summary>Charged bytes of entries that are kept in memory; at most about <see cref="WalOptions.EntryCacheBytes"/>. Any thread.</summary>
    public long CachedBytes => _cache.Bytes;

    /// <summary>Bytes of submissions that are not in a batch yet. Any thread.</summary>
    public long QueuedBytes => Volatile.Read(ref _queuedBytes);

    /// <summary>Bytes that can be written whatever becomes of the disk: the rest of the newest segment and the spares. Any thread.</summary>
    public long RoomBytes => Volatile.Read(ref _roomBytes);

    /// <summary>Of them the spares, which the disk no more counts as free. Any thread.</summary>
    public long SpareBytes => Volatile.Read(ref _spareBytes);

    /// <summary>A batch waits for a segment that the disk has no room for. Any thread.</summary>
    public bool IsWaitingForRoom => Volatile.Read(ref _isWaitingForRoom);

    /// <summary>There is no reserve for the next start, or no spare although the newest segment is half full. Any thread.</summary>
    public bool WantsRoom => Volatile.Read(ref _wantsRoom);

    /// <summary>There may be room for what is wanted. Any thread.</summary>
    public void ProvideRoom()
    {
        Volatile.Write(ref _roomAsked, true);
        Wake?.Invoke();
    }

    /// <summary>
    /// Groups that recovery has met, and whose replica their log is; default when the log does not say. A group that is not in it
    /// never had a replica here that wrote anything.
    /// </summary>
    public IReadOnlyDictionary<uint, ReplicaRecord> Found { get; }

    /// <summary>
    /// The log of a group: as recovered, or a new one starting at the mark. Not for several threads at once; mark and replica of
    /// a group that is known already are ignored.
    /// </summary>
    public GroupLog OpenGroup(uint group, SnapshotMetadata startingMark, ReplicaRecord? replica = null)
    {
        if (!_groups.TryGetValue(group, out GroupLog? log))
        {
            log = new GroupLog(group, startingMark, _cache, replica);
            _groups.Add(group, log);
        }

        return log;
    }

    /// <summary>
    /// The log of a replica that comes while the node runs: empty, without a start. Any worker; it is in the log from its first record
    /// on, and whatever another replica of the group left there is void then.
    /// </summary>
    public GroupLog NewGroup(uint group, ReplicaRecord replica) => new(group, new SnapshotMetadata(0, 0, 0, ConfState.Of()), _cache, replica);

    /// <summary>
    /// Any worker. False when the queue is full: the worker keeps its submission and tries next turn. So it is after a failure,
    /// which is reported by whoever turns the log: he knows file and reason, and a worker that came first would hide them.
    /// </summary>
    public bool TrySubmit(WalSubmission submission)
    {
        Invariant.Check(!submission.IsEmpty && submission.RecordCount <= MaxItems, "a submission has at least one record and fits a batch");
        if (Volatile.Read(ref _failed))
        {
            return false;
        }

        long queued = Interlocked.Add(ref _queuedBytes, submission.Bytes);
        if (queued > _options.MaxQueuedBytes && queued > submission.Bytes)
        {
            Interlocked.Add(ref _queuedBytes, -submission.Bytes);
            return false;
        }

        WalSubmission? head = Volatile.Read(ref _queue);
        while (true)
        {
            submission.Next = head;
            WalSubmission? seen = Interlocked.CompareExchange(ref _queue, submission, head);
            if (ReferenceEquals(seen, head))
            {
                break;
            }

            head = seen;
        }

        if (head is null)
        {
            Wake?.Invoke();
        }

        return true;
    }

    /// <summary>Takes what is queued into one buffer. False: nothing to do.</summary>
    public bool Gather()
    {
        Invariant.Check(_stage == Stage.Idle, "one batch is in flight at a time");
        RefuseAfterFailure();
        if (Volatile.Read(ref _roomAsked))
        {
            Volatile.Write(ref _roomAsked, false);
            OrFail(static log => _ = log._segments.ProvideReserve() && log.IsHalfFull && log._segments.ProvideSpare());
            PublishRoom();
        }

        TakeQueue();
        if (_pending.Count == 0)
        {
            return false;
        }

        long length = BatchFormat.HeaderBytes;
        int records = 0;
        while (_pending.TryPeek(out WalSubmission? next)
            && (_gathered.Count == 0 || length + next.Bytes <= _options.MaxBatchBytes && records + next.RecordCount <= MaxItems))
        {
            length += next.Bytes;
            records += next.RecordCount;
            _gathered.Add(_pending.Dequeue());
            Interlocked.Add(ref _queuedBytes, -next.Bytes);
        }

        // The checkpoint describes the groups as they are before this batch, so it is taken before the tails move on.
        _rollFirst = _offset + BatchFormat.RoundToBlock(length) > _segments.Active.Length;
        if (_rollFirst)
        {
            _checkpoint.Reset();
            foreach (GroupTail tail in _tails)
            {
                AddCheckpoint(tail, tail.LastIndex);
            }

            AddVacant();
        }

        _batch.Reset();
        foreach (WalSubmission submission in _gathered)
        {
            foreach (WalItem item in submission.Items)
            {
                Encode(item);
            }
        }

        Invariant.Check(_batch.Length == length, "a submission takes the bytes it was charged with");
        _stage = Stage.Gathered;
        return true;
    }

    /// <summary>
    /// Writes the batch, into a new segment when the present one has no room for it. False: the disk has none for a new one either. Nothing is
    /// lost and nobody is told anything: the batch stays gathered, and this is called again after a while.
    /// </summary>
    public bool Write()
    {
        Invariant.Check(_stage == Stage.Gathered, "a batch is gathered before it is written");
        OrFail(static log => log.WriteGathered());
        Volatile.Write(ref _isWaitingForRoom, _rollFirst);
        _stage = _rollFirst ? Stage.Gathered : Stage.Written;
        return !_rollFirst;
    }

    /// <summary>Makes the batch durable, and says so in a second place before anybody is told. A failure is final.</summary>
    public void Sync()
    {
        Invariant.Check(_stage == Stage.Written, "a batch is written before it is synced");
        OrFail(static log =>
        {
            log._segments.Active.File.Sync();
            log._syncedLsn = log._lastLsn;
            log._position.Write(log._segments.Active.Number, log._syncedLsn);
        });
        Volatile.Write(ref _syncs, _syncs + 1);
        _stage = Stage.Synced;
    }

    /// <summary>
    /// Posts the completions of the batch that was synced. Then, when the batch was the first of its segment, retires the segments
    /// nobody needs.
    /// </summary>
    public void Complete()
    {
        Invariant.Check(_stage == Stage.Synced, "a batch is synced before it is completed");
        _stage = Stage.Idle;
        long entries = 0;
        long rewritten = 0;
        long rewrittenBytes = 0;
        foreach (WalSubmission submission in _gathered)
        {
            entries += submission.EntryCount;
            rewritten += submission.RewrittenCount;
            rewrittenBytes += submission.RewrittenBytes;
            submission.Durable();
        }

        _gathered.Clear();
        Volatile.Write(ref _batches, _batches + 1);
        Volatile.Write(ref _entries, _entries + entries);
        Volatile.Write(ref _rewrittenEntries, _rewrittenEntries + rewritten);
        Volatile.Write(ref _rewrittenBytes, _rewrittenBytes + rewrittenBytes);
        if (_freeBelow > 0)
        {
            OrFail(static log => log._segments.FreeBelow(log._freeBelow));
            _freeBelow = 0;
            PublishExtent();
        }

        if (IsHalfFull && _segments.SpareBytes == 0 && _spareTriedIn != _segments.Active.Number)
        {
            // Long before it is needed: that there is no room for it is then known in time.
            _spareTriedIn = _segments.Active.Number;
            OrFail(static log => log._segments.ProvideSpare());
        }

        PublishRoom();
    }

    public void Dispose()
    {
        _segments.Dispose();
        _position?.Dispose();
    }

    // Nothing is written while there is no room for the segment it needs: it is still to be rolled to then.
    private void WriteGathered()
    {
        if (_rollFirst && !TryRoll())
        {
            return;
        }

        _rollFirst = false;
        long offset = _offset;
        WriteBatch(_segments.Active, _batch, BatchFlags.None);
        foreach (WalSubmission submission in _gathered)
        {
            submission.Placed(_segments.Active, offset);
            _segments.Active.AddLive(submission.EntryCount + submission.RewrittenCount);
        }
    }

    private void TakeQueue()
    {
        WalSubmission? newest = Interlocked.Exchange(ref _queue, null);
        WalSubmission? oldest = null;
        while (newest is not null)
        {
            WalSubmission? next = newest.Next;
            newest.Next = oldest;
            oldest = newest;
            newest = next;
        }

        while (oldest is not null)
        {
            _pending.Enqueue(oldest);
            WalSubmission? next = oldest.Next;
            oldest.Next = null;
            oldest = next;
        }
    }

    private void Encode(WalItem item)
    {
        GroupTail tail = item.Log.Tail;
        if (!tail.IsWritten)
        {
            tail.IsWritten = true;
            _tails.Add(tail);
        }

        if (item.Replica is { } replica)
        {
            EncodeReplica(tail, replica);
        }
        else if (item.Cut is { } cut)
        {
            cut.LastIndex = tail.Compact(cut.Snapshot, cut.SnapshotFile, cut.Start);
            cut.Start = tail.Start;
            _batch.Mark(tail.Group, cut.Snapshot, cut.SnapshotFile);
            _batch.Compact(tail.Group, cut.Start, cut.LastIndex);
        }
        else if (item.IsRewrite)
        {
            IReadOnlyList<Entry> again = item.Entries!;
            Invariant.Check(again.All(entry => tail.Holds(entry.Index, entry.Term)), "what is written again is in the log at its place");
            item.FirstEntryAt = _batch.Entries(tail.Group, tail.Term(again[0].Index - 1), again, ItemKind.Rewritten);
        }
        else
        {
            EncodeAppend(tail, item);
        }
    }

    private void EncodeAppend(GroupTail tail, WalItem item)
    {
        if (item.HardState is { } state)
        {
            tail.HardState = state;
            _batch.HardState(tail.Group, state);
        }

        if (item.Entries is { } entries)
        {
            ulong first = entries[0].Index;
            Invariant.Check(first > tail.Start.Index && first <= tail.LastIndex + 1, "entries continue the log or replace its tail");
            item.FirstEntryAt = _batch.Entries(tail.Group, tail.Term(first - 1), entries);
            for (int i = 0; i < entries.Count; i++)
            {
                tail.Append(entries[i].Index, entries[i].Term);
            }
        }
    }

    private void EncodeReplica(GroupTail tail, ReplicaRecord replica)
    {
        tail.Replica = replica;
        if (replica.IsVacant)
        {
            _tails.Remove(tail);
            _vacant[tail.Group] = replica;
        }
        else
        {
            _vacant.Remove(tail.Group);
        }

        _batch.Replica(tail.Group, replica, default);
    }

    private void AddCheckpoint(GroupTail tail, ulong lastIndex)
    {
        if (tail.Replica is { } replica)
        {
            // One record instead of two, so that a checkpoint still has three per group.
            _checkpoint.Replica(tail.Group, replica, tail.HardState);
        }

        _checkpoint.Mark(tail.Group, tail.Snapshot, tail.SnapshotFile);
        _checkpoint.Compact(tail.Group, tail.Start, lastIndex);
        if (tail.Replica is null)
        {
            _checkpoint.HardState(tail.Group, tail.HardState);
        }
    }

    private void AddVacant()
    {
        foreach ((uint group, ReplicaRecord record) in _vacant)
        {
            _checkpoint.Replica(group, record, default);
        }
    }

    /// <summary>
    /// Goes on in a new segment. Everything in the old one is synced. The checkpoint at its start repeats what is known of every group, so that only live
    /// entries keep old segments. Those are moved by their owners, who know what else could be done about them: the new
    /// segment only moves the line behind which they should (<see cref="PurgeBelow"/>).
    /// </summary>
    private bool TryRoll()
    {
        ulong number = _segments.Active.Number + 1;
        ulong oldestLive = _segments.OldestLive(number);
        long needed = SegmentHeader.Bytes + BatchFormat.RoundToBlock(_checkpoint.Length) + BatchFormat.RoundToBlock(_batch.Length);
        Segment next;
        try
        {
            next = _segments.Prepare(number, Math.Max(_options.SegmentBytes, needed));
        }
        catch (StorageException failure) when (failure.IsFull)
        {
            return false;
        }

        Invariant.Check(_lastLsn == _syncedLsn, "a segment is left when everything in it is durable");
        WriteSegmentHeader(next, _syncedLsn, oldestLive, _syncedLsn + 1);
        _offset = SegmentHeader.Bytes;
        WriteBatch(next, _checkpoint, BatchFlags.Checkpoint);
        next.File.Sync();
        _segments.Publish(next);
        _syncedLsn = _lastLsn;

        // The retired segments go when a batch behind the checkpoint is durable: it is the checkpoint's witness.
        _freeBelow = oldestLive;
        PublishExtent();
        return true;
    }

    /// <summary>
    /// Opens the segment the log goes on in after recovery, and writes what is not known durable into it again: the state of every
    /// group, and the entries of batches above the witnessed LSN. A kill leaves such batches readable in the page cache
    /// although a power cut would still take them; the same holds after a failed sync. The old tail is never appended to. All of it
    /// is durable before the file gets its name: another crash finds either the old end or the new segment, whole.
    /// </summary>
    /// <returns>False: there is no room for it, nothing has changed.</returns>
    private bool TryStartFresh(Recovery found)
    {
        ulong number = found.Segments.Count == 0 ? 1 : found.Segments[^1].Number + 1;
        Segment fresh;
        try
        {
            fresh = _segments.PrepareAtStart(number, _options.SegmentBytes);
        }
        catch (StorageException full) when (full.IsFull && found.Segments.Count > 0)
        {
            return false;
        }

        _lastLsn = _syncedLsn = found.WitnessedLsn;
        _offset = SegmentHeader.Bytes;

        bool all = _groups.Values.Sum(log => log.LiveBytes) <= _options.SegmentBytes / RewriteShare;
        Dictionary<uint, ulong> rewriteFrom = [];
        _checkpoint.Reset();
        foreach (GroupLog log in _groups.Values)
        {
            ulong from = all ? log.FirstIndex : FirstUnwitnessed(log, found);
            rewriteFrom.Add(log.Group, from);
            AddCheckpoint(log.Tail, from - 1);
        }

        AddVacant();
        WriteGrowing(fresh, _checkpoint, BatchFlags.Checkpoint);
        foreach (GroupLog log in _groups.Values)
        {
            Rewrite(log, rewriteFrom[log.Group], fresh);
        }

        // Everything above was acknowledged once, so damage to it must be noticed from the first moment: the header vouches for it.
        WriteSegmentHeader(fresh, found.WitnessedLsn, _segments.OldestLive(number), _lastLsn);
        fresh.File.Sync();
        _syncedLsn = _lastLsn;
        _segments.Publish(fresh);

        // From here on the newest segment is missed when it is gone.
        _position.Write(number, _syncedLsn);
        _position.Sync();
        _segments.FreeBelow(_segments.OldestLive(number));
        _segments.ProvideReserve();
        PublishExtent();
        return true;
    }

    /// <summary>
    /// The start of a node whose disk has no room for a segment, and whose reserve an earlier start has used: every byte it writes has its block
    /// already. What is not known durable is written again where it stands, the same bytes, so whatever a crash leaves of that is right.
    /// Behind it nothing is left of the batch that was cut: else it would come back behind a shorter one.
    /// </summary>
    private void GoOnInNewest(Recovery found)
    {
        Segment newest = _segments.Active;
        byte[] piece = new byte[Math.Min(1 << 20, newest.Length)];
        for (long offset = found.UnwitnessedFrom; offset < newest.Length;)
        {
            bool isKept = offset < found.End;
            Span<byte> bytes = piece.AsSpan(0, (int)Math.Min(piece.Length, (isKept ? found.End : newest.Length) - offset));
            bytes = bytes[..newest.File.Read(bytes, offset)];
            Invariant.Check(!bytes.IsEmpty, "a segment is as long as it was found to be");
            if (isKept || bytes.ContainsAnyExcept((byte)0))
            {
                if (!isKept)
                {
                    bytes.Clear();
                }

                newest.File.Write(bytes, offset);
            }

            offset += bytes.Length;
        }

        newest.File.Sync();
        _lastLsn = _syncedLsn = found.LastLsn;
        _offset = found.End;
        _position.Write(newest.Number, _syncedLsn);
        _position.Sync();
        PublishExtent();
    }

    /// <summary>
    /// Index of the first entry of a log that lies above the witnessed LSN. Those after it mostly do, too; but when the first
    /// had been written again, all behind it are written again now.
    /// </summary>
    private static ulong FirstUnwitnessed(GroupLog log, Recovery found)
    {
        ulong from = log.FirstIndex;
        while (from <= log.LastIndex && log.Slot(from) is { } slot
            && !(ReferenceEquals(slot.Segment, found.Segments[^1]) && slot.Offset >= found.UnwitnessedFrom))
        {
            from++;
        }

        return from;
    }

    private void Rewrite(GroupLog log, ulong from, Segment fresh)
    {
        while (from <= log.LastIndex)
        {
            IReadOnlyList<Entry> entries = log.Entries(from, log.LastIndex + 1, _options.MaxBatchBytes);
            _batch.Reset();
            long at = _offset + _batch.Entries(log.Group, log.Term(from - 1), entries);
            WriteGrowing(fresh, _batch, BatchFlags.None);
            fresh.AddLive(entries.Count);
            foreach (Entry entry in entries)
            {
                log.Relocate(entry.Index, fresh, at);
                at += EntryFormat.Size(entry.Payload.Length);
            }

            from += (ulong)entries.Count;
        }
    }

    private void WriteGrowing(Segment segment, BatchWriter batch, BatchFlags flags)
    {
        segment.Grow(_offset + BatchFormat.RoundToBlock(batch.Length));
        WriteBatch(segment, batch, flags);
    }

    private void WriteBatch(Segment segment, BatchWriter batch, BatchFlags flags)
    {
        ulong lsn = _lastLsn + 1;
        ReadOnlySpan<byte> bytes = batch.Finish(BatchFormat.Seed(_identitySeed, segment.Number, _offset), lsn, _syncedLsn, flags);
        segment.File.Write(bytes, _offset);
        _lastLsn = lsn;
        _offset += bytes.Length;
        Volatile.Write(ref _bytes, _bytes + bytes.Length);
    }

    private void WriteSegmentHeader(Segment segment, ulong previousLastLsn, ulong oldestLive, ulong durableLsn)
    {
        byte[] block = new byte[SegmentHeader.Bytes];
        ushort version = OpensForFirstBuilds ? SegmentHeader.FirstVersion : SegmentHeader.LatestVersion;
        new SegmentHeader(version, _identity, segment.Number, previousLastLsn, oldestLive, durableLsn, segment.Length).Write(block);
        segment.File.Write(block, 0);
    }

    private bool IsHalfFull => _offset > _segments.Active.Length / 2;

    private void PublishRoom()
    {
        Volatile.Write(ref _spareBytes, _segments.SpareBytes);
        Volatile.Write(ref _roomBytes, _segments.Active.Length - _offset + _segments.SpareBytes);
        Volatile.Write(ref _wantsRoom, !_segments.HasReserve || (IsHalfFull && _segments.SpareBytes == 0));
    }

    private void PublishExtent()
    {
        PublishRoom();
        Volatile.Write(ref _liveSegments, _segments.Count);
        Volatile.Write(ref _liveBytes, _segments.Bytes);
        Volatile.Write(ref _purgeBelow, _segments.FirstWithin(_options.PurgeTriggerBytes));
    }

    private void RefuseAfterFailure()
    {
        if (Volatile.Read(ref _failed))
        {
            throw new StorageException("the log has failed and accepts nothing more: the node must stop");
        }
    }

    private void OrFail(Action<WriteAheadLog> step)
    {
        RefuseAfterFailure();
        try
        {
            step(this);
        }
        catch (StorageException)
        {
            Volatile.Write(ref _failed, true);
            throw;
        }
    }
}
