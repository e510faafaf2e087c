using KvStore.Raft;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>Local snapshots and log compaction, by policy.</summary>
internal sealed partial class Replica
{
    private bool _snapshotRunning;
    private ulong _lastSnapshotIndex;
    private ulong _lowestVoterMatch;
    private long _appliedBytesSinceSnapshot;
    private bool _heldBackReported;

    /// <summary>Applied entries that a snapshot covers and that stay only because a voter does not have them yet.</summary>
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

    public void LearnLowestVoterMatch(ulong index) => _lowestVoterMatch = Math.Max(_lowestVoterMatch, index);

    public void OnSnapshotWritten(SnapshotMetadata metadata, string file)
    {
        _snapshotRunning = false;
        string? replaced = _log.SnapshotFile;
        Loop.Report(NodeEventKind.SnapshotTaken, Group, metadata.Term, metadata.Index, $"wrote snapshot {file}");
        _lastSnapshotIndex = metadata.Index;
        Compact(metadata, file);
        if (replaced is not null && replaced != file)
        {
            Loop.DeleteSnapshotWhenDurable(_snapshotDirectory, replaced);
        }
    }

    private void MaybeSnapshot()
    {
        if (_snapshotRunning)
        {
            return;
        }

        StoreNodeOptions options = Loop.Node.Options;
        ulong entries = _machine.AppliedIndex - _lastSnapshotIndex;
        long bytesLimit = Math.Max(options.SnapshotMinLogBytes, Loop.TableBytesPerGroup / 2);
        if (entries >= options.SnapshotMinEntries || (entries > 0 && _appliedBytesSinceSnapshot >= bytesLimit))
        {
            StartSnapshot();
        }
        else if (EntriesHeldBack > 0 && LowestVoterMatch + 1 >= _log.FirstIndex + CompactionStride && _log.SnapshotFile is { } file)
        {
            // The voter that held the log back has caught up.
            Compact(_log.Snapshot, file);
        }
    }

    private void StartSnapshot()
    {
        _snapshotRunning = true;
        _appliedBytesSinceSnapshot = 0;
        ulong index = _machine.AppliedIndex;
        var metadata = new SnapshotMetadata(index, _log.Term(index), _machine.LastRevision, _raft.Configuration);
        var header = new SnapshotHeader(
            Group.Value, Loop.Node.Routing.Epoch, FeatureLevel, metadata, _machine.GroupTime, Loop.Node.Routing.VirtualNodesOf(Group));
        Loop.WriteSnapshot(new SnapshotJob(this, Loop, _snapshotDirectory, header, _machine.Table.Capture(), _machine.CaptureSections()));
    }

    /// <summary>
    /// Until a snapshot can be sent to a follower, no group compacts past the lowest match of any voter, running or not: the
    /// log grows instead, and says so.
    /// </summary>
    private void Compact(SnapshotMetadata snapshot, string file)
    {
        ulong keepFrom = Math.Max(_log.FirstIndex, Math.Min(snapshot.Index, LowestVoterMatch) + 1);
        Loop.Compact(this, _log, snapshot, file, keepFrom);
        Loop.Report(NodeEventKind.LogCompacted, Group, snapshot.Term, keepFrom, $"log starts at {keepFrom}");
        bool heldBack = snapshot.Index + 1 > keepFrom + CompactionStride;
        if (heldBack && !_heldBackReported)
        {
            Loop.Report(
                NodeEventKind.LogHeldBack, Group, snapshot.Term, keepFrom,
                $"keeps {snapshot.Index + 1 - keepFrom} entries for a voter that does not have them");
        }

        _heldBackReported = heldBack;
    }

    /// <summary>Entries by which the log must be able to shrink before it is worth writing down.</summary>
    private const ulong CompactionStride = 1024;
}
