using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>A step worth a log line: group, term and index where they mean something. Raised on a loop's thread; must not block.</summary>
public sealed record NodeEvent(NodeEventKind Kind, GroupId Group, ulong Term, ulong Index, string Text);

public enum NodeEventKind
{
    Recovered,
    ReplicaCame,
    ReplicaLeft,
    BecameLeader,
    LeaderChanged,
    LostLeadership,
    Campaigning,
    SnapshotTaken,

    /// <summary>A snapshot from another node is here and whole; its table is being built.</summary>
    SnapshotFetched,
    SnapshotInstalled,
    SnapshotDamaged,
    LogCompacted,
    PeerLost,
    ClockOff,
    GroupsAhead,
    TornTailCut,
    LevelRaised,
    AboveLevel,
    DiskSick,
    DiskWell,
    MemoryShort,
    MemoryEnough,

    /// <summary>Every local group has a leader, for the first time since the process started.</summary>
    Serving,

    /// <summary>Groups have had no leader for long. Said again and again while it lasts.</summary>
    NoLeader,
    DiskShort,
    DiskEnough,
}
