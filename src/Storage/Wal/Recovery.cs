using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// Reads the log of a directory, and tells a torn tail from lost data. One batch is in flight at a time, and a file has its name only when
/// it and everything before it are durable. So a crash can tear the newest batch and nothing else: that one is cut, whatever
/// else does not fit is damage. What may be torn is bounded by what the log itself has stated:
/// <list type="bullet">
/// <item>A segment that is not the last is complete up to the LSN the next header states; what follows it is ignored.</item>
/// <item>The last segment is complete up to the durable LSN of its own header, which covers its first batch at least, and up to
/// the <see cref="DurablePosition"/>.</item>
/// <item>A valid batch behind an invalid one was written when that one was durable, or was a seal, which carries nothing.</item>
/// <item>A file with a name has a header, and is as long as the header says.</item>
/// <item>No number is missing between the oldest live segment and the last, or the one the position names.</item>
/// </list>
/// Nothing is written here. What lies above <see cref="WitnessedLsn"/> may be in the page cache only (the process was
/// killed, not the machine), so <see cref="WriteAheadLog.Open"/> writes it again before anybody acts on it.
/// </summary>
internal sealed class Recovery
{
    private readonly IFileSystem _files;
    private readonly string _directory;
    private readonly LogIdentity _identity;
    private readonly uint _identitySeed;
    private readonly EntryCache _cache;
    private byte[] _buffer = new byte[BatchFormat.BlockBytes];

    // Replicas whose first mark has not come yet.
    private readonly Dictionary<uint, (ReplicaRecord Record, HardState State)> _announced = [];

    private Recovery(IFileSystem files, string directory, LogIdentity identity, EntryCache cache)
    {
        _files = files;
        _directory = directory;
        _identity = identity;
        _identitySeed = BatchFormat.IdentitySeed(identity);
        _cache = cache;
    }

    /// <summary>Live segments, oldest first; empty when there is no log.</summary>
    public List<Segment> Segments { get; } = [];

    /// <summary>By group, so that everything derived from it has one order.</summary>
    public SortedDictionary<uint, GroupLog> Groups { get; } = [];

    /// <summary>Groups whose replica is gone.</summary>
    public SortedDictionary<uint, ReplicaRecord> Vacant { get; } = [];

    /// <summary>Paths of segment files that hold nothing needed.</summary>
    public List<string> Obsolete { get; } = [];

    /// <summary>Highest LSN that something later in the log calls durable.</summary>
    public ulong WitnessedLsn { get; private set; }

    /// <summary>The newest segment is of a build before version 2: what that one promised is less.</summary>
    public bool IsOfFirstBuild { get; private set; }

    /// <summary>The log ends in the middle of a batch, which was cut.</summary>
    public bool HasTornTail { get; private set; }

    /// <summary>In the last segment, where the first batch above <see cref="WitnessedLsn"/> starts.</summary>
    public long UnwitnessedFrom { get; private set; }

    /// <summary>In the last segment, behind its last batch; what stands there was cut.</summary>
    public long End { get; private set; }

    /// <summary>Of that batch.</summary>
    public ulong LastLsn { get; private set; }

    public static Recovery Run(IFileSystem files, string directory, LogIdentity identity, EntryCache cache)
    {
        Recovery recovery = new(files, directory, identity, cache);
        List<IFile> opened = [];
        try
        {
            recovery.Run(opened);
            return recovery;
        }
        catch
        {
            opened.ForEach(file => file.Dispose());
            throw;
        }
    }

    private void Run(List<IFile> opened)
    {
        SortedDictionary<ulong, string> paths = [];
        foreach (string name in _files.ListFiles(_directory))
        {
            if (SegmentHeader.TryParseFileName(name, out ulong number))
            {
                paths.Add(number, $"{_directory}/{name}");
            }
        }

        (ulong Segment, ulong Lsn) position = DurablePosition.Read(_files, _directory, _identitySeed);
        ulong last = paths.Keys.LastOrDefault();
        if (position.Segment > last)
        {
            throw new CorruptStorageException("log segment is missing", $"{_directory}/{SegmentHeader.FileName(position.Segment)}", 0);
        }

        if (paths.Count == 0)
        {
            return;
        }

        SegmentHeader lastHeader = ReadHeader(paths[last], last);
        List<SegmentHeader> headers = [];
        for (ulong number = lastHeader.OldestLive; number <= last; number++)
        {
            if (!paths.TryGetValue(number, out string? path))
            {
                throw new CorruptStorageException("log segment is missing", $"{_directory}/{SegmentHeader.FileName(number)}", 0);
            }

            headers.Add(ReadHeader(path, number));
            opened.Add(_files.Open(path));
            Segments.Add(new Segment(number, opened[^1]));
        }

        IsOfFirstBuild = lastHeader.FileBytes == 0;
        Obsolete.AddRange(paths.Where(p => p.Key < lastHeader.OldestLive).Select(p => p.Value));
        for (int i = 0; i < Segments.Count - 1; i++)
        {
            ReplayComplete(Segments[i], headers[i].PreviousLastLsn, headers[i + 1].PreviousLastLsn);
        }

        ReplayLast(Segments[^1], headers[^1], position.Segment == last ? position.Lsn : 0);
        foreach (GroupLog log in Groups.Values)
        {
            CheckWhole(log);
            log.FinishRecovery();
        }
    }

