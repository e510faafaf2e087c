using KvStore.Protocol;

namespace KvStore.Node.Logging;

/// <summary>Every log line of the host, with its stable number: 1xx the life of a node, 2xx peers, 3xx what its groups do.</summary>
internal static partial class NodeLog
{
    [LoggerMessage(100, LogLevel.Warning, "security.insecure is set: {Address} is open to other machines and NOTHING authenticates them")]
    public static partial void Insecure(ILogger log, string address);

    [LoggerMessage(101, LogLevel.Information, "first start: identity {Uuid} written to {Directory}")]
    public static partial void FirstStart(ILogger log, Guid uuid, string directory);

    [LoggerMessage(102, LogLevel.Information, "start number {Incarnation} in {Directory}")]
    public static partial void LaterStart(ILogger log, ulong incarnation, string directory);

    [LoggerMessage(103, LogLevel.Information,
        "started: http {Http}, peer {Peer}, binary {Binary}, {Groups} groups, recovered in {RecoveryMs} ms")]
    public static partial void Started(ILogger log, string http, string peer, string binary, int groups, long recoveryMs);

    [LoggerMessage(104, LogLevel.Information, "draining: {InFlight} requests in flight")]
    public static partial void Draining(ILogger log, int inFlight);

    [LoggerMessage(105, LogLevel.Information, "stopped in {ElapsedMs} ms, {InFlight} requests unanswered")]
    public static partial void Stopped(ILogger log, long elapsedMs, int inFlight);

    [LoggerMessage(106, LogLevel.Critical, "{Where} failed; the node stops at once and answers nobody any more")]
    public static partial void Failed(ILogger log, string where, Exception reason);

    [LoggerMessage(107, LogLevel.Critical, "the cluster refuses this node: {Reason}")]
    public static partial void RefusedByCluster(ILogger log, string reason);

    [LoggerMessage(108, LogLevel.Warning, "{Count} log lines about groups were dropped: the log could not keep up")]
    public static partial void EventsDropped(ILogger log, long count);

    [LoggerMessage(109, LogLevel.Warning, "{What} did not end within {LimitMs} ms; going on without it")]
    public static partial void StopTookTooLong(ILogger log, string what, int limitMs);

    [LoggerMessage(110, LogLevel.Information, "{Text}")]
    public static partial void Serving(ILogger log, string text);

    [LoggerMessage(112, LogLevel.Warning, "{Directory} is open to other users of this machine, and this one may not change that: {Reason}")]
    public static partial void FolderOpen(ILogger log, string directory, string reason);

    [LoggerMessage(200, LogLevel.Information, "connected to {Peer} at {Address}")]
    public static partial void PeerConnected(ILogger log, string peer, string address);

    [LoggerMessage(201, LogLevel.Warning, "connection to {Peer} at {Address} is gone: {Reason}")]
    public static partial void PeerDisconnected(ILogger log, string peer, string address, string reason);

    [LoggerMessage(202, LogLevel.Information, "{Peer} at {Address} cannot be reached yet: {Reason}")]
    public static partial void PeerUnreachable(ILogger log, string peer, string address, string reason);

    [LoggerMessage(203, LogLevel.Error, "{Peer} at {Address} refuses this node: {Reason}")]
    public static partial void PeerRefusesUs(ILogger log, string peer, string address, string reason);

    [LoggerMessage(204, LogLevel.Error, "refused a connection from {Remote}: {Reason} (since the last such line: {LeftOut} more)")]
    public static partial void PeerRefused(ILogger log, string remote, string reason, long leftOut);

    [LoggerMessage(205, LogLevel.Warning, "closed the connection from {Remote}: {Reason} (since the last such line: {LeftOut} more)")]
    public static partial void PeerMalformed(ILogger log, string remote, string reason, long leftOut);

    [LoggerMessage(206, LogLevel.Warning, "cannot accept connections from peers: {Reason} (since the last such line: {LeftOut} more)")]
    public static partial void AcceptFailed(ILogger log, string reason, long leftOut);

    [LoggerMessage(207, LogLevel.Error, "{Peer} at {Address} lets this node in, but this node cannot work with it: {Reason}")]
    public static partial void PeerNotUsed(ILogger log, string peer, string address, string reason);

