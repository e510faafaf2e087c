using System.Buffers;
using System.Text;
using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;
using KvStore.Storage;

namespace KvStore.Replication.Tests.StateMachine;

/// <summary>A state machine with a table of its own, and requests in one line each.</summary>
internal sealed class Machine
{
    /// <summary>Of the whole ring: a key's virtual node follows from its slot, as at a router.</summary>
    public const int VirtualNodeCount = 4;

    public const ulong D = KvStateMachine.IdempotencyWindowMs;
    public const ulong Hour = KvStateMachine.MaxIssuedAheadMs;

    /// <summary>Group time at which a fresh machine starts, ms.</summary>
    public const ulong Start = 1_000_000_000;

    private static readonly ConfState OneVoter = ConfState.Of(new ReplicaId(1));

    private readonly CommandBatchWriter _writer = new(VirtualNodeCount);
    private readonly int[] _virtualNodes;

    public Machine(params int[] virtualNodes)
        : this(virtualNodes.Length == 0 ? [0, 1, 2, 3] : virtualNodes, index: 5, Start << 16, Start, table: null)
    {
    }

    private Machine(int[] virtualNodes, ulong index, ulong lastClock, ulong groupTime, GroupTable? table)
    {
        _virtualNodes = virtualNodes;
        table ??= new GroupTable(new SlabArena(), virtualNodes);
        State = new KvStateMachine(table, virtualNodes, new SnapshotMetadata(index, 5, lastClock, OneVoter), groupTime);
    }

    public KvStateMachine State { get; }

    /// <summary>Feature level of its group, as if a snapshot had said so: no index and no revision is used up for it.</summary>
    public ushort Level
    {
        get => State.Level;
        init
        {
            if (value > State.Level)
            {
                State.RestoreSections([LevelSection.Capture(_virtualNodes[0], value)]);
            }
        }
    }

    public ulong GroupTime => State.GroupTime;

    public static int VirtualNodeOf(ReadOnlySpan<byte> key) => Slot.Of(key) / (Limits.SlotCount / VirtualNodeCount);

    public static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    public static KvRequest Put(
        string key, string value, RequestId? id = null, KvCondition condition = default, string? type = null) =>
        new() { Operation = new Put(Bytes(key), Bytes(value), type, condition), Id = id };

    public static KvRequest Append(
        string key, string value, RequestId? id = null, KvCondition condition = default, string? type = null) =>
        new() { Operation = new Append(Bytes(key), Bytes(value), type, condition), Id = id };

    public static KvRequest Delete(string key, RequestId? id = null, KvCondition condition = default) =>
        new() { Operation = new Delete(Bytes(key), condition), Id = id };

    public static KvRequest Increment(
        string key, long delta = 1, long initial = 0, RequestId? id = null, KvCondition condition = default) =>
        new() { Operation = new Increment(Bytes(key), delta, initial, condition), Id = id };

    public static KvRequest Batch(RequestId? id, params KvRequest[] items) =>
        new() { Operation = new Batch([.. items.Select(item => (KeyWrite)item.Operation)]), Id = id };

    public static KvCondition Is(ulong revision) => new(ConditionKind.RevisionIs, revision);

    public static readonly KvCondition Exists = new(ConditionKind.Exists);
    public static readonly KvCondition Absent = new(ConditionKind.Absent);

    public static RequestId Id(ulong client, ulong sequence, ulong firstSent = 0, ulong ackedBelow = 0, ulong digest = 0) =>
        new(client, sequence, firstSent, ackedBelow, Digest(digest));

    /// <summary>The id of a user-chosen key.</summary>
    public static RequestId UserKey(ulong name, ulong firstSent = 0, ulong digest = 1) => new(name, 0, firstSent, 0, Digest(digest));

    /// <summary>One that every level keeps as it is; none for 0.</summary>
    public static RequestDigest Digest(ulong value) => value == 0 ? default : new RequestDigest(DigestAlgorithm.Fields, value);

    /// <summary>One entry with these requests, at this group time.</summary>
    public CommandResult[] ApplyAt(ulong timeMs, params KvRequest[] requests) => ApplyAtClock(timeMs << 16, requests);

    public CommandResult[] ApplyAtClock(ulong clock, params KvRequest[] requests)
    {
        var results = new List<CommandResult>();
        State.Apply(EntryOf(clock, requests), results);
        return [.. results];
    }

    /// <summary>One request in an entry of its own, at the group time of now.</summary>
    public CommandResult Apply(KvRequest request) => ApplyAt(GroupTime, request)[0];

    /// <summary>Lets group time pass.</summary>
    public void NoOpAt(ulong timeMs) => State.Apply(NoOp(timeMs << 16), null);