    private SegmentHeader ReadHeader(string path, ulong number)
    {
        using IFile file = _files.Open(path);
        byte[] block = new byte[SegmentHeader.Bytes];
        if (file.Read(block, 0) < block.Length || !SegmentHeader.TryRead(block, path, out SegmentHeader header))
        {
            throw new CorruptStorageException("segment header is damaged", path, 0);
        }

        LogIdentity found = header.Identity;
        if (found.ClusterId != _identity.ClusterId)
        {
            throw new ForeignLogException(
                $"this log belongs to cluster '{found.ClusterId}', this node to '{_identity.ClusterId}': start with the right data directory",
                path);
        }

        if (found.NodeId != _identity.NodeId || found.NodeUuid != _identity.NodeUuid)
        {
            throw new ForeignLogException(
                $"this log belongs to node {found.NodeId} ({found.NodeUuid}), this is node {_identity.NodeId} ({_identity.NodeUuid}): "
                + "start with the right data directory, or remove the node from the cluster and let it join again with an empty one", path);
        }

        if (header.Segment != number || header.OldestLive > number)
        {
            throw new CorruptStorageException($"segment header belongs to segment {header.Segment}", path, 0);
        }

        if (file.Length < header.FileBytes)
        {
            throw new CorruptStorageException($"log segment ends too early, it had {header.FileBytes} bytes", path, file.Length);
        }

        return header;
    }

    private void ReplayComplete(Segment segment, ulong previousLsn, ulong lastLsn)
    {
        if (lastLsn < previousLsn)
        {
            throw new CorruptStorageException("the next segment's header contradicts this one", segment.File.Path, 0);
        }

        long offset = SegmentHeader.Bytes;
        for (ulong lsn = previousLsn + 1; lsn <= lastLsn; lsn++)
        {
            if (!TryReadBatch(segment.File, segment.Number, offset, out BatchFormat batch) || batch.Lsn != lsn)
            {
                throw new CorruptStorageException(
                    $"batch {lsn} is damaged; the next segment states that the log was durable up to {lastLsn}", segment.File.Path, offset);
            }

            Replay(segment, offset, batch);
            offset += BatchFormat.RoundToBlock(batch.Length);
        }

        WitnessedLsn = lastLsn;
    }

    private void ReplayLast(Segment segment, SegmentHeader header, ulong positionLsn)
    {
        WitnessedLsn = Math.Max(header.PreviousLastLsn, Math.Max(header.DurableLsn, positionLsn));
        List<long> starts = [];
        long offset = SegmentHeader.Bytes;
        do
        {
            offset = ReplayRun(segment, header.PreviousLastLsn + 1, offset, starts);
            ulong invalid = header.PreviousLastLsn + 1 + (ulong)starts.Count;
            if (invalid <= WitnessedLsn)
            {
                string witness = invalid <= header.DurableLsn ? "the segment's header" : DurablePosition.PathIn(_directory);
                throw new CorruptStorageException(
                    $"batch {invalid} is damaged; {witness} states that the log was durable up to {WitnessedLsn}", segment.File.Path, offset);
            }
        }
        while (TrySkipSeal(segment, header.PreviousLastLsn + 1 + (ulong)starts.Count, ref offset, starts));

        End = offset;
        LastLsn = header.PreviousLastLsn + (ulong)starts.Count;
        int firstUnwitnessed = (int)(WitnessedLsn - header.PreviousLastLsn);
        UnwitnessedFrom = firstUnwitnessed < starts.Count ? starts[firstUnwitnessed] : offset;
    }

