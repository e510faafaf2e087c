using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// One group's log: what recovery found plus what was made durable since. Owned by the group's worker; what it shows changes
/// only in <see cref="OnDurable"/>.
/// </summary>
public sealed class GroupLog : ILogReader
{
    private static readonly long EnvelopeBytes = new Entry(0, 0, EntryKind.NoOp, 0, 0, 1, default).ChargedBytes;

    private readonly EntryCache _cache;
    private readonly EntryTable _entries;
    private readonly Queue<WalItem> _inFlight = new();
    private LogStart _start;

    // Entries from here on are cached; those before it are read from their segment. Invariant: FirstIndex <= it <= LastIndex + 1.
    private ulong _cachedFrom;

    // Entries before the cursor are known not to lie in a segment below the number.
    private ulong _purgeCursor;
    private ulong _purgeBelow;

    internal GroupLog(uint group, SnapshotMetadata mark, EntryCache cache, ReplicaRecord? replica = null)
    {
        Group = group;
        Replica = replica;
        Snapshot = mark;
        _cache = cache;
        _start = LogStart.After(mark);
        _entries = new EntryTable(_start.Index + 1);
        _cachedFrom = _entries.First;
        Tail = new GroupTail(group, mark, null, _start);
    }

    public uint Group { get; }

    /// <summary>Whose log it is; null when nobody said so when it was opened.</summary>
    public ReplicaRecord? Replica { get; private set; }

    /// <summary>The newest hard state known to be durable.</summary>
    public HardState DurableHardState { get; private set; }

    /// <summary>Hard state found by recovery; default when the group is new.</summary>
    public HardState RecoveredHardState { get; private set; }

    /// <summary>File name (under the snapshot folder) of <see cref="Snapshot"/>; null for the starting mark.</summary>
    public string? SnapshotFile { get; private set; }

    public ulong FirstIndex => _entries.First;

    public ulong LastIndex => _entries.Last;

    public SnapshotMetadata Snapshot { get; private set; }

    /// <summary>Of the loop that reads this log; null: nobody counts.</summary>
    public LogReadBudget? Reads { get; set; }

    /// <summary>Charged bytes from FirstIndex to LastIndex.</summary>
    public long LiveBytes { get; private set; }

    /// <summary>The log thread's knowledge of this group. Passed on by reference; not read here.</summary>
    internal GroupTail Tail { get; private set; }

    /// <summary>True once a record of this group is in the log or in a submission.</summary>
    internal bool IsIntroduced { get; set; }

    /// <summary>Where an entry is, without reading it.</summary>
    internal EntrySlot Slot(ulong index) => _entries[index];

    public ulong Term(ulong index) => index == _start.Index ? _start.Term : _entries[index].Term;

    public ulong LastClock(ulong index) => index == _start.Index ? _start.LastClock : _entries[index].LastClock;

    public bool MayRead(ulong index) => Reads is not { IsSpent: true } || _entries[index].Cached is not null;

    public IReadOnlyList<Entry> Entries(ulong low, ulong highExclusive, long maxBytes)
    {
        Invariant.Check(low >= FirstIndex && low < highExclusive && highExclusive <= LastIndex + 1, "entries are asked for within the log");
        List<Entry> result = [];
        long bytes = 0;
        for (ulong index = low; index < highExclusive; index++)
        {
            bytes += ChargedBytes(in _entries[index]);
            if (result.Count > 0 && bytes > maxBytes)
            {
                break;
            }

            result.Add(Read(index));
        }

        return result;
    }

    /// <summary>
    /// The owner's half of a completion: takes over what the submission made durable for this group. Called by the owning
    /// worker when the completion reaches it, in submission order, before it steps the core.
    /// </summary>
    public void OnDurable(WalSubmission submission)
    {
        while (_inFlight.TryPeek(out WalItem? item) && ReferenceEquals(item.Submission, submission))
        {
            _inFlight.Dequeue();
            if (item.Cut is { } cut)
            {
                Snapshot = cut.Snapshot;
                SnapshotFile = cut.SnapshotFile;
                Cut(cut.Start, cut.LastIndex);
            }
            else if (item.IsRewrite)
            {
                Move(item.Entries!, submission.Segment!, submission.BatchOffset + item.FirstEntryAt);
            }
            else if (item.Replica is { } replica)
            {
                if (replica.IsVacant)
                {
                    Vacate();
                }
            }
            else
            {
                DurableHardState = item.HardState ?? DurableHardState;
                if (item.Entries is not null)
                {
                    Take(item.Entries, submission.Segment!, submission.BatchOffset + item.FirstEntryAt);
                }
            }
        }
    }

