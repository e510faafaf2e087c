using System.Buffers.Text;
using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// What a group's log means. Applying an entry is a function of the state and the entry: no clock, no configuration, no order
/// of a hash table reaches the result, so replicas that applied the same entries are equal.
/// <para>
/// Revisions: an entry's base is max(its clock, last revision + 1), command n has the revision base + n, and the next entry
/// starts above base + count - 1, whether its commands did anything or not. Uniqueness is therefore a property of the log and
/// not of the leader's care; a base that differs from the clock means a leader was careless, and is counted.
/// </para>
/// <para>
/// A write with an id is looked up first, in the virtual node of its first key: (1) a record gives the stored result, a floor
/// refuses; (2) issued before G - D is refused, outcome unknown; (3) issued after G + 1 h is refused, not applied; (4) the
/// rest is executed and recorded until max(issued, G) + D. G is the group's time including this entry's own clock. Only
/// executed requests leave a trace: a refused one changes nothing.
/// </para>
/// </summary>
public sealed class KvStateMachine
{
    /// <summary>D: how long a write can be retried and still meet its result.</summary>
    public const ulong IdempotencyWindowMs = 600_000;

    /// <summary>A write first sent further ahead comes from a wrong clock, and its record would have to be kept for as long.</summary>
    public const ulong MaxIssuedAheadMs = 3_600_000;

    /// <summary>Records under user-chosen keys per group; a write that needs one more is refused as Overloaded.</summary>
    public const int MaxUserKeyRecords = 100_000;

    private readonly int[] _virtualNodes;
    private readonly IdempotencyRecords _records = new();
    private readonly List<Command> _batchItems = [];
    private readonly BatchOverlay _overlay = new();

    /// <param name="table">Empty, or built from the snapshot's rows.</param>
    /// <param name="virtualNodes">Of this group.</param>
    /// <param name="start">What the state stands for: the snapshot, or the mark a new group starts from.</param>
    /// <param name="startGroupTime">Milliseconds, from the snapshot.</param>
    public KvStateMachine(GroupTable table, IReadOnlyList<int> virtualNodes, SnapshotMetadata start, ulong startGroupTime)
    {
        Table = table;
        _virtualNodes = [.. virtualNodes.Order()];
        AppliedIndex = start.Index;
        LastRevision = start.LastClock;
        GroupTime = startGroupTime;
        if (table.AppliedIndex < start.Index)
        {
            // A new group's table has seen nothing, but its readers must see the index its log starts from.
            table.BeginBatch(start.Index);
            table.PublishBatch(startGroupTime);
        }

        Invariant.Check(table.AppliedIndex == start.Index, "the table stands at the index the state machine starts from");
    }

    public GroupTable Table { get; }

    public ulong AppliedIndex { get; private set; }

    /// <summary>The last revision used up.</summary>
    public ulong LastRevision { get; private set; }

    /// <summary>G: milliseconds, the largest base of an applied entry.</summary>
    public ulong GroupTime { get; private set; }

    /// <summary>
    /// Which life of the group this is: from the clock of its very first entry, so equal on all replicas, and another one for a
    /// group that was wiped and begun anew. 0 before that entry. Session tokens name it; any thread may read it.
    /// </summary>
    public uint History { get; private set; }

    /// <summary>Feature level of the group: what a leader stamps its entries with. Raised by an entry, on every replica at the same index.</summary>
    public ushort Level { get; private set; } = FeatureLevel.First;

    /// <summary>Entries whose base was not their clock, since this object was made.</summary>
    public long ClockRepairs { get; private set; }

    public int RecordCount => _records.RecordCount;

    public int FloorCount => _records.FloorCount;