    /// <summary>Replays the batches from an offset on, one start for each since the first LSN; the answer is where the first invalid one is.</summary>
    private long ReplayRun(Segment segment, ulong firstLsn, long offset, List<long> starts)
    {
        BatchFormat batch;
        while (TryReadBatch(segment.File, segment.Number, offset, out batch) && batch.Lsn == firstLsn + (ulong)starts.Count)
        {
            Replay(segment, offset, batch);
            WitnessedLsn = Math.Max(WitnessedLsn, batch.SyncedLsn);
            starts.Add(offset);
            offset += BatchFormat.RoundToBlock(batch.Length);
        }

        // Its header is whole and names the next number, what follows is not: a write that a crash has interrupted.
        HasTornTail = batch.Lsn == firstLsn + (ulong)starts.Count;
        return offset;
    }

    /// <summary>
    /// Goes on behind an invalid seal of an earlier build. It held nothing, and a crash may have torn it and left the batch behind it whole:
    /// the only batch that was written before the one in front of it was durable. Any other valid batch there tells of damage.
    /// </summary>
    private bool TrySkipSeal(Segment segment, ulong lsn, ref long offset, List<long> starts)
    {
        for (long later = offset + BatchFormat.BlockBytes; later < segment.File.Length; later += BatchFormat.BlockBytes)
        {
            if (!TryReadBatch(segment.File, segment.Number, later, out BatchFormat witness))
            {
                continue;
            }

            if (later > offset + BatchFormat.BlockBytes || witness.Lsn != lsn + 1 || witness.SyncedLsn != lsn - 1)
            {
                throw new CorruptStorageException(
                    $"batch {lsn} is damaged; batch {witness.Lsn} behind it was written when the log was durable up to {witness.SyncedLsn}",
                    segment.File.Path, offset);
            }

            starts.Add(offset);
            offset = later;
            return true;
        }

        return false;
    }

    /// <summary>Reads the batch at an offset into the buffer. False: no valid batch of this segment starts there.</summary>
    private bool TryReadBatch(IFile file, ulong segment, long offset, out BatchFormat batch)
    {
        uint seed = BatchFormat.Seed(_identitySeed, segment, offset);
        int read = file.Read(_buffer.AsSpan(0, BatchFormat.BlockBytes), offset);
        if (!BatchFormat.TryReadHeader(_buffer.AsSpan(0, read), seed, out batch) || batch.Length > file.Length - offset)
        {
            return false;
        }

        if (batch.Length > read)
        {
            if (batch.Length > _buffer.Length)
            {
                Array.Resize(ref _buffer, batch.Length);
            }

            read += file.Read(_buffer.AsSpan(read, batch.Length - read), offset + read);
        }

        return read >= batch.Length && BatchFormat.ItemsVerify(_buffer.AsSpan(0, batch.Length), seed);
    }

    // From here on the checksums have spoken: what does not fit together was written wrongly, or by a newer build.

    private void Replay(Segment segment, long batchOffset, BatchFormat batch)
    {
        ReadOnlySpan<byte> bytes = _buffer.AsSpan(0, batch.Length);
        int at = BatchFormat.HeaderBytes;
        for (int item = 0; item < batch.Items; item++)
        {
            string path = segment.File.Path;
            long offset = batchOffset + at;
            if (!ItemFormat.TryReadHeader(bytes[at..], out ItemKind kind, out uint group, out int length))
            {
                throw new CorruptStorageException("log record has an impossible length", path, offset);
            }

            ReadOnlySpan<byte> record = bytes.Slice(at, length);
            if (kind == ItemKind.SnapshotMark)
            {
                ReplayMark(group, record, path, offset);
            }
            else if (kind == ItemKind.Replica)
            {
                ReplayReplica(group, record, path, offset);
            }
            else if (kind is ItemKind.Entries or ItemKind.HardState or ItemKind.Compact or ItemKind.Rewritten)
            {
                if (!Groups.TryGetValue(group, out GroupLog? log))
                {
                    throw new CorruptStorageException($"log record of group {group} comes before the group's mark", path, offset);
                }

                ReplayRecord(log, kind, record, segment, offset);
            }
            else
            {
                throw new StorageException(
                    $"log record kind {(ushort)kind} is not known here; start the build that wrote it", path, offset);
            }

            at += length;
        }
    }

    private void ReplayMark(uint group, ReadOnlySpan<byte> record, string path, long offset)
    {
        if (!ItemFormat.TryReadMark(record, out SnapshotMetadata? snapshot, out string? file))
        {
            throw new CorruptStorageException("snapshot mark contradicts its length", path, offset);
        }

        if (!Groups.TryGetValue(group, out GroupLog? log))
        {
            log = new GroupLog(group, snapshot!, _cache);
            Groups.Add(group, log);
            if (_announced.Remove(group, out (ReplicaRecord Record, HardState State) announced))
            {
                log.Recover(announced.Record);
                log.Recover(announced.State);
            }
        }

        log.Recover(snapshot!, file);
    }

