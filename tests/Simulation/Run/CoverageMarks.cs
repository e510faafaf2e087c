using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Simulation;

/// <summary>Counts of rare events, so that a run can say what it never reached: a state that is never reached is never checked.</summary>
public sealed class CoverageMarks
{
    public const string WriteSentAgain = "write-sent-again";
    public const string WriteCopiedLate = "write-copied-late";
    public const string HistoryChecked = "history-checked";
    public const string OneLeftBehind = "one-node-left-behind";
    public const string BoundedRead = "bounded-read-held-to-its-bound";
    public const string ReadWithAge = "read-held-to-its-age";
    public const string JointLeftByNewLeader = "joint-left-by-a-new-leader";
    public const string VoterReplaced = "voter-replaced";
    public const string VoterDemoted = "voter-demoted";
    public const string LearnerPromoted = "learner-promoted";
    public const string LeaderRemovedItself = "leader-removed-itself";
    public const string ReplicaCreatedAgain = "replica-created-again-on-the-same-node";
    public const string OlderTableRefused = "change-by-an-older-table-refused";
    public const string EntryAtLaterLevel = "entry-of-a-later-level-applied";
    public const string CappedNodeApplied = "write-applied-by-a-capped-node";
    public const string CapLifted = "cap-lifted";
    public const string FolderRefused = "folder-refused-to-an-older-build";
    public const string AppendRefusedAtFirstLevel = "append-refused-at-level-1";
    public const string AppendAfterUpgrade = "append-executed-after-a-cap-was-lifted";
    public const string TransactionAnsweredLate = "copy-of-a-transaction-answered-when-its-reads-were-superseded";
    public const string AskedThroughAThirdNode = "asked-through-a-third-node";
    public const string ForwardedWithoutMajority = "forwarded-to-a-group-without-its-majority";
    public const string DamageRefused = "damage-refused";
    public const string OneWayForGood = "one-way-link-for-good";
    public const string OldCopyRefused = "old-copy-refused";

    /// <summary>Too rare to be expected of a hunt.</summary>
    public const string HeardNobody = "node-that-heard-nobody-refused-in-time";

    public const string HungForGood = "disk-hung-for-good";
    private const string DuplicateAnswered = "duplicate-answered-from-its-record";
    private const string EntrySuperseded = "leader-deposed-with-uncommitted-entries";
    private const string SectorTorn = "sector-torn";
    private const string SectorLost = "unsynced-sector-lost";
    private const string NameLost = "unsynced-name-lost";
    private const string DiskFault = "disk-fault";
    private const string PinnedGroupRewritten = "pinned-group-rewritten";

    private static readonly string[] Operations = [.. OperationTable.All.Select(row => OperationExecuted(row.Name))];

    /// <summary>What a hunt of any size worth the name must reach.</summary>
    public static readonly IReadOnlyList<string> Expected =
    [
        nameof(NodeEventKind.BecameLeader), nameof(NodeEventKind.LostLeadership), nameof(NodeEventKind.PeerLost),
        nameof(NodeEventKind.SnapshotTaken), nameof(NodeEventKind.SnapshotFetched), nameof(NodeEventKind.SnapshotInstalled), nameof(NodeEventKind.LogCompacted),
        nameof(NodeEventKind.ClockOff), WriteSentAgain, WriteCopiedLate, HistoryChecked, BoundedRead, ReadWithAge, OneLeftBehind, DuplicateAnswered,
        EntrySuperseded, SectorTorn, SectorLost, NameLost, DiskFault, PinnedGroupRewritten, nameof(NodeEventKind.TornTailCut),
        nameof(NodeEventKind.ReplicaCame), nameof(NodeEventKind.ReplicaLeft), JointLeftByNewLeader, VoterReplaced, VoterDemoted,
        LearnerPromoted, LeaderRemovedItself, ReplicaCreatedAgain, OlderTableRefused, nameof(NodeEventKind.LevelRaised), EntryAtLaterLevel,
        CappedNodeApplied, CapLifted, AppendRefusedAtFirstLevel, AppendAfterUpgrade, TransactionAnsweredLate,
        nameof(NodeEventKind.DiskSick), nameof(NodeEventKind.DiskShort), nameof(NodeEventKind.GroupsAhead), AskedThroughAThirdNode,
        ForwardedWithoutMajority, DamageRefused, OneWayForGood, HungForGood, OldCopyRefused, .. Operations,
    ];

    private readonly SortedDictionary<string, long> _counts = new(StringComparer.Ordinal);

    public IReadOnlyDictionary<string, long> Counts => _counts;

    /// <summary>Every operation has such a mark: one that no client sends is never reached, by name.</summary>
    public static string OperationExecuted(string name) => $"operation-{name}-executed";

    /// <summary>A client was told that this succeeded.</summary>
    public void Executed(Protocol.Operation operation) => Hit(Operations[operation.Code - 1]);

    public void Hit(string mark, long times = 1)
    {
        if (times > 0)
        {
            _counts[mark] = _counts.GetValueOrDefault(mark) + times;
        }
    }

    public void AddFrom(DiskCounters disk)
    {
        Hit(SectorTorn, disk.SectorsTorn);
        Hit(SectorLost, disk.SectorsLost);
        Hit(NameLost, disk.NamesLost);
        Hit(DiskFault, disk.Faults);
    }

    /// <summary>What a process has counted: read when it ends, however it ends.</summary>
    public void AddFrom(StoreNode process)
    {
        Hit(PinnedGroupRewritten, process.Log.Counters.RewrittenEntries);
        foreach (ShardLoop loop in process.Loops)
        {
            Hit(DuplicateAnswered, loop.Front.Counters.Duplicates);
            Hit(EntrySuperseded, loop.Front.Counters.Superseded);
        }
    }
}
