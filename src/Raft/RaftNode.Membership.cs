namespace KvStore.Raft;

/// <summary>Configuration changes (paper 6, thesis 4), in force when applied.</summary>
public sealed partial class RaftNode
{
    // Invariant (leader): no configuration entry beyond this index is in the log. A new one is refused until it is applied, so
    // at most one change is under way. Not durable: a new leader takes the index of its no-op.
    private ulong _pendingConfIndex;

    // What has been looked at in the committed part of the log, and the last configuration entry found there: what is committed stays,
    // so every entry is read for this once, however often somebody asks.
    private ulong _confScannedTo;
    private ulong _lastCommittedConfIndex;

    /// <summary>Leader only: who the members will be when everything in the log is applied is not known yet.</summary>
    public bool HasPendingConfChange => _pendingConfIndex > _log.Applied;

    /// <summary>
    /// Proposes a change. Refused while another is unapplied, and when the change is not valid for the configuration in force
    /// (<see cref="ConfChange"/>).
    /// </summary>
    public ProposeResult ProposeConfChange(ConfChange change)
    {
        if (Role != Role.Leader)
        {
            return new ProposeResult(ProposeOutcome.NotLeader);
        }

        if (!_transferTarget.IsNone)
        {
            return new ProposeResult(ProposeOutcome.Transferring);
        }

        if (HasPendingConfChange || !change.TryApplyTo(Configuration, out _, out _))
        {
            return new ProposeResult(ProposeOutcome.ConfChangeRefused);
        }

        ProposeResult result = AppendAndBroadcast(EntryKind.ConfChange, change.Encode(), 1, change.NeededLevel);
        if (result.Outcome == ProposeOutcome.Accepted)
        {
            _pendingConfIndex = result.Index;
        }

        return result;
    }

    private void ApplyConfChange(Entry entry)
    {
        ConfChange change = DecodeConfChange(entry);

        // Checked when proposed, and again here: whether a change is valid must not depend on what a past leader knew. An
        // invalid one changes nothing, on every replica alike.
        if (change.TryApplyTo(Configuration, out ConfState next, out _))
        {
            UseConfiguration(next);
        }
    }

    private static ConfChange DecodeConfChange(Entry entry)
    {
        bool readable = ConfChange.TryDecode(entry.Payload.Span, out ConfChange? change);
        Invariant.Check(readable, "a configuration entry in the log can be read; a replica that cannot must not go on without it");
        return change!;
    }

    private void UseConfiguration(ConfState next)
    {
        bool leading = Role == Role.Leader;
        _tracker.Use(next, leading, _log.LastIndex);
        if (!leading)
        {
            return;
        }

        // Fewer voters may have reached more, in the log and in the rounds.
        CommitWhatQuorumHas();
        ConfirmRounds();
        foreach (Progress member in _tracker.Members)
        {
            // Newcomers get their first append; everybody else learns early that the change is committed.
            SendAppend(member, sendIfEmpty: true);
        }

        if (!_tracker.IsVoter(Id))
        {
            // Thesis 4.2.2: a leader manages the cluster without counting itself until it is out, then goes.
            BecomeFollower(Term, ReplicaId.None);
            return;
        }

        if (!_transferTarget.IsNone && !_tracker.IsVoter(_transferTarget))
        {
            _transferTarget = ReplicaId.None;
        }
    }

    /// <summary>
    /// Ends a joint configuration that was to end by itself. Whoever leads when everything is applied does it, so a leader that
    /// dies in between leaves nothing stuck. Never refused by flow control: refused, it would leave the group joint for good.
    /// </summary>
    private void LeaveJointWhenDue()
    {
        if (Role == Role.Leader && Configuration is { IsJoint: true, AutoLeave: true } && _log.Applied >= _pendingConfIndex)
        {
            // It follows the table of the change that it ends: below that it would be refused at apply, and the group stay joint.
            ConfChange leave = ConfChange.LeaveJoint with { Epoch = Configuration.Epoch };
            Entry entry = AppendEntry(EntryKind.ConfChange, leave.Encode(), 1, leave.NeededLevel);
            _pendingConfIndex = entry.Index;
            BroadcastAppend();
        }
    }

    private bool HasUnappliedConfChange()
    {
        for (ulong next = Math.Max(_log.Applied, _confScannedTo) + 1; next <= _log.Commit;)
        {
            foreach (Entry entry in _log.EntriesFrom(next, _config.MaxApplyBytes))
            {
                if (entry.Index <= _log.Commit && entry.Kind == EntryKind.ConfChange)
                {
                    _lastCommittedConfIndex = entry.Index;
                }

                next = entry.Index + 1;
            }
        }

        _confScannedTo = _log.Commit;
        return _lastCommittedConfIndex > _log.Applied;
    }

    /// <summary>The state machine starts behind its snapshot: the configuration has to follow.</summary>
    private void ReplayConfChanges(ulong first, ulong last)
    {
        for (ulong next = first; next <= last;)
        {
            foreach (Entry entry in _log.EntriesFrom(next, _config.MaxApplyBytes))
            {
                if (entry.Kind == EntryKind.ConfChange && entry.Index <= last)
                {
                    ApplyConfChange(entry);
                }

                next = entry.Index + 1;
            }
        }
    }
}
