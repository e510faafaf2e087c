using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// Local snapshots and log compaction by policy; fetching and installing a snapshot when the leader's log does not reach back.
/// </summary>
internal sealed partial class Replica
{
    private bool _snapshotRunning;
    private bool _fetchAsked;
    private bool _snapshotDamaged;
    private ulong _lastSnapshotIndex;
    private ulong _lowestVoterMatch;
    private long _appliedBytesSinceSnapshot;
    private SnapshotBuild? _build;
    private Installation? _installation;
    private readonly Dictionary<NodeId, CatchUp> _catchUps = [];
    private long _snapshotsInstalled;
    private long _noSnapshotBeforeMs;

    // What the table held when the newest snapshot of it was taken, or installed.
    private long _dataAtSnapshot;

    /// <summary>A follower that has begun to fetch a snapshot here, until it has what this replica's own snapshot covers.</summary>
    private sealed class CatchUp
    {
        public long MovedMs { get; set; }
        public ulong Match { get; set; }
    }

    /// <summary>
    /// A fetched snapshot on its way into this replica, its state machine complete. First the replica goes deaf and lets its writes
    /// finish; then the log is told (Write); when that is durable, state machine, log and core move to it in one turn.
    /// </summary>
    private sealed class Installation(SnapshotBuild build)
    {
        public SnapshotBuild Build => build;
        public SnapshotHeader Header => build.Header;
        public string File => build.File;
        public TurnWrite.Part? Write { get; set; }
    }

    /// <summary>Memory of a fetched snapshot's table that is not this replica's table yet.</summary>
    public long BuildBytes => (_installation?.Build ?? _build)?.ReservedBytes ?? 0;

    /// <summary>Applied entries that a snapshot covers and that are kept for voters that do not have them yet.</summary>
    public ulong EntriesHeldBack => _lastSnapshotIndex >= _log.FirstIndex ? _lastSnapshotIndex + 1 - _log.FirstIndex : 0;

    /// <summary>Smallest match over all voters as this replica knows it: true for ever, for a durable prefix is never lost.</summary>
    public ulong LowestVoterMatch
    {
        get
        {
            if (IsLeader)
            {
                _lowestVoterMatch = Math.Max(_lowestVoterMatch, _raft.LowestVoterMatch);
            }

            return _lowestVoterMatch;
        }
    }

    public void OnSnapshotWritten(SnapshotMetadata metadata, string file)
    {
        _snapshotRunning = false;
        if (metadata.Index <= _lastSnapshotIndex)
        {
            // A newer one was fetched meanwhile.
            DeleteUnused(metadata.Index, file);
            return;
        }

        Turn.Loop.Counters.SnapshotsTaken++;
        Report(NodeEventKind.SnapshotTaken, metadata.Term, metadata.Index, $"wrote snapshot {file}");
        Adopt(metadata, file, FirstIndexToKeep(metadata.Index));
    }

    /// <summary>There was no room for it.</summary>
    public void OnSnapshotAbandoned()
    {
        _snapshotRunning = false;
        _noSnapshotBeforeMs = Turn.NowMs + AbandonedPauseMs;
    }

    /// <summary>
    /// The core was told to fetch: ask its leader's node. Not before the group is in the log: a snapshot file of a group that the log does
    /// not know is proof of damage at the next start.
    /// </summary>
    public void FetchSnapshot()
    {
        if (_raft.PendingSnapshot is { } pending && _build is null && _installation is null && !LeaderNode.IsNone && _log.DurableHardState.Term > 0)
        {
            _fetchAsked = true;
            Turn.Writes.Snapshots.Post(new SnapshotFetch(Address, Turn.Loop.Inbox, _snapshotDirectory, pending.Index, LeaderNode));
        }
    }

    /// <summary>The first thing a new replica is told may be to fetch, before anything of it is durable.</summary>
    private void FetchAfterFirstWrite()
    {
        if (!_fetchAsked)
        {
            FetchSnapshot();
        }
    }