    [LoggerMessage(300, LogLevel.Information, "group {Group} term {Term} index {Index}: {Text}")]
    public static partial void Recovered(ILogger log, GroupId group, ulong term, ulong index, string text);

    [LoggerMessage(301, LogLevel.Information, "group {Group} term {Term} index {Index}: {Text}")]
    public static partial void BecameLeader(ILogger log, GroupId group, ulong term, ulong index, string text);

    [LoggerMessage(302, LogLevel.Debug, "group {Group} term {Term} index {Index}: {Text}")]
    public static partial void LeaderChanged(ILogger log, GroupId group, ulong term, ulong index, string text);

    [LoggerMessage(303, LogLevel.Information, "group {Group} term {Term} index {Index}: {Text}")]
    public static partial void LostLeadership(ILogger log, GroupId group, ulong term, ulong index, string text);

    [LoggerMessage(304, LogLevel.Debug, "group {Group} term {Term} index {Index}: {Text}")]
    public static partial void Campaigning(ILogger log, GroupId group, ulong term, ulong index, string text);

    [LoggerMessage(305, LogLevel.Information, "group {Group} term {Term} index {Index}: {Text}")]
    public static partial void SnapshotTaken(ILogger log, GroupId group, ulong term, ulong index, string text);

    [LoggerMessage(306, LogLevel.Information, "group {Group} term {Term} index {Index}: {Text}")]
    public static partial void LogCompacted(ILogger log, GroupId group, ulong term, ulong index, string text);

    [LoggerMessage(323, LogLevel.Information, "group {Group} term {Term} index {Index}: {Text}")]
    public static partial void SnapshotFetched(ILogger log, GroupId group, ulong term, ulong index, string text);

    [LoggerMessage(307, LogLevel.Information, "group {Group} term {Term} index {Index}: {Text}")]
    public static partial void SnapshotInstalled(ILogger log, GroupId group, ulong term, ulong index, string text);

    [LoggerMessage(311, LogLevel.Information, "group {Group}: {Text}")]
    public static partial void ReplicaCame(ILogger log, GroupId group, string text);

    [LoggerMessage(312, LogLevel.Information, "group {Group} term {Term} index {Index}: {Text}")]
    public static partial void ReplicaLeft(ILogger log, GroupId group, ulong term, ulong index, string text);

    [LoggerMessage(313, LogLevel.Information, "{Text}")]
    public static partial void TornTailCut(ILogger log, string text);

    [LoggerMessage(314, LogLevel.Information, "group {Group} term {Term} index {Index}: {Text}")]
    public static partial void LevelRaised(ILogger log, GroupId group, ulong term, ulong index, string text);

    [LoggerMessage(315, LogLevel.Error, "group {Group} term {Term} index {Index}: {Text}")]
    public static partial void AboveLevel(ILogger log, GroupId group, ulong term, ulong index, string text);

    [LoggerMessage(316, LogLevel.Warning, "{Text}")]
    public static partial void RoomIsShort(ILogger log, string text);

    [LoggerMessage(317, LogLevel.Information, "{Text}")]
    public static partial void RoomIsEnough(ILogger log, string text);

    [LoggerMessage(308, LogLevel.Warning, "{Text}; its groups elect new leaders")]
    public static partial void PeerLost(ILogger log, string text);

    [LoggerMessage(309, LogLevel.Warning, "{Text}")]
    public static partial void ClockOff(ILogger log, string text);

    [LoggerMessage(318, LogLevel.Error, "{Text}")]
    public static partial void DiskSick(ILogger log, string text);

    [LoggerMessage(319, LogLevel.Information, "{Text}")]
    public static partial void DiskWell(ILogger log, string text);

    [LoggerMessage(320, LogLevel.Error, "group {Group} term {Term} index {Index}: {Text}")]
    public static partial void SnapshotDamaged(ILogger log, GroupId group, ulong term, ulong index, string text);

    [LoggerMessage(321, LogLevel.Warning, "{Text}")]
    public static partial void GroupsAhead(ILogger log, string text);

    [LoggerMessage(322, LogLevel.Warning, "{Text}")]
    public static partial void NoLeader(ILogger log, string text);

    [LoggerMessage(310, LogLevel.Debug, "group {Group} term {Term} index {Index}: {Text}")]
    public static partial void FirstStartOfGroup(ILogger log, GroupId group, ulong term, ulong index, string text);
}
