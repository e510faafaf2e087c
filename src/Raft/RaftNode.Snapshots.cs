namespace KvStore.Raft;

/// <summary>
/// A follower that is behind the leader's log gets a state transfer (paper 7). Only the order to fetch is a Raft message; the
/// data comes over the owner's own connection, while this replica goes on following.
/// </summary>
public sealed partial class RaftNode
{
    private bool _snapshotToHandOut;

    /// <summary>
    /// The snapshot the owner was told to fetch and install. Null again when appends have made it unnecessary. The owner
    /// installs a fetched snapshot only while this is set and not newer; it replaces state machine and durable log and steps
    /// <see cref="SnapshotInstalled"/> in one turn, and from then on ignores completions of writes taken before.
    /// </summary>
    public SnapshotMetadata? PendingSnapshot { get; private set; }

    /// <summary>The fetch failed: forget it. The leader's next reminder starts another, perhaps of a newer snapshot.</summary>
    public void AbandonSnapshot()
    {
        PendingSnapshot = null;
        _snapshotToHandOut = false;
    }

    private bool SendSnapshot(Progress peer)
    {
        // Whoever has not been heard lately would not fetch it; it is told when it answers a heartbeat.
        if (!peer.RecentActive)
        {
            return false;
        }

        SnapshotMetadata snapshot = _log.Snapshot;
        if (peer.State != ProgressState.Snapshot || !_log.TryTerm(peer.PendingSnapshot, out _))
        {
            // A reminder does not move the mark while the log reaches back to it: the peer may be fetching the snapshot it was
            // told of first, and whoever compacts this log sees by the mark from where on the peer will need it.
            peer.BecomeSnapshot(snapshot.Index);
        }

        _messages.Add(new InstallSnapshot(Id, peer.Id, Term, snapshot));
        return true;
    }

    private void OnInstallSnapshot(InstallSnapshot message)
    {
        FollowLeader(message.From);
        SnapshotMetadata snapshot = message.Snapshot;
        if (_log.Matches(snapshot.Index, snapshot.Term))
        {
            // Everything it contains is here already; what it proves is that all of it is committed.
            _log.CommitTo(snapshot.Index);
        }

        if (snapshot.Index <= _log.Commit)
        {
            DropSnapshotIfReached();
            Acknowledge(message.From, _log.Commit);
            return;
        }

        // A later leader may have only an older one to give, and may never take another: to insist on the first would be for ever.
        if (PendingSnapshot is null || snapshot.Index < PendingSnapshot.Index)
        {
            PendingSnapshot = snapshot;
            _snapshotToHandOut = true;
        }
    }

    /// <summary>
    /// A fetched snapshot is durable and the state machine holds it. True whatever the term, so no term is compared. It may be
    /// newer than the one asked for.
    /// </summary>
    private void OnSnapshotInstalled(SnapshotInstalled message)
    {
        SnapshotMetadata snapshot = message.Snapshot;
        if (snapshot.Index <= _log.Applied)
        {
            return;
        }

        // PendingSnapshot set means the log does not reach it, and so does not reach a newer one either: nothing is lost here.
        Invariant.Check(PendingSnapshot?.Index <= snapshot.Index, "only a snapshot that is still needed is installed");
        AbandonSnapshot();
        _applying = [];
        _log.Restore(snapshot.Index);
        UseConfiguration(snapshot.Configuration);
        if (!Leader.IsNone)
        {
            Acknowledge(Leader, snapshot.Index);
        }
    }

    /// <summary>
    /// Appends may close the gap while the fetch runs. A log that matches the snapshot's last entry contains it, and what a
    /// snapshot contains is committed.
    /// </summary>
    private void DropSnapshotIfReached()
    {
        if (PendingSnapshot is not { } pending)
        {
            return;
        }

        if (_log.Matches(pending.Index, pending.Term))
        {
            _log.CommitTo(pending.Index);
        }

        if (pending.Index <= _log.Commit)
        {
            AbandonSnapshot();
        }
    }
}