    /// <summary>
    /// Index of an entry that lies in a segment below a number; 0 when none is known. A call looks at a bounded number of
    /// entries and the next one goes on from there. 0 too while what it would find is about to move or be cut.
    /// </summary>
    public ulong FirstIndexBelow(ulong segment)
    {
        if (_purgeBelow != segment)
        {
            _purgeBelow = segment;
            _purgeCursor = FirstIndex;
        }

        if (_inFlight.Any(item => item.IsRewrite || item.Cut is not null))
        {
            return 0;
        }

        _purgeCursor = Math.Max(_purgeCursor, FirstIndex);
        ulong end = Math.Min(LastIndex + 1, _purgeCursor + MaxEntriesScanned);
        while (_purgeCursor < end && _entries[_purgeCursor].Segment!.Number >= segment)
        {
            _purgeCursor++;
        }

        return _purgeCursor < end ? _purgeCursor : 0;
    }

    /// <summary>The run of entries from <see cref="FirstIndexBelow"/> on that lie there, too.</summary>
    internal IReadOnlyList<Entry> EntriesBelow(ulong segment, long maxBytes)
    {
        ulong first = FirstIndexBelow(segment);
        if (first == 0)
        {
            return [];
        }

        // What is on its way to replace the log's tail comes first in the log: those entries are dead by then.
        ulong end = _inFlight.Where(item => item.Entries is not null).Select(item => item.Entries![0].Index).Append(LastIndex + 1).Min();
        List<Entry> run = [];
        long bytes = 0;
        for (ulong index = first; index < end && _entries[index].Segment!.Number < segment; index++)
        {
            bytes += _entries[index].PayloadLength;
            if (run.Count > 0 && bytes > maxBytes)
            {
                break;
            }

            run.Add(Read(index));
        }

        return run;
    }

    /// <summary>Nothing of the item's submission is in flight here any more.</summary>
    internal bool HasTaken(WalItem item) => !_inFlight.TryPeek(out WalItem? next) || !ReferenceEquals(next.Submission, item.Submission);

    internal void Track(WalItem item) => _inFlight.Enqueue(item);

    /// <summary>The log's start if everything before <paramref name="keepFrom"/> were cut; where it is already when that is gone.</summary>
    internal LogStart StartBefore(ulong keepFrom)
    {
        ulong index = Math.Max(keepFrom, FirstIndex) - 1;
        return new LogStart(index, Term(index), LastClock(index));
    }

    /// <summary>Reads an entry from memory or from its segment.</summary>
    internal Entry Read(ulong index)
    {
        ref EntrySlot slot = ref _entries[index];
        if (slot.Cached is { } cached)
        {
            return cached;
        }

        IFile file = slot.Segment!.File;
        byte[] bytes = new byte[EntryFormat.HeaderBytes + slot.PayloadLength];
        Reads?.Spend(bytes.Length);
        if (file.Read(bytes, slot.Offset) != bytes.Length || !EntryFormat.TryRead(bytes, Group, index, out Entry? entry))
        {
            throw new CorruptStorageException($"entry {index} of group {Group} fails its checksum", file.Path, slot.Offset);
        }

        return entry!;
    }

    // The three changes a record can make; recovery makes the same ones.

    /// <summary>Leaves exactly the entries (start, last].</summary>
    internal void Cut(LogStart start, ulong lastIndex)
    {
        CutAfter(lastIndex);
        while (_entries.Count > 0 && FirstIndex <= start.Index)
        {
            Release(ref _entries[FirstIndex]);
            _entries.RemoveFirst();
        }

        if (_entries.Count == 0)
        {
            _entries.RestartAt(start.Index + 1);
        }

        Invariant.Check(start.Index + 1 == FirstIndex, "a cut never brings entries back");
        _start = start;
        _cachedFrom = Math.Clamp(_cachedFrom, FirstIndex, LastIndex + 1);
    }