    /// <summary>
    /// Applies the next entry, whatever its kind, and publishes its rows as one batch. Appends one result per request of the
    /// entry; pass null where nobody waits.
    /// </summary>
    public void Apply(Entry entry, IList<CommandResult>? results)
    {
        Invariant.Check(entry.Index == AppliedIndex + 1, "entries are applied in order, without a gap");
        Invariant.Check(entry.NeededLevel <= FeatureLevel.Max, "the entry's feature level is known to this build");
        Invariant.Check(entry.FeatureLevel <= Level, "an entry is written at a level its group has reached");
        Invariant.Check(entry.Count > 0, "an entry uses at least one revision");
        ulong baseRevision = Math.Max(entry.Clock, LastRevision + 1);
        Invariant.Check(baseRevision > LastRevision && baseRevision <= ulong.MaxValue - entry.Count, "revisions do not overflow");
        if (baseRevision != entry.Clock)
        {
            ClockRepairs++;
        }

        GroupTime = Math.Max(GroupTime, baseRevision >> ClockCounterBits);
        _records.Trim(GroupTime);

        if (LastRevision == 0)
        {
            // Before the table shows the entry: whoever reads at an index knows its history.
            History = HistorySection.Of(entry.Clock);
        }

        Table.BeginBatch(entry.Index);
        uint used = entry.Kind == EntryKind.Command ? ApplyCommands(entry.Payload, baseRevision, results) : 1;
        Invariant.Check(used == entry.Count, "an entry uses as many revisions as it says");
        Table.PublishBatch(GroupTime);

        Level = Math.Max(Level, entry.NeededLevel);
        LastRevision = baseRevision + entry.Count - 1;
        AppliedIndex = entry.Index;
    }

    /// <summary>What a snapshot needs beside the rows and its header, at the applied index; the same bytes on every replica.</summary>
    public IReadOnlyList<SnapshotSection> CaptureSections()
    {
        var sections = new List<SnapshotSection>();
        if (History != 0)
        {
            sections.Add(HistorySection.Capture(_virtualNodes[0], History));
        }

        if (Level > FeatureLevel.First)
        {
            sections.Add(LevelSection.Capture(_virtualNodes[0], Level));
        }

        foreach (int virtualNode in _virtualNodes)
        {
            if (_records.Of(virtualNode) is { } records)
            {
                IdempotencySection.Capture(virtualNode, records, sections);
            }
        }

        return sections;
    }

    /// <summary>Fills a state machine that was just made from the same snapshot. A section it cannot read stops the node.</summary>
    public void RestoreSections(IReadOnlyList<SnapshotSection> sections)
    {
        Invariant.Check(_records.RecordCount == 0 && _records.FloorCount == 0, "sections are restored into a fresh state machine");
        var last = new Dictionary<int, IdempotencySection.ElementPosition?>();
        foreach (SnapshotSection section in sections)
        {
            if (section.Kind == HistorySection.Kind)
            {
                History = HistorySection.Restore(section);
                continue;
            }

            if (section.Kind == LevelSection.Kind)
            {
                Level = LevelSection.Restore(section);
                continue;
            }

            if (section.Kind != IdempotencySection.Kind)
            {
                throw new CorruptStorageException($"Snapshot section of unknown kind {section.Kind}.");
            }

            if (!Table.Owns(section.VirtualNode))
            {
                throw new CorruptStorageException($"Snapshot section of virtual node {section.VirtualNode}, which the group does not own.");
            }

            IdempotencySection.ElementPosition? position = last.GetValueOrDefault(section.VirtualNode);
            IdempotencySection.Restore(section, _records, GroupTime, ref position);
            last[section.VirtualNode] = position;
        }
    }

    /// <summary>A hash of the whole state, equal on replicas at the same applied index and in every process.</summary>
    /// <param name="snapshot">The table at the applied index.</param>
    public ulong Hash(TableSnapshot snapshot)
    {
        StateHasher hasher = BeginHash(snapshot);
        while (!hasher.Step(int.MaxValue))
        {
            // More than two gigabytes: another step.
        }

        return hasher.Value;
    }