    private void ReplayReplica(uint group, ReadOnlySpan<byte> record, string path, long offset)
    {
        if (record.Length < ItemFormat.ReplicaBytes)
        {
            throw new CorruptStorageException("log record is too short for its kind", path, offset);
        }

        (ReplicaRecord replica, HardState state) = ItemFormat.ReadReplica(record);
        if (Groups.TryGetValue(group, out GroupLog? log))
        {
            if (log.Replica?.Replica == replica.Replica)
            {
                log.Recover(state);
                return;
            }

            log.Vacate();
            Groups.Remove(group);
        }

        Vacant.Remove(group);
        _announced.Remove(group);
        if (replica.IsVacant)
        {
            Vacant.Add(group, replica);
        }
        else
        {
            _announced.Add(group, (replica, state));
        }
    }

    private static void ReplayRecord(GroupLog log, ItemKind kind, ReadOnlySpan<byte> record, Segment segment, long offset)
    {
        string path = segment.File.Path;
        int minimum = kind switch
        {
            ItemKind.HardState => ItemFormat.HardStateBytes,
            ItemKind.Compact => ItemFormat.CompactBytes,
            _ => ItemFormat.EntriesPrefixBytes,
        };
        if (record.Length < minimum)
        {
            throw new CorruptStorageException("log record is too short for its kind", path, offset);
        }

        if (kind == ItemKind.HardState)
        {
            log.Recover(ItemFormat.ReadHardState(record));
        }
        else if (kind == ItemKind.Compact)
        {
            (LogStart start, ulong lastIndex) = ItemFormat.ReadCompact(record);
            if (lastIndex < start.Index)
            {
                throw new CorruptStorageException("log cut ends before it starts", path, offset);
            }

            log.Cut(start, lastIndex);
            while (log.LastIndex < lastIndex)
            {
                // A checkpoint speaks of entries in segments that were freed since. A later record must cut or rewrite them.
                log.Add(default);
            }
        }
        else
        {
            ReplayEntries(log, kind, record, segment, offset);
        }
    }

    private static void ReplayEntries(GroupLog log, ItemKind kind, ReadOnlySpan<byte> record, Segment segment, long offset)
    {
        bool again = kind == ItemKind.Rewritten;
        (uint count, ulong first, ulong previousTerm) = ItemFormat.ReadEntriesPrefix(record);
        if (first <= log.FirstIndex - 1 || first > log.LastIndex + 1
            || (first == log.FirstIndex || log.Slot(first - 1).Segment is not null) && log.Term(first - 1) != previousTerm)
        {
            throw new CorruptStorageException(
                $"entries from {first} on do not continue the log of group {log.Group}", segment.File.Path, offset);
        }

        if (!again)
        {
            log.CutAfter(first - 1);
        }

        int at = ItemFormat.EntriesPrefixBytes;
        for (uint i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> rest = record[at..];
            int payloadLength = EntryFormat.PayloadLength(rest);
            if (payloadLength < 0 || payloadLength > rest.Length - EntryFormat.HeaderBytes)
            {
                throw new CorruptStorageException("entry contradicts the length of its record", segment.File.Path, offset + at);
            }

            EntrySlot slot = EntryFormat.ReadSlot(rest);
            slot.Segment = segment;
            slot.Offset = (uint)(offset + at);
            segment.AddLive(1);
            if (again)
            {
                Replace(log, first + i, slot);
            }
            else
            {
                log.Add(slot);
            }

            at += EntryFormat.Size(payloadLength);
        }
    }

    /// <summary>The entry of a Rewritten record is the one that is in the log at its place, or its first copy was freed since.</summary>
    private static void Replace(GroupLog log, ulong index, EntrySlot slot)
    {
        if (index > log.LastIndex || log.Slot(index) is { Segment: not null } known && known.Term != slot.Term)
        {
            throw new CorruptStorageException(
                $"entry {index} of group {log.Group} was written again but is not in the log", slot.Segment!.File.Path, slot.Offset);
        }

        log.Replace(index, slot);
    }

    private void CheckWhole(GroupLog log)
    {
        for (ulong index = log.FirstIndex; index <= log.LastIndex; index++)
        {
            if (log.Slot(index).Segment is null)
            {
                throw new CorruptStorageException($"entry {index} of group {log.Group} is in no segment", Segments[0].File.Path, 0);
            }
        }
    }
}
