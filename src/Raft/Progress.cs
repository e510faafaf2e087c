namespace KvStore.Raft;

/// <summary>
/// What a leader knows about one peer, and the flow control that follows from it:
/// Probe sends one append and waits, Replicate streams ahead of the answers, Snapshot waits for a state transfer.
/// </summary>
internal sealed class Progress
{
    // The last heartbeat that lifted the flow control.
    private ulong _resumedBy;

    public Progress(ReplicaId id, ulong next, Inflights inflights)
    {
        Id = id;
        Next = next;
        Inflights = inflights;
    }

    public ReplicaId Id { get; }

    // Invariant: Match < Next. Entries up to Match are durable at the peer; entries in (Match, Next) are in flight (Replicate).
    // Match never goes back within a term: it counts acknowledged, durable entries.
    public ulong Match { get; private set; }

    public ulong Next { get; private set; }

    public ProgressState State { get; private set; } = ProgressState.Probe;

    /// <summary>Index of the snapshot the peer was told to fetch; 0 outside Snapshot.</summary>
    public ulong PendingSnapshot { get; private set; }

    /// <summary>Anything was heard from the peer since the last quorum check.</summary>
    public bool RecentActive { get; set; }

    /// <summary>An append is outstanding that must be answered (or time out by a heartbeat) before the next is sent.</summary>
    public bool FlowPaused { get; private set; }

    public bool IsLearner { get; set; }

    /// <summary>Newest read round the peer answered in this term.</summary>
    public ulong AnsweredRound { get; private set; }

    public Inflights Inflights { get; }

    public bool IsPaused => State switch
    {
        ProgressState.Probe => FlowPaused,
        ProgressState.Replicate => FlowPaused,
        _ => true,
    };

    public void BecomeProbe()
    {
        // After a snapshot the peer has at least what it was told to fetch, if it fetched it: ask there first.
        ulong known = State == ProgressState.Snapshot ? Math.Max(Match, PendingSnapshot) : Match;
        Enter(ProgressState.Probe, known + 1);
    }

    public void BecomeReplicate() => Enter(ProgressState.Replicate, Match + 1);

    public void BecomeSnapshot(ulong index)
    {
        Enter(ProgressState.Snapshot, index + 1);
        PendingSnapshot = index;
    }

    /// <summary>Books an append that has just been sent.</summary>
    public void OnSent(ulong lastIndex, long bytes, bool hasEntries)
    {
        if (State == ProgressState.Replicate)
        {
            if (hasEntries)
            {
                // Optimistic: the next append does not wait for this one's answer.
                Next = lastIndex + 1;
                Inflights.Add(lastIndex, bytes);
            }

            FlowPaused = Inflights.IsFull;
        }
        else
        {
            FlowPaused = true;
        }
    }

    /// <summary>An accepted append. False: old news, for answers are repeated and reordered.</summary>
    public bool TryAdvance(ulong index)
    {
        if (index <= Match)
        {
            return false;
        }

        Match = index;
        Next = Math.Max(Next, index + 1);
        FlowPaused = false;
        return true;
    }

    /// <summary>
    /// A rejected append whose previous entry was <paramref name="rejected"/>. <paramref name="hint"/> is the last index that
    /// can match. False: the rejection answers an append that has been overtaken.
    /// </summary>
    public bool TryStepBack(ulong rejected, ulong hint)
    {
        if (State == ProgressState.Replicate)
        {
            if (rejected <= Match)
            {
                return false;
            }

            // Streaming past a hole: an append was lost. What is acknowledged is certain, so start there and not at the hint.
            Next = Match + 1;
            return true;
        }

        // A probe asks about Next - 1 only; an answer about anything else is stale.
        if (Next - 1 != rejected)
        {
            return false;
        }

        Next = Math.Max(Math.Min(rejected, hint + 1), Match + 1);
        FlowPaused = false;
        return true;
    }

    /// <summary>
    /// A sign of life: whatever the flow control waits for may have been lost, so one more append may go. Once per heartbeat. False: it
    /// has gone already.
    /// </summary>
    public bool TryResume(ulong heartbeat)
    {
        if (_resumedBy >= heartbeat)
        {
            return false;
        }

        _resumedBy = heartbeat;
        FlowPaused = false;
        return true;
    }

    public void AnswerRound(ulong round) => AnsweredRound = Math.Max(AnsweredRound, round);

    private void Enter(ProgressState state, ulong next)
    {
        State = state;
        Next = next;
        PendingSnapshot = 0;
        FlowPaused = false;
        Inflights.Clear();
    }
}
