namespace KvStore.Raft;

/// <summary>
/// Heartbeat rounds and the reads they prove (thesis 6.4). A round is a number; each peer answers the numbers it has seen; the
/// largest number a quorum has answered is found by the function that finds the commit index.
/// </summary>
public sealed partial class RaftNode
{
    private readonly ReadIndexQueue _pendingReads;

    private ulong _lastRound;

    // The newest round that was a heartbeat; by it each peer is resumed once.
    private ulong _lastHeartbeat;

    /// <summary>
    /// Leader only: reads wait for a round that has not been started; the owner starts one at the end of its turn. False before
    /// an entry of the own term is committed: until then no round proves anything.
    /// </summary>
    public bool WantsRound => HasCommittedInTerm && _pendingReads.WantsRound;

    /// <summary>Leader only: last round confirmed by a quorum in this term, started after an own-term commit; 0 when none.</summary>
    public ulong ConfirmedRound { get; private set; }

    /// <summary>Commit index when <see cref="ConfirmedRound"/> was started: it covers every write acknowledged before that.</summary>
    public ulong ConfirmedCommit { get; private set; }

    /// <summary>
    /// Starts heartbeat round <paramref name="round"/> (leader; ignored otherwise). Rounds strictly increase. Owner-driven, so
    /// that all groups of a node share one frame.
    /// </summary>
    public void StartRound(ulong round)
    {
        if (Role == Role.Leader)
        {
            _lastHeartbeat = round;
        }

        StartReadRound(round);
    }

    /// <summary>
    /// A round between two heartbeats, because reads wait for one. It proves as much, but resends nothing: reads may ask for thousands
    /// of rounds a second, and a peer that is slow to answer a probe would get as many copies of it.
    /// </summary>
    public void StartReadRound(ulong round)
    {
        if (Role != Role.Leader)
        {
            return;
        }

        Invariant.Check(round > _lastRound, "rounds strictly increase");
        _lastRound = round;
        if (HasCommittedInTerm)
        {
            _pendingReads.Start(round, _log.Commit);
        }

        foreach (Progress member in _tracker.Members)
        {
            if (member.Id == Id)
            {
                member.AnswerRound(round);
                continue;
            }

            // Not the bare commit index: the receiver may lack those entries, or hold others in their place.
            _messages.Add(new Heartbeat(Id, member.Id, Term, Math.Min(member.Match, _log.Commit), round));
        }

        ConfirmRounds();
    }

    /// <summary>
    /// Asks for a read proof; the answer arrives in Ready.Reads. At a leader the read waits for the next round to be started. At
    /// a follower the question travels to its leader. False: no leader known, or too many wait. A question or its answer can be
    /// lost, and a leader that loses its term forgets what waits: the owner keeps its own deadline and may ask again.
    /// </summary>
    public bool ReadIndex(ulong context)
    {
        if (Role == Role.Leader)
        {
            return _pendingReads.TryAdd(new PendingRead(Id, context));
        }

        if (Leader.IsNone)
        {
            return false;
        }

        _messages.Add(new ReadIndexRequest(Id, Leader, Term, context));
        return true;
    }

    private void OnHeartbeat(Heartbeat message)
    {
        FollowLeader(message.From);
        _log.CommitTo(message.Commit);
        DropSnapshotIfReached();
        _messages.Add(new HeartbeatResponse(Id, message.From, Term, message.Round));
    }

    private void OnHeartbeatResponse(HeartbeatResponse message)
    {
        // Nobody can have answered a round that was not started; believed, it would confirm those to come.
        if (_tracker.Find(message.From) is not { } peer || message.Round > _lastRound)
        {
            return;
        }

        peer.RecentActive = true;
        peer.AnswerRound(message.Round);
        if (peer.TryResume(_lastHeartbeat))
        {
            ResendTo(peer);
        }

        ConfirmRounds();
    }

    private void ResendTo(Progress peer)
    {
        if (peer.State == ProgressState.Snapshot)
        {
            // Messages are lost freely: remind it. A peer that is fetching already ignores the reminder.
            SendSnapshot(peer);
        }
        else if (peer.Match < _log.LastIndex || peer.State == ProgressState.Probe)
        {
            SendAppend(peer, sendIfEmpty: true);
        }
    }

    private void OnReadIndexRequest(ReadIndexRequest message)
    {
        if (Role == Role.Leader)
        {
            // A full queue drops the question; the asker's deadline answers it.
            _ = _pendingReads.TryAdd(new PendingRead(message.From, message.Context));
        }
    }

    private void OnReadIndexResponse(ReadIndexResponse message) => _reads.Add(new ReadState(message.Context, message.Index));

    /// <summary>Counts under the configuration in force now: adjacent configurations overlap in every quorum.</summary>
    private void ConfirmRounds()
    {
        ulong confirmed = _tracker.ConfirmedRound;
        while (_pendingReads.TryTakeConfirmed(confirmed, out StartedRound round))
        {
            ConfirmedRound = round.Round;
            ConfirmedCommit = round.Commit;
            foreach (PendingRead read in round.Reads)
            {
                if (read.From == Id)
                {
                    _reads.Add(new ReadState(read.Context, round.Commit));
                }
                else
                {
                    _messages.Add(new ReadIndexResponse(Id, read.From, Term, read.Context, round.Commit));
                }
            }
        }
    }

    private void ForgetReads()
    {
        _pendingReads.Clear();
        ConfirmedRound = 0;
        ConfirmedCommit = 0;
    }
}