    /// <summary>An entry that raises the group, unless it is there.</summary>
    public void RaiseTo(ushort level)
    {
        if (level > State.Level)
        {
            State.Apply(NoOp(GroupTime << 16) with { Payload = LevelRaise.Encode(level) }, null);
        }
    }

    public Entry NoOp(ulong clock) => new(6, State.AppliedIndex + 1, EntryKind.NoOp, 1, clock, 1, default);

    public Entry EntryOf(ulong clock, params KvRequest[] requests)
    {
        foreach (KvRequest request in requests)
        {
            _writer.Add((WriteOperation)request.Operation, request.Id, Level);
        }

        uint revisions = _writer.Revisions;
        return new Entry(6, State.AppliedIndex + 1, EntryKind.Command, Level, clock, revisions, _writer.TakePayload());
    }

    public string? Value(string key) => TryGet(key, out string value, out _, out _) ? value : null;

    public string? ContentType(string key) => TryGet(key, out _, out string? type, out _) ? type : null;

    public ulong Revision(string key) => TryGet(key, out _, out _, out ulong revision) ? revision : 0;

    public ulong Hash()
    {
        using TableSnapshot snapshot = State.Table.Capture();
        return State.Hash(snapshot);
    }

    /// <summary>Another replica, made from a snapshot of this one as a restart makes it.</summary>
    public Machine Restarted(Func<IReadOnlyList<SnapshotSection>, IReadOnlyList<SnapshotSection>>? tamper = null)
    {
        using TableSnapshot snapshot = State.Table.Capture();
        var rows = new CopiedRows(snapshot, _virtualNodes);
        GroupTable table = TableBuild.Now(new SlabArena(), _virtualNodes, State.AppliedIndex, State.GroupTime, rows);
        var restarted = new Machine(_virtualNodes, State.AppliedIndex, State.LastRevision, State.GroupTime, table);
        IReadOnlyList<SnapshotSection> sections = State.CaptureSections();
        restarted.State.RestoreSections(tamper is null ? sections : tamper(sections));
        return restarted;
    }

    /// <summary>Every row, as text, in the order of the table.</summary>
    public IEnumerable<string> Rows()
    {
        using TableSnapshot snapshot = State.Table.Capture();
        var rows = new CopiedRows(snapshot, _virtualNodes);
        var lines = new List<string>();
        while (rows.MoveNext())
        {
            Assert.True(StoredValue.TryRead(rows.Value, out ReadOnlySpan<byte> value, out string? type));
            lines.Add($"{Encoding.UTF8.GetString(rows.Key)} = {Encoding.UTF8.GetString(value)} ({type}) @ {rows.Meta.ModRevision}");
        }

        return lines;
    }

    private bool TryGet(string key, out string value, out string? type, out ulong revision)
    {
        byte[] bytes = Bytes(key);
        var destination = new ArrayBufferWriter<byte>();
        ReadOutcome outcome = State.Table.Get(VirtualNodeOf(bytes), bytes, destination, out RecordMeta meta, out _);
        (value, type, revision) = (string.Empty, null, meta.ModRevision);
        if (outcome == ReadOutcome.Absent)
        {
            return false;
        }

        Assert.True(StoredValue.TryRead(destination.WrittenMemory, out ReadOnlyMemory<byte> found, out type));
        value = Encoding.UTF8.GetString(found.Span);
        return true;
    }

    private sealed class CopiedRows : ISortedRowSource
    {
        private readonly List<(int VirtualNode, byte[] Key, byte[] Value, RecordMeta Meta)> _rows = [];
        private int _position = -1;

        public CopiedRows(TableSnapshot snapshot, int[] virtualNodes)
        {
            var page = new RowPage();
            foreach (int virtualNode in virtualNodes)
            {
                byte[] from = [];
                do
                {
                    snapshot.ReadPage(virtualNode, from, default, keysOnly: false, maxRows: 100, maxBytes: 1 << 20, page);
                    for (int i = 0; i < page.Count; i++)
                    {
                        _rows.Add((virtualNode, page.Key(i).ToArray(), page.Value(i).ToArray(), page.Meta(i)));
                        from = [.. page.Key(i), 0];
                    }
                }
                while (!page.IsLast);
            }
        }

        public bool MoveNext() => ++_position < _rows.Count;

        public int VirtualNode => _rows[_position].VirtualNode;

        public ReadOnlySpan<byte> Key => _rows[_position].Key;

        public ReadOnlySpan<byte> Value => _rows[_position].Value;

        public RecordMeta Meta => _rows[_position].Meta;
    }
}
