using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Storage;

namespace KvStore.StateMachine;

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

    /// <summary>
    /// Memory of the records of one client in one virtual node at which a leader refuses its next write as Overloaded: some 64,000 writes, or
    /// 800 of 512 items. A client that says which answers it has is far below it. It is asked before a write is in the log and changes
    /// nothing that an entry means.
    /// </summary>
    public const long MaxClientRecordBytes = 16L << 20;

    private readonly int[] _virtualNodes;
    private readonly IdempotencyRecords _records = new();
    private readonly Execution _execution;

    /// <param name="table">Empty, or built from the snapshot's rows.</param>
    /// <param name="virtualNodes">Of this group, its own outside the ring included.</param>
    /// <param name="start">What the state stands for: the snapshot, or the mark a new group starts from.</param>
    /// <param name="startGroupTime">Milliseconds, from the snapshot.</param>
    public KvStateMachine(GroupTable table, IReadOnlyList<int> virtualNodes, SnapshotMetadata start, ulong startGroupTime)
    {
        Table = table;
        _execution = new Execution(table);
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

    /// <summary>
    /// Bytes of values that the last entry stored or copied. Its payload says little about it: an append of one byte stores the whole value
    /// again.
    /// </summary>
    public long LastMovedBytes => _execution.MovedBytes;

    public int RecordCount => _records.RecordCount;

    public int FloorCount => _records.FloorCount;

    /// <summary>Memory that records and floors take, about.</summary>
    public long RecordBytes => _records.Bytes;

    /// <summary>
    /// False: the client has as many unacknowledged records there as it may, and this write frees none. Under user-chosen keys the group has
    /// a limit of its own (<see cref="MaxUserKeyRecords"/>).
    /// </summary>
    /// <param name="virtualNode">Of the write's first key.</param>
    /// <param name="id">Of the write.</param>
    public bool HasRoomFor(int virtualNode, RequestId id) => id.Sequence == RequestKey.UserKeySequence
        || _records.Of(virtualNode) is not { } records || records.BytesOf(id.Client) < MaxClientRecordBytes
        || (records.TryGetFirst(id.Client, out RequestKey first) && first.Sequence < Math.Min(id.AckedBelow, id.Sequence));

    /// <summary>There are records or floors that the next entry takes away, if group time is near this.</summary>
    public bool HasExpired(ulong nowMs) => _records.NextExpiryMs < nowMs;

    /// <summary>
    /// What a copy of a request gets that was executed before, or is known to have been; null when nothing is known of it. Reads only:
    /// whoever is about to refuse a request looks here first, for "nothing was written" would be false of one that was.
    /// </summary>
    /// <param name="copy">The write.</param>
    /// <param name="virtualNode">Of its first key.</param>
    /// <param name="id">Its id.</param>
    public CommandResult? Recall(WriteOperation copy, int virtualNode, RequestId id)
    {
        // Only the reads of a transaction look at the table again, and its keys lie in one slot.
        _execution.Begin(showsReads: true);
        _execution.VirtualNodes.Clear();
        _execution.VirtualNodes.AddRange(Enumerable.Repeat(virtualNode, copy.KeyCount));
        return Known(copy, virtualNode, new RequestKey(id.Client, id.Sequence), id.Digest, isWanted: true);
    }

    /// <summary>
    /// Applies the next entry, whatever its kind, and publishes its rows as one batch. Appends one result per request of the
    /// entry; pass null where nobody waits.
    /// </summary>
    public void Apply(Entry entry, IList<CommandResult>? results)
    {
        Invariant.Check(entry.Index == AppliedIndex + 1, "entries are applied in order, without a gap");
        Invariant.Check(entry.NeededLevel <= FeatureLevel.Max, "the entry's feature level is known to this build");
        // A configuration entry is the core's: one that ends a joint configuration says what its configuration says, raised or not.
        Invariant.Check(
            entry.Kind == EntryKind.ConfChange || entry.FeatureLevel <= Level, "an entry is written at a level its group has reached");
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

        _execution.MovedBytes = 0;
        Table.BeginBatch(entry.Index);
        uint used = entry.Kind == EntryKind.Command ? ApplyCommands(entry.Payload, baseRevision, results) : 1;
        Invariant.Check(used == entry.Count, "an entry uses as many revisions as it says");
        _execution.Release();
        Table.PublishBatch(GroupTime);

        if (entry.Kind == EntryKind.NoOp)
        {
            Level = Math.Max(Level, entry.NeededLevel);
        }

        LastRevision = baseRevision + entry.Count - 1;
        AppliedIndex = entry.Index;
    }

    /// <summary>
    /// The virtual nodes that a snapshot names: those the group owns in the ring, and the one outside it once it holds rows. Until
    /// then its files are those of builds that know no such node.
    /// </summary>
    /// <param name="rows">The table at the applied index.</param>
    public IReadOnlyList<int> VirtualNodesIn(TableSnapshot rows) =>
        [.. _virtualNodes.Where(node => !SystemVirtualNode.Is(node) || rows.HasRows(node))];

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
                IdempotencySection.Capture(virtualNode, records, Level, sections);
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
    public StateHasher BeginHash(TableSnapshot snapshot)
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
            Command request = reader.Read(_execution.VirtualNodes);
            CommandResult result = ApplyRequest(request, baseRevision + used, isWanted: results is not null);
            results?.Add(result);
            used += (uint)request.Operation.KeyCount;
        }

        return used;
    }

    // A result that nobody waits for is not made: values that were read would be copied for it, on every replica.
    private CommandResult ApplyRequest(in Command request, ulong revision, bool isWanted)
    {
        _execution.Begin(showsReads: isWanted);
        if (!OwnsEveryKey())
        {
            return CommandResult.Refused(ErrorCode.WrongNode, Outcome.NotApplied, "The group does not own the key.");
        }

        if (request.Id is not { } id)
        {
            return ResultOf(Execute(request.Operation, revision), request.Operation, duplicate: false, isWanted);
        }

        var key = new RequestKey(id.Client, id.Sequence);
        ulong issuedMs = id.FirstSentMs == 0 ? GroupTime : id.FirstSentMs;
        int home = _execution.VirtualNodes[0];
        if (Known(request.Operation, home, key, id.Digest, isWanted) is { } known)
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

        ExecutedOutcome outcome = Execute(request.Operation, revision);
        Remember(home, key, id, Math.Max(issuedMs, GroupTime) + IdempotencyWindowMs, outcome);
        return ResultOf(outcome, request.Operation, duplicate: false, isWanted);
    }

    private CommandResult ResultOf(in ExecutedOutcome outcome, WriteOperation operation, bool duplicate, bool isWanted) =>
        isWanted ? outcome.ToResult(operation, duplicate, _execution) : default;

    /// <summary>What a copy of a request that is on record gets; null when nothing is known of it.</summary>
    private CommandResult? Known(WriteOperation copy, int virtualNode, RequestKey key, RequestDigest digest, bool isWanted)
    {
        if (_records.Of(virtualNode) is not { } records)
        {
            return null;
        }

        if (records.TryGetRecord(key, out IdempotencyRecord record))
        {
            return !digest.Contradicts(record.Digest, copy)
                ? ResultOf(record.Outcome, copy, duplicate: true, isWanted)
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

    private bool OwnsEveryKey()
    {
        bool owns = true;
        foreach (int virtualNode in _execution.VirtualNodes)
        {
            owns &= Table.Owns(virtualNode);
        }

        return owns;
    }

    private ExecutedOutcome Execute(WriteOperation operation, ulong revision) =>
        RuleTable.Of(operation).Execute(operation, revision, _execution);

    // Milliseconds × 65,536 plus a counter.
    private const int ClockCounterBits = 16;
}