    /// <summary>The same, captured now and computed later.</summary>
    /// <param name="snapshot">The table at the applied index; to be kept until the last step.</param>
    internal StateHasher BeginHash(TableSnapshot snapshot)
    {
        Invariant.Check(snapshot.Index == AppliedIndex, "the hashed rows and records are of one index");
        return new StateHasher(AppliedIndex, LastRevision, GroupTime, _virtualNodes, snapshot, CaptureSections());
    }

    private uint ApplyCommands(ReadOnlyMemory<byte> payload, ulong baseRevision, IList<CommandResult>? results)
    {
        var reader = new CommandReader(payload);
        uint used = 0;
        while (!reader.AtEnd)
        {
            Command request = reader.ReadRequest();
            _batchItems.Clear();
            for (int i = 0; i < request.ItemCount; i++)
            {
                _batchItems.Add(reader.ReadItem());
            }

            CommandResult result = ApplyRequest(request, baseRevision + used);
            results?.Add(result);
            used += request.Revisions;
        }

        return used;
    }

    private CommandResult ApplyRequest(in Command request, ulong revision)
    {
        if (!OwnsEveryKey(request))
        {
            return CommandResult.Refused(ErrorCode.WrongNode, Outcome.NotApplied, "The group does not own the key.");
        }

        if (request.Id is not { } id)
        {
            return Execute(request, revision).ToResult(duplicate: false);
        }

        var key = new RequestKey(id.Client, id.Sequence);
        ulong issuedMs = id.FirstSentMs == 0 ? GroupTime : id.FirstSentMs;
        if (Known(request.VirtualNode, key, id.Digest) is { } known)
        {
            return known;
        }

        if (issuedMs < GroupTime && GroupTime - issuedMs > IdempotencyWindowMs)
        {
            return CommandResult.Refused(
                ErrorCode.IdempotencyExpired, Outcome.Unknown, "The request was first sent longer ago than results are remembered (10 minutes).");
        }

        if (issuedMs > GroupTime && issuedMs - GroupTime > MaxIssuedAheadMs)
        {
            return CommandResult.Refused(
                ErrorCode.InvalidRequest, Outcome.NotApplied, "The time of first sending is more than an hour ahead of the group's time.");
        }

        if (key.IsUserKey && _records.UserKeyCount >= MaxUserKeyRecords)
        {
            return CommandResult.Refused(
                ErrorCode.Overloaded, Outcome.NotApplied, "The group remembers as many idempotency keys as it may, each for 10 minutes.");
        }

        ExecutedOutcome outcome = Execute(request, revision);
        Remember(request.VirtualNode, key, id, Math.Max(issuedMs, GroupTime) + IdempotencyWindowMs, outcome);
        return outcome.ToResult(duplicate: false);
    }

    /// <summary>What a copy of a request that is on record gets; null when nothing is known of it.</summary>
    private CommandResult? Known(int virtualNode, RequestKey key, ulong digest)
    {
        if (_records.Of(virtualNode) is not { } records)
        {
            return null;
        }

        if (records.TryGetRecord(key, out IdempotencyRecord record))
        {
            return record.Digest == digest
                ? record.Outcome.ToResult(duplicate: true)
                : CommandResult.Refused(
                    ErrorCode.IdempotencyReused, Outcome.NotApplied, "The idempotency key was used for a request with another payload.");
        }

        return !key.IsUserKey && key.Sequence < records.FloorOf(key.Client).Below
            ? CommandResult.Refused(
                ErrorCode.IdempotencyExpired, Outcome.Unknown, "The client had acknowledged the answer before this copy came.")
            : null;
    }

    private void Remember(int virtualNode, RequestKey key, RequestId id, ulong expiresMs, ExecutedOutcome outcome)
    {
        // A request cannot have been acknowledged before it was sent: its own sequence stays out of its floor.
        ulong below = Math.Min(id.AckedBelow, id.Sequence);
        if (below > 1)
        {
            _records.RaiseFloor(virtualNode, key.Client, below, expiresMs);
        }

        _records.Add(virtualNode, key, new IdempotencyRecord(expiresMs, id.Digest, outcome));
    }