    /// <summary>A snapshot from another node is on this disk, checked and durable: the snapshot thread makes a state machine of it.</summary>
    public void OnSnapshotFetched(SnapshotHeader header, string file)
    {
        bool known = header.FeatureLevel <= Node.Options.MaxLevel;
        if (!known)
        {
            Node.Folder.RefusedAboveLevel(Group, header.Metadata.Term, header.Metadata.Index, header.FeatureLevel);
        }

        if (known && _build is null && _installation is null && IsWanted(header))
        {
            _build = new SnapshotBuild(header, _snapshotDirectory, file, Turn.Loop.Arena, Turn.Loop.Inbox);
            Turn.Writes.Snapshots.Post(_build);
            Report(NodeEventKind.SnapshotFetched, header.Metadata.Term, header.Metadata.Index, $"fetched snapshot {file}, builds its table");
        }
        else
        {
            DeleteUnlessWriting(header.Metadata.Index, file);
        }
    }

    /// <summary>
    /// A build is back. It is installed if it is the one that is waited for, and the core still waits: appends may have closed the gap
    /// meanwhile, or another leader may have nothing as new.
    /// </summary>
    public void OnSnapshotBuilt(SnapshotBuild build)
    {
        bool isCurrent = _build == build;
        _build = isCurrent ? null : _build;
        if (isCurrent && build.IsComplete && IsWanted(build.Header))
        {
            _installation = new Installation(build);
            return;
        }

        build.Discard();
        DeleteUnlessWriting(build.Header.Metadata.Index, build.File);
    }

    /// <summary>The core waits for a snapshot, and this one reaches far enough.</summary>
    private bool IsWanted(SnapshotHeader header) => _raft.PendingSnapshot is { } pending && pending.Index <= header.Metadata.Index;

    /// <summary>Nothing that was fetched is installed any more: the replica leaves.</summary>
    private void GiveUpFetched()
    {
        _build?.GiveUp();
        _installation?.Build.Discard();
        (_build, _installation) = (null, null);
    }

    /// <summary>The newest snapshot cannot be read any more: nobody can be given it, and the next start would end at it.</summary>
    public void ReplaceSnapshot() => _snapshotDamaged = true;

    /// <summary>Another node fetches a snapshot of this group here, and will need the log behind it.</summary>
    public void OnSnapshotPulled(NodeId by)
    {
        if (!_catchUps.TryGetValue(by, out CatchUp? catchUp))
        {
            _catchUps.Add(by, catchUp = new CatchUp());
        }

        catchUp.MovedMs = Turn.NowMs;
    }

    /// <summary>Notes the progress of those that catch up, and stops waiting for whoever makes none or is done.</summary>
    private void FollowCatchUps()
    {
        if (_catchUps.Count == 0)
        {
            return;
        }

        foreach (ProgressStatus peer in _raft.Progress)
        {
            if (_catchUps.TryGetValue(NodeOf(peer.Id), out CatchUp? catchUp) && peer.Match > catchUp.Match)
            {
                catchUp.Match = peer.Match;
                catchUp.MovedMs = Turn.NowMs;
            }
        }

        foreach ((NodeId node, CatchUp catchUp) in _catchUps)
        {
            if (!IsLeader || catchUp.Match >= _lastSnapshotIndex || Turn.NowMs - catchUp.MovedMs >= SnapshotPull.IdleLimitMs)
            {
                _catchUps.Remove(node);
            }
        }
    }

    /// <summary>
    /// A name is made of index and term, so the same snapshot fetched twice, or fetched and taken here, is one file: what the log
    /// refers to stays. (While one is being taken here nothing is deleted; the next start clears what is left over.)
    /// </summary>
    private void DeleteUnlessWriting(ulong index, string file)
    {
        if (!_snapshotRunning)
        {
            DeleteUnused(index, file);
        }
    }

    private void DeleteUnused(ulong index, string file)
    {
        if (index != _lastSnapshotIndex && index != (_installation?.Header ?? _build?.Header)?.Metadata.Index)
        {
            Turn.Writes.DeleteWhenDurable(_snapshotDirectory, file);
        }
    }

    /// <summary>Called when the core has nothing to hand out: once its writes are done too, the log may be replaced.</summary>
    public void ContinueInstallation()
    {
        if (_installation is { Write: null } ready && _writes.IsIdle && Node.Folder.IsMarkedFor(ready.Header.FeatureLevel))
        {
            ready.Write = Adopt(ready.Header.Metadata, ready.File, ready.Header.Metadata.Index + 1);
        }
    }

