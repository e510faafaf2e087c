namespace KvStore.Raft;

/// <summary>The log travels: leader and follower side of AppendEntries (paper 5.3), and the commit rule (paper 5.4.2).</summary>
public sealed partial class RaftNode
{
    private readonly UncommittedBytes _uncommitted;

    /// <summary>Leader only: index of the no-op that began the term.</summary>
    private ulong _termStart;

    /// <summary>Leader only: an entry of this term is committed, so commit index and reads can be trusted.</summary>
    public bool HasCommittedInTerm => Role == Role.Leader && _log.Commit >= _termStart;

    /// <summary>Leader only: smallest match over all voters, running or not; a follower's match elsewhere is unknown (0).</summary>
    public ulong LowestVoterMatch => _tracker.LowestVoterMatch;

    /// <summary>Replication progress per member, in id order (empty unless leader). For status pages and tests.</summary>
    public IReadOnlyList<ProgressStatus> Progress
    {
        get
        {
            List<Progress> members = _tracker.Members;
            if (members.Count == 0)
            {
                return [];
            }

            var all = new ProgressStatus[members.Count];
            for (int i = 0; i < all.Length; i++)
            {
                Progress member = members[i];
                all[i] = member.Id == Id
                    ? new ProgressStatus(Id, member.Match, LastIndex + 1, ProgressState.Replicate, RecentActive: true, member.IsLearner)
                    : new ProgressStatus(member.Id, member.Match, member.Next, member.State, member.RecentActive, member.IsLearner);
            }

            return all;
        }
    }

    /// <summary>A frame to this peer was dropped or its connection broke: probe it again instead of streaming into a hole.</summary>
    public void ReportUnreachable(ReplicaId peer)
    {
        if (_tracker.Find(peer) is { State: ProgressState.Replicate } progress && peer != Id)
        {
            progress.BecomeProbe();
        }
    }

    private ProposeResult AppendAndBroadcast(EntryKind kind, ReadOnlyMemory<byte> payload, uint count, ushort featureLevel)
    {
        if (!_uncommitted.HasRoomFor(payload.Length + Entry.EnvelopeBytes))
        {
            return new ProposeResult(ProposeOutcome.Overloaded);
        }

        Entry entry = AppendEntry(kind, payload, count, featureLevel);
        BroadcastAppend();
        return new ProposeResult(ProposeOutcome.Accepted, entry.Index, entry.Clock);
    }

    private Entry AppendEntry(EntryKind kind, ReadOnlyMemory<byte> payload, uint count, ushort featureLevel)
    {
        // Above everything in the log, committed or not: a revision is never used twice, whoever led and whatever its clock said.
        ulong clock = Math.Max(_groupClock(), _log.LastClock + 1);
        var entry = new Entry(Term, _log.LastIndex + 1, kind, featureLevel, clock, count, payload);
        _log.Append([entry]);
        _uncommitted.Add(entry.Index, entry.ChargedBytes);
        return entry;
    }

    private void BroadcastAppend()
    {
        foreach (Progress member in _tracker.Members)
        {
            SendAppend(member, sendIfEmpty: false);
        }
    }

    /// <summary>Sends one append if flow control allows it. False: nothing was sent.</summary>
    private bool SendAppend(Progress peer, bool sendIfEmpty)
    {
        if (peer.Id == Id || peer.IsPaused)
        {
            return false;
        }

        ulong previous = peer.Next - 1;
        if (!_log.TryTerm(previous, out ulong previousTerm))
        {
            return SendSnapshot(peer);
        }

        // A full window still lets an empty append through after a sign of life: its rejection shows that something was lost.
        bool windowFull = peer.State == ProgressState.Replicate && peer.Inflights.IsFull;
        IReadOnlyList<Entry> entries = windowFull || !_log.MayRead(peer.Next) ? [] : WhatMayGoTo(peer, _log.EntriesFrom(peer.Next, _config.MaxAppendBytes));
        if (entries.Count == 0 && !sendIfEmpty)
        {
            return false;
        }

        // Leaves before it is durable here: followers write while the leader does (thesis 10.2.1).
        _messages.Add(new AppendEntries(Id, peer.Id, Term, previous, previousTerm, _log.Commit, entries));
        long bytes = 0;
        for (int i = 0; i < entries.Count; i++)
        {
            bytes += entries[i].ChargedBytes;
        }

        peer.OnSent(previous + (ulong)entries.Count, bytes, entries.Count > 0);
        return true;
    }

    /// <summary>
    /// The entries before the first that the peer does not know how to read. It gets the rest when it says a higher level; until then
    /// it follows, votes, and lags.
    /// </summary>
    private IReadOnlyList<Entry> WhatMayGoTo(Progress peer, IReadOnlyList<Entry> entries)
    {
        if (_levelOf is null || entries.Count == 0)
        {
            return entries;
        }

        ushort level = _levelOf(peer.Id);
        for (int i = 0; i < entries.Count; i++)
        {
            if (entries[i].NeededLevel > level)
            {
                return [.. entries.Take(i)];
            }
        }

        return entries;
    }