    private bool OwnsEveryKey(in Command request)
    {
        bool owns = Table.Owns(request.VirtualNode);
        foreach (Command item in _batchItems)
        {
            owns &= Table.Owns(item.VirtualNode);
        }

        return owns;
    }

    private ExecutedOutcome Execute(in Command request, ulong revision) =>
        request.Operation == KvOperation.Batch ? ExecuteBatch(revision) : ExecuteSingle(request, revision);

    private ExecutedOutcome ExecuteSingle(in Command command, ulong revision)
    {
        bool exists = Table.TryPeek(command.VirtualNode, command.Key.Span, out RecordMeta meta, out ReadOnlySpan<byte> stored);
        Span<byte> counter = stackalloc byte[MaxStoredCounterBytes];
        ExecutedOutcome outcome = Decide(command, revision, new KeyState(exists, meta.ModRevision, stored), counter, out int counterBytes);
        if (outcome.Code == ErrorCode.None)
        {
            Write(command, revision, exists, command.Operation == KvOperation.Put ? command.StoredValue.Span : counter[..counterBytes]);
        }

        return outcome;
    }

    /// <summary>
    /// All items or none, in order: an item sees what the items before it would write. Item n has the revision first + n. When
    /// one fails, nothing is written, the batch has the code of the first that failed, and every item shows its key's current
    /// revision.
    /// </summary>
    private ExecutedOutcome ExecuteBatch(ulong firstRevision)
    {
        var outcomes = new ExecutedOutcome[_batchItems.Count];
        ErrorCode failure = ErrorCode.None;
        Span<byte> counter = stackalloc byte[MaxStoredCounterBytes];
        _overlay.Clear();
        for (int i = 0; i < _batchItems.Count; i++)
        {
            Command item = _batchItems[i];
            ulong revision = firstRevision + (uint)i;
            KeyState state = StateInBatch(item);
            ExecutedOutcome outcome = Decide(item, revision, state, counter, out int counterBytes);
            outcomes[i] = outcome;
            if (outcome.Code == ErrorCode.None)
            {
                _overlay.Add(item, revision, state.Exists, counter[..counterBytes]);
            }
            else if (failure == ErrorCode.None)
            {
                failure = outcome.Code;
            }
        }

        if (failure != ErrorCode.None)
        {
            return ExecutedOutcome.Failed(failure, currentRevision: 0) with { Items = HoldBack(outcomes, failure) };
        }

        foreach (BatchOverlay.PendingWrite write in _overlay.Writes)
        {
            Write(write.Command, write.Revision, write.Existed, write.StoredValue.Span);
        }

        return ExecutedOutcome.Done(firstRevision + (uint)_batchItems.Count - 1, changed: false) with { Items = outcomes };
    }

    private KeyState StateInBatch(in Command item)
    {
        if (_overlay.TryGet(item.Key, out BatchOverlay.PendingWrite write))
        {
            bool written = write.Command.Operation != KvOperation.Delete;
            return new KeyState(written, written ? write.Revision : 0, write.StoredValue.Span);
        }

        bool exists = Table.TryPeek(item.VirtualNode, item.Key.Span, out RecordMeta meta, out ReadOnlySpan<byte> stored);
        return new KeyState(exists, meta.ModRevision, stored);
    }

    // The revisions the items would have written never came to be, so each shows what the table has.
    private ExecutedOutcome[] HoldBack(ExecutedOutcome[] outcomes, ErrorCode failure)
    {
        for (int i = 0; i < outcomes.Length; i++)
        {
            bool exists = Table.TryPeek(_batchItems[i].VirtualNode, _batchItems[i].Key.Span, out RecordMeta meta, out _);
            bool heldBack = outcomes[i].Code == ErrorCode.None;
            outcomes[i] = ExecutedOutcome.Failed(heldBack ? failure : outcomes[i].Code, exists ? meta.ModRevision : 0, heldBack);
        }

        return outcomes;
    }