    private void Install()
    {
        Installation installed = _installation!;
        SnapshotMetadata snapshot = installed.Header.Metadata;
        KvStateMachine restored = installed.Build.Join();
        _machine = restored;
        _reader.Replace(restored);
        _appliedBytesSinceSnapshot = 0;
        _dataAtSnapshot = restored.Table.DataBytes;
        _installation = null;
        _snapshotsInstalled++;
        Turn.Loop.Counters.SnapshotsInstalled++;
        Node.Events.Installed?.Invoke(Group, snapshot.Index);
        Step(new SnapshotInstalled(Id, Id, _raft.Term, snapshot));
        LearnConfiguration();
        NoticeLeader();
        RequeueOvertaken(snapshot.Index);
        FollowRaises();
        _reader.Freshness.OnApplied(_machine.AppliedIndex);
        ServeReadsUpTo(_machine.AppliedIndex);
        Report(NodeEventKind.SnapshotInstalled, snapshot.Term, snapshot.Index, $"installed snapshot {installed.File}");
    }

    /// <summary>
    /// A fetch may lose a piece, its source or its place in the queue: say again that it is wanted. Or that it is not, for
    /// appends have closed the gap: a fetch nobody waits for would keep one of the few places for ever, and a build the thread.
    /// </summary>
    private void RemindOfSnapshot()
    {
        if (Turn.TickNumber % ReminderTicks != 0)
        {
            return;
        }

        if (_build is { } build)
        {
            if (!IsWanted(build.Header))
            {
                build.GiveUp();
                _build = null;
            }
            else if (!LeaderNode.IsNone)
            {
                Turn.Writes.Snapshots.Post(new SnapshotKept(Group, build.Header.Metadata, LeaderNode));
            }
        }

        if (_raft.PendingSnapshot is null && _fetchAsked)
        {
            _fetchAsked = false;
            Turn.Writes.Snapshots.Post(new SnapshotNotWanted(Group));
        }
        else
        {
            FetchSnapshot();
        }
    }

    private void MaybeSnapshot()
    {
        if (_snapshotRunning || _installation is not null || Turn.NowMs < _noSnapshotBeforeMs)
        {
            return;
        }

        StoreNodeOptions options = Node.Options;
        ulong entries = _machine.AppliedIndex - _lastSnapshotIndex;
        long bytesLimit = Math.Max(options.SnapshotMinLogBytes, Turn.Loop.TableBytesPerGroup / 2);
        if (_snapshotDamaged || entries >= options.SnapshotMinEntries || (entries > 0 && (_appliedBytesSinceSnapshot >= bytesLimit || IsFirstSnapshotWanted || WouldMakeRoom)))
        {
            StartSnapshot();
        }
        else if (_log.Snapshot.Index == _lastSnapshotIndex && EntriesHeldBack > 0 && _log.SnapshotFile is { } file
            && FirstIndexToKeep(_log.Snapshot.Index) >= _log.FirstIndex + CompactionStride)
        {
            // Whoever held the log back has caught up, or is too far behind to be waited for. Never while the mark of a newer
            // snapshot is on its way to the disk: the log's snapshot does not go back.
            Adopt(_log.Snapshot, file, FirstIndexToKeep(_log.Snapshot.Index));
        }
    }

    /// <summary>
    /// The log is shared, and its segments go from the oldest end only: a group with entries in one that should go moves them,
    /// or, when the log is too full for that, cuts them off, with a snapshot if it has none that covers them. What can neither be
    /// moved nor cut (not applied, or needed by a follower that is being caught up) stays, and the log stays larger.
    /// </summary>
    private void LeaveOldSegments()
    {
        ulong below = Turn.Writes.PurgeBelow;
        ulong old = _installation is null ? _log.FirstIndexBelow(below) : 0;
        if (old == 0)
        {
            return;
        }

        if (Turn.Writes.LiveLogIsSmall)
        {
            Turn.Writes.Rewrite(Address, _log, below);
        }
        else if (_snapshotRunning)
        {
            // Its mark will cut the log.
        }
        else if (_log.SnapshotFile is { } file && FirstIndexToKeep(_lastSnapshotIndex, trailing: 0) > old)
        {
            Adopt(_log.Snapshot, file, FirstIndexToKeep(_lastSnapshotIndex, trailing: 0));
        }
        else if (FirstIndexToKeep(_machine.AppliedIndex, trailing: 0) > old && Turn.NowMs >= _noSnapshotBeforeMs)
        {
            StartSnapshot();
        }
    }