    internal void CutAfter(ulong lastIndex)
    {
        while (LastIndex > lastIndex && _entries.Count > 0)
        {
            Release(ref _entries[LastIndex]);
            _entries.RemoveLast();
        }

        _cachedFrom = Math.Min(_cachedFrom, LastIndex + 1);
    }

    /// <summary>The replica is gone: no entry of its log keeps a segment alive.</summary>
    internal void Vacate() => CutAfter(FirstIndex - 1);

    /// <summary>Adds an entry known to be durable at a place; the segment already counts it as live.</summary>
    internal void Add(EntrySlot slot)
    {
        _entries.Add(slot);
        LiveBytes += ChargedBytes(in slot);
        if (slot.Cached is null)
        {
            _cachedFrom = LastIndex + 1;
        }
    }

    // Recovery's own: nobody else has seen the log yet.

    internal void Recover(HardState state) => RecoveredHardState = DurableHardState = state;

    internal void Recover(ReplicaRecord replica) => Replica = replica;

    internal void Recover(SnapshotMetadata snapshot, string? snapshotFile)
    {
        Snapshot = snapshot;
        SnapshotFile = snapshotFile;
    }

    /// <summary>A rewritten entry takes the place of the one that was read before, which may have been in a freed segment.</summary>
    internal void Replace(ulong index, EntrySlot slot)
    {
        Release(ref _entries[index]);
        _entries[index] = slot;
        LiveBytes += ChargedBytes(in slot);
    }

    /// <summary>The entry has been written again elsewhere; the segment there already counts it as live.</summary>
    internal void Relocate(ulong index, Segment segment, long offset)
    {
        ref EntrySlot slot = ref _entries[index];
        slot.Segment?.ReleaseLive(1);
        slot.Segment = segment;
        slot.Offset = (uint)offset;
    }

    internal void FinishRecovery()
    {
        IsIntroduced = true;
        Tail = new GroupTail(Group, Snapshot, SnapshotFile, _start)
        {
            IsWritten = true,
            HardState = RecoveredHardState,
            Replica = Replica,
        };
        for (ulong index = FirstIndex; index <= LastIndex; index++)
        {
            Tail.Append(index, _entries[index].Term);
        }
    }

    private void Take(IReadOnlyList<Entry> entries, Segment segment, long offset)
    {
        CutAfter(entries[0].Index - 1);
        for (int i = 0; i < entries.Count; i++)
        {
            Entry entry = entries[i];
            Add(new EntrySlot
            {
                Segment = segment,
                Offset = (uint)offset,
                PayloadLength = entry.Payload.Length,
                Term = entry.Term,
                LastClock = entry.LastClock,
                Cached = entry,
            });
            _cache.Charge(entry.ChargedBytes);
            offset += EntryFormat.Size(entry.Payload.Length);
        }

        while (_cache.IsOver && _cachedFrom <= LastIndex)
        {
            ref EntrySlot oldest = ref _entries[_cachedFrom++];
            _cache.Charge(-ChargedBytes(in oldest));
            oldest.Cached = null;
        }
    }

    private void Move(IReadOnlyList<Entry> entries, Segment segment, long offset)
    {
        foreach (Entry entry in entries)
        {
            Invariant.Check(_entries[entry.Index].Term == entry.Term, "an entry that was written again is still the one in the log");
            Relocate(entry.Index, segment, offset);
            offset += EntryFormat.Size(entry.Payload.Length);
        }
    }

    private void Release(ref EntrySlot slot)
    {
        slot.Segment?.ReleaseLive(1);
        LiveBytes -= ChargedBytes(in slot);
        if (slot.Cached is not null)
        {
            _cache.Charge(-ChargedBytes(in slot));
        }
    }

    private static long ChargedBytes(in EntrySlot slot) => slot.PayloadLength + EnvelopeBytes;

    /// <summary>Entries looked at in one search for those in old segments.</summary>
    private const int MaxEntriesScanned = 4096;
}