    private void OnAppendEntries(AppendEntries message)
    {
        FollowLeader(message.From);
        if (message.PrevIndex < _log.Commit)
        {
            // Older than what is known to match. What is committed is in this leader's log, so say so and save a round.
            Acknowledge(message.From, _log.Commit);
            return;
        }

        if (!_log.Matches(message.PrevIndex, message.PrevTerm))
        {
            (ulong hintIndex, ulong hintTerm) = _log.LastNotAbove(Math.Min(message.PrevIndex, _log.LastIndex), message.PrevTerm);
            _messagesAfterSync.Add(new AppendRejected(Id, message.From, Term, message.PrevIndex, hintIndex, hintTerm));
            return;
        }

        _log.AppendAfterMatch(message.Entries);
        ulong lastNew = message.PrevIndex + (ulong)message.Entries.Count;

        // Not min(commit, last index): what follows the last new entry here may be the tail of a dead leader.
        _log.CommitTo(Math.Min(message.Commit, lastNew));
        DropSnapshotIfReached();
        Acknowledge(message.From, lastNew);
    }

    /// <summary>Waits for the sync of everything handed out before it: an acknowledged entry is a durable one.</summary>
    private void Acknowledge(ReplicaId leader, ulong index) => _messagesAfterSync.Add(new AppendAccepted(Id, leader, Term, index));

    private void OnAppendAccepted(AppendAccepted message)
    {
        // Nobody can have acknowledged what was not sent: such an answer counts for nothing.
        if (_tracker.Find(message.From) is not { } peer || message.Index > _log.LastIndex)
        {
            return;
        }

        peer.RecentActive = true;
        bool advanced = peer.TryAdvance(message.Index);
        if (!advanced && !(peer.State == ProgressState.Probe && peer.Match == message.Index))
        {
            return;
        }

        switch (peer.State)
        {
            case ProgressState.Probe:
                peer.BecomeReplicate();
                break;

            // Reconnected to this log, at whatever index: the snapshot it took may be older or newer than the one it was told of.
            case ProgressState.Snapshot when peer.Match + 1 >= _log.FirstIndex:
                peer.BecomeReplicate();
                break;
            case ProgressState.Replicate:
                peer.Inflights.FreeUpTo(message.Index);
                break;
            default:
                break;
        }

        CommitWhatQuorumHas();
        while (SendAppend(peer, sendIfEmpty: false))
        {
            // The freed window may take several appends.
        }

        FinishTransferWhenCaughtUp(peer);
    }

    private void OnAppendRejected(AppendRejected message)
    {
        if (_tracker.Find(message.From) is not { } peer)
        {
            return;
        }

        peer.RecentActive = true;

        // The follower skipped its terms above ours at the probe; skip our terms above its hint. At most one round per term,
        // where stepping back entry by entry would take one per entry (paper 5.3, end).
        ulong hint = message.HintTerm == 0 ? message.HintIndex : _log.LastNotAbove(message.HintIndex, message.HintTerm).Index;
        if (!peer.TryStepBack(message.Index, hint))
        {
            return;
        }

        if (peer.State == ProgressState.Replicate)
        {
            peer.BecomeProbe();
        }

        SendAppend(peer, sendIfEmpty: true);
    }

    /// <summary>
    /// Storage reports durability: of the unstable log, of the own vote, and of the leader's own copy, which counts for commit
    /// like any other acknowledgement.
    /// </summary>
    private void OnAppendSynced(AppendSynced message)
    {
        if (message.Term != Term)
        {
            // The write was handed out in an older term; since then the same index may have held another entry. The write that
            // carried the new term comes later and vouches for all of the log.
            return;
        }

        _log.Unstable.TrimTo(message.Index, message.EntryTerm);
        if (Role == Role.Candidate)
        {
            // Term and vote change together when a campaign starts, so a write handed out in this term contained the vote.
            _tracker.RecordVote(Id, granted: true);
            OnBallotChanged();
        }
        else if (Role == Role.Leader && _tracker.Find(Id) is { } self && self.TryAdvance(message.Index))
        {
            CommitWhatQuorumHas();
        }
    }

    /// <summary>
    /// Paper 5.4.2, figure 8: only entries of the own term are committed by counting; earlier ones are committed with them. The
    /// followers learn it from the next append or heartbeat: an extra message for each commit would double the traffic.
    /// </summary>
    private void CommitWhatQuorumHas()
    {
        ulong reached = _tracker.CommittedIndex;
        if (reached > _log.Commit && _log.Matches(reached, Term))
        {
            _log.CommitTo(reached);
            _uncommitted.CommittedTo(reached);
        }
    }

    private void FinishTransferWhenCaughtUp(Progress peer)
    {
        if (peer.Id != _transferTarget)
        {
            return;
        }

        if (peer.Match == _log.LastIndex)
        {
            _messages.Add(new TimeoutNow(Id, peer.Id, Term));
        }
        else
        {
            SendAppend(peer, sendIfEmpty: false);
        }
    }
}