    /// <summary>Somebody has to be sent a snapshot, and the group never had one: a replica that came to a young group.</summary>
    private bool IsFirstSnapshotWanted =>
        _log.SnapshotFile is null && IsLeader && _raft.Progress.Any(p => p.State == ProgressState.Snapshot);

    /// <summary>The disk is short, and a snapshot now would be much smaller than the one it replaces, or let much of the log go.</summary>
    private bool WouldMakeRoom
    {
        get
        {
            long segmentBytes = Node.Options.Wal.SegmentBytes;
            return Node.Room.Disk.IsShort
                && (_appliedBytesSinceSnapshot >= segmentBytes / 4
                    || _dataAtSnapshot - Table.DataBytes >= Math.Max(segmentBytes / 4, _dataAtSnapshot / 8));
        }
    }

    private void StartSnapshot()
    {
        _dataAtSnapshot = Table.DataBytes;
        _snapshotRunning = true;
        _snapshotDamaged = false;
        _appliedBytesSinceSnapshot = 0;
        ulong index = _machine.AppliedIndex;
        var metadata = new SnapshotMetadata(index, _log.Term(index), _machine.LastRevision, _raft.Configuration);
        TableSnapshot rows = _machine.Table.Capture();
        var header = new SnapshotHeader(
            Group.Value, Node.Routing.Table.Epoch, _machine.Level, metadata, _machine.GroupTime, _machine.VirtualNodesIn(rows));
        Turn.Writes.Snapshots.Post(new SnapshotJob(Address, Turn.Loop.Inbox, _snapshotDirectory, header, rows, _machine.CaptureSections()));
    }

    /// <summary>
    /// The log starts behind this snapshot, or earlier for those who need its entries; the file it replaces goes when that is
    /// durable.
    /// </summary>
    private TurnWrite.Part Adopt(SnapshotMetadata snapshot, string file, ulong keepFrom)
    {
        string? replaced = _log.SnapshotFile;
        _lastSnapshotIndex = snapshot.Index;
        TurnWrite.Part write = Turn.Writes.Compact(Address, _log, snapshot, file, keepFrom);
        Report(NodeEventKind.LogCompacted, snapshot.Term, keepFrom, $"log starts at {keepFrom}");
        if (replaced is not null && replaced != file)
        {
            Turn.Writes.DeleteWhenDurable(_snapshotDirectory, replaced);
        }

        return write;
    }

    /// <summary>
    /// Entries that a voter still needs are kept, so that a short absence costs no snapshot; up to a limit, for nobody is waited
    /// for without end. A follower that fetches a snapshot needs what comes behind it, or it would fetch for ever: as long as it makes
    /// progress, only <see cref="StoreNodeOptions.MaxCatchUpLogBytes"/> is a limit there.
    /// </summary>
    private ulong FirstIndexToKeep(ulong snapshotIndex)
    {
        StoreNodeOptions options = Node.Options;
        return FirstIndexToKeep(snapshotIndex, _log.LiveBytes > options.MaxTrailingLogBytes ? 0 : options.MaxTrailingEntries);
    }

    private ulong FirstIndexToKeep(ulong snapshotIndex, ulong trailing)
    {
        ulong covered = Math.Max(LowestVoterMatch, snapshotIndex > trailing ? snapshotIndex - trailing : 0);
        bool waits = IsLeader && _catchUps.Count > 0 && _log.LiveBytes <= Node.Options.MaxCatchUpLogBytes;
        foreach (ProgressStatus peer in waits ? _raft.Progress : [])
        {
            if (_catchUps.ContainsKey(NodeOf(peer.Id)))
            {
                covered = Math.Min(covered, peer.State == ProgressState.Snapshot ? peer.Next - 1 : peer.Match);
            }
        }

        return Math.Max(_log.FirstIndex, Math.Min(snapshotIndex, covered) + 1);
    }

    private void LearnLowestVoterMatch(ulong index) => _lowestVoterMatch = Math.Max(_lowestVoterMatch, index);

    /// <summary>Entries by which the log must be able to shrink before it is worth writing down.</summary>
    private const ulong CompactionStride = 1024;

    /// <summary>After a snapshot that the disk had no room for, and before the next.</summary>
    private const int AbandonedPauseMs = 5000;

    /// <summary>Ticks between two reminders of a snapshot that is wanted.</summary>
    private const int ReminderTicks = 10;
}