    /// <summary>What the command comes to on this state of its key; an increment leaves the new stored value in counter.</summary>
    private static ExecutedOutcome Decide(
        in Command command, ulong revision, KeyState current, Span<byte> counter, out int counterBytes)
    {
        counterBytes = 0;
        if (!Holds(command.Condition, current))
        {
            return ExecutedOutcome.Failed(ErrorCode.ConditionFailed, current.Revision);
        }

        switch (command.Operation)
        {
            case KvOperation.Put:
                return ExecutedOutcome.Done(revision, changed: !current.Exists);
            case KvOperation.Delete:
                return ExecutedOutcome.Done(revision, changed: current.Exists);
            default:
                if (!TryIncrement(command, current, counter, out long number, out counterBytes))
                {
                    return ExecutedOutcome.Failed(ErrorCode.NotANumber, current.Revision);
                }

                return ExecutedOutcome.Done(revision, changed: false, number);
        }
    }

    private static bool Holds(KvCondition condition, KeyState current) => condition.Kind switch
    {
        ConditionKind.None => true,
        ConditionKind.RevisionIs => current.Exists && current.Revision == condition.Revision,
        ConditionKind.Exists => current.Exists,
        _ => !current.Exists,
    };

    /// <summary>A counter is a decimal int64 in ASCII. It keeps the content type it was put with; a new one is text/plain.</summary>
    private static bool TryIncrement(in Command command, KeyState current, Span<byte> counter, out long number, out int counterBytes)
    {
        number = command.Initial;
        counterBytes = 0;
        ReadOnlySpan<byte> type = NewCounterType;
        if (current.Exists
            && !(StoredValue.TrySplit(current.Stored, out type, out ReadOnlySpan<byte> text) && TryParseCounter(text, out number)))
        {
            return false;
        }

        long sum = unchecked(number + command.Delta);
        if (((number ^ sum) & (command.Delta ^ sum)) < 0)
        {
            return false;
        }

        number = sum;
        counter[0] = (byte)type.Length;
        type.CopyTo(counter[1..]);
        bool fits = Utf8Formatter.TryFormat(number, counter[(1 + type.Length)..], out int digits);
        Invariant.Check(fits, "the counter buffer holds every int64");
        counterBytes = 1 + type.Length + digits;
        return true;
    }

    // Utf8Parser also takes a plus sign, which would be lost by the next increment.
    private static bool TryParseCounter(ReadOnlySpan<byte> text, out long number)
    {
        number = 0;
        return text.Length > 0 && text[0] != (byte)'+'
            && Utf8Parser.TryParse(text, out number, out int consumed) && consumed == text.Length;
    }

    private void Write(in Command command, ulong revision, bool exists, ReadOnlySpan<byte> stored)
    {
        if (command.Operation != KvOperation.Delete)
        {
            Table.Put(command.VirtualNode, command.Key.Span, stored, revision);
        }
        else if (exists)
        {
            Table.Delete(command.VirtualNode, command.Key.Span, revision);
        }
    }

    /// <summary>A key as a command finds it.</summary>
    private readonly ref struct KeyState(bool exists, ulong revision, ReadOnlySpan<byte> stored)
    {
        public readonly bool Exists = exists;

        /// <summary>0 when the key is absent.</summary>
        public readonly ulong Revision = exists ? revision : 0;

        public readonly ReadOnlySpan<byte> Stored = stored;
    }

    private static ReadOnlySpan<byte> NewCounterType => "text/plain"u8;

    // Milliseconds × 65,536 plus a counter.
    private const int ClockCounterBits = 16;
    private const int MaxStoredCounterBytes = 1 + Limits.MaxContentTypeBytes + 20;
}
