using KvStore.Raft.Quorum;

namespace KvStore.Raft;

/// <summary>Timers, votes and roles: paper 5.2 and 5.4.1, thesis 3.10 (transfer), 6.2 (quorum check), 9.6 (pre-vote).</summary>
public sealed partial class RaftNode
{
    private SeededRandom _random;

    // Ticks since the leader was last heard (follower), since the campaign began (candidates), since the last quorum check (leader).
    private int _electionElapsed;

    // Invariant: drawn anew at every change of role or term, or two replicas that once collided would collide for ever.
    private int _electionTimeout;

    private ReplicaId _transferTarget;

    // Ticks since leadership was offered to the target. Apart from the quorum check's: whoever asks for transfers again and again must
    // not put off the moment at which a leader that is cut off steps down.
    private int _transferElapsed;

    // Ticks that a vote is held back for. Counts down from the start of the process; no role or term ends it sooner.
    private int _voteHeldTicks;

    /// <summary>Nobody who hears from a leader helps to depose it. Also true at the leader itself.</summary>
    private bool HasHeardFromLeader => !Leader.IsNone && _electionElapsed < _config.ElectionTicks;

    public void Tick()
    {
        _electionElapsed++;
        if (_voteHeldTicks > 0)
        {
            _voteHeldTicks--;
        }

        if (Role == Role.Leader)
        {
            TickTransfer();
            if (_electionElapsed >= _config.ElectionTicks)
            {
                _electionElapsed = 0;
                OnQuorumCheck();
            }
        }
        else if (_electionElapsed >= _electionTimeout && CanCampaign())
        {
            StartPreVote();
        }
    }

    /// <summary>
    /// Campaign now (pre-vote first). Ignored by a leader, by whoever may not lead, and while an election runs here: its votes are on
    /// their way, and to begin anew would throw its term away. A pre-vote costs nobody a term and may be asked again.
    /// </summary>
    public void Campaign()
    {
        if (Role is Role.Follower or Role.PreCandidate && CanCampaign())
        {
            StartPreVote();
        }
    }

    /// <summary>
    /// The runtime knows the leader is gone: become leaderless without raising the term and campaign (pre-vote first) after so
    /// many ticks. From now on other pre-votes are granted, too. Hearing from the leader again undoes it. Without a leader to
    /// forget nothing happens: repeated evidence must not put the election off.
    /// </summary>
    public void ForgetLeader(int campaignAfterTicks)
    {
        if (Role != Role.Follower || Leader.IsNone)
        {
            return;
        }

        Leader = ReplicaId.None;
        _electionElapsed = 0;
        _electionTimeout = campaignAfterTicks;
    }

    /// <summary>
    /// Hands leadership to a voter: brings it up to date, then lets it campaign at once (thesis 3.10). Proposals are refused
    /// meanwhile, or the target would never be up to date; after one election timeout the leader gives up and goes on leading.
    /// False: not the leader, or the target is no other voter.
    /// </summary>
    public bool TransferLeadership(ReplicaId target)
    {
        if (Role != Role.Leader || target == Id || !_tracker.IsVoter(target))
        {
            return false;
        }

        if (target != _transferTarget)
        {
            _transferTarget = target;
            _transferElapsed = 0;
            FinishTransferWhenCaughtUp(_tracker.Find(target)!);
        }

        return true;
    }

    private void TickTransfer()
    {
        if (!_transferTarget.IsNone && ++_transferElapsed >= _config.ElectionTicks)
        {
            _transferTarget = ReplicaId.None;
        }
    }

    private void OnQuorumCheck()
    {
        if (!_tracker.IsQuorumActive)
        {
            // Others may have elected somebody by now. A leader that cannot know must not go on as if it did (thesis 6.2).
            BecomeFollower(Term, ReplicaId.None);
            return;
        }

        _tracker.ClearActivity();
    }

    private bool CanCampaign() =>
        _tracker.IsVoter(Id)
        && _voteHeldTicks == 0

        // The state machine is about to be replaced.
        && PendingSnapshot is null

        // A committed configuration takes effect on apply. To campaign under an older one could gather a quorum that no longer
        // is one (docs/raft.md, "two removals").
        && !HasUnappliedConfChange();

    /// <summary>Asks whether a campaign could be won. Nobody's term rises for the asking (thesis 9.6).</summary>
    private void StartPreVote()
    {
        Role = Role.PreCandidate;
        Leader = ReplicaId.None;
        StartBallot();
        _tracker.RecordVote(Id, granted: true);
        foreach (ReplicaId voter in OtherVoters())
        {
            _messages.Add(new PreVoteRequest(Id, voter, Term + 1, _log.LastIndex, _log.LastTerm));
        }

        OnBallotChanged();
    }

    private void StartElection(bool transfer)
    {
        BeginTerm(Term + 1);
        Role = Role.Candidate;
        _vote = Id;
        StartBallot();

        // The requests wait until term, vote and log are durable. If they did not, a candidate could crash, come back with an
        // older term and a shorter log, ask for the same term again, and be elected by answers that were given to its earlier
        // self. The own vote counts when the sync is reported: OnAppendSynced.
        foreach (ReplicaId voter in OtherVoters())
        {
            _messagesAfterSync.Add(transfer
                ? new TransferVoteRequest(Id, voter, Term, _log.LastIndex, _log.LastTerm)
                : new VoteRequest(Id, voter, Term, _log.LastIndex, _log.LastTerm));
        }
    }

    /// <summary>A yes names the term asked for; nothing is promised by it.</summary>
    private void OnPreVoteRequest(PreVoteRequest message)
    {
        bool free = IsFreeToVoteFor(message.From) || message.Term > Term;
        _messagesAfterSync.Add(free && IsUpToDate(message)
            ? new PreVoteGranted(Id, message.From, message.Term)
            : new PreVoteRefused(Id, message.From, Term, _log.Commit, _log.Term(_log.Commit)));
    }

    /// <summary>
    /// Learners answer, too: a replica may be a voter already in a configuration it has not received yet, and an election can
    /// depend on it.
    /// </summary>
    private void OnVoteRequest(BallotRequest message)
    {
        if (!IsFreeToVoteFor(message.From) || !IsUpToDate(message))
        {
            _messagesAfterSync.Add(new VoteRefused(Id, message.From, Term, _log.Commit, _log.Term(_log.Commit)));
            return;
        }

        _vote = message.From;
        _electionElapsed = 0;
        _messagesAfterSync.Add(new VoteGranted(Id, message.From, Term));
    }

    private bool IsFreeToVoteFor(ReplicaId candidate) => _vote == candidate || (_vote.IsNone && Leader.IsNone);

    private bool IsUpToDate(BallotRequest candidate) => _log.IsUpToDate(candidate.LastIndex, candidate.LastTerm);

    private void OnPreVoteGranted(PreVoteGranted message)
    {
        if (Role == Role.PreCandidate && message.Term == Term + 1)
        {
            Count(message.From, granted: true);
        }
    }

    private void OnVoteGranted(VoteGranted message)
    {
        if (Role == Role.Candidate)
        {
            Count(message.From, granted: true);
        }
    }

    private void OnBallotRefused(BallotRefused message)
    {
        if (Role != (message is PreVoteRefused ? Role.PreCandidate : Role.Candidate))
        {
            return;
        }

        if (_log.Matches(message.Commit, message.CommitTerm))
        {
            // Equal index and term mean equal logs up to there, and what is committed stays so, whoever says it.
            _log.CommitTo(message.Commit);
            if (HasUnappliedConfChange())
            {
                // The ballot was opened under a configuration that is in force no more; this replica may be out of the next one. It
                // applies the change and, if it is still a voter, asks again (CanCampaign).
                BecomeFollower(Term, ReplicaId.None);
                return;
            }
        }

        Count(message.From, granted: false);
    }

    private void Count(ReplicaId voter, bool granted)
    {
        _tracker.RecordVote(voter, granted);
        OnBallotChanged();
    }

    private void OnBallotChanged()
    {
        switch (_tracker.CountVotes())
        {
            case VoteResult.Won when Role == Role.PreCandidate:
                StartElection(transfer: false);
                break;
            case VoteResult.Won:
                BecomeLeader();
                break;
            case VoteResult.Lost:
                BecomeFollower(Term, ReplicaId.None);
                break;
            default:
                break;
        }
    }

    private void OnTimeoutNow(TimeoutNow message)
    {
        // Only a follower of the sender: a leader never deposes itself, and a campaign that runs already needs no push.
        if (Role == Role.Follower && CanCampaign())
        {
            StartElection(transfer: true);
        }
    }

    private void BecomeFollower(ulong term, ReplicaId leader)
    {
        BeginTerm(term);
        Role = Role.Follower;
        Leader = leader;
    }

    private void BecomeLeader()
    {
        Invariant.Check(Role == Role.Candidate, "only a candidate becomes leader");
        BeginTerm(Term);
        Role = Role.Leader;
        Leader = Id;
        _tracker.StartTerm(_log.LastIndex);

        // Paper 5.4.2 and 8: nothing of an earlier term is committed, and no read proved, before an entry of this term is.
        _termStart = _log.LastIndex + 1;

        // What is in the log may contain a configuration change, and a change may not start before an entry of the term is
        // committed (the flaw of single-server changes found in 2015): the next one waits until the no-op is applied.
        _pendingConfIndex = _termStart;
        AppendEntry(EntryKind.NoOp, ReadOnlyMemory<byte>.Empty, 1, featureLevel: 0);
        BroadcastAppend();
    }

    /// <summary>Hearing from the leader of this term; any other role of this term gives way.</summary>
    private void FollowLeader(ReplicaId leader)
    {
        Invariant.Check(Role != Role.Leader && (Leader.IsNone || Leader == leader), "a term has one leader");
        if (Leader == leader && Role == Role.Follower)
        {
            _electionElapsed = 0;
            return;
        }

        BecomeFollower(Term, leader);
    }

    /// <summary>Forgets what belongs to a role; a new term also forgets the vote.</summary>
    private void BeginTerm(ulong term)
    {
        Invariant.Check(term >= Term, "the term never goes back");
        if (term > Term)
        {
            Term = term;
            _vote = ReplicaId.None;
        }

        Leader = ReplicaId.None;
        _transferTarget = ReplicaId.None;
        StartBallot();
        _tracker.EndTerm();
        _uncommitted.Clear();
        ForgetReads();
    }

    private void StartBallot()
    {
        _tracker.ClearVotes();
        _electionElapsed = 0;
        DrawElectionTimeout();
    }

    private void DrawElectionTimeout() => _electionTimeout = _random.Next(_config.ElectionTicks, 2 * _config.ElectionTicks);

    private IEnumerable<ReplicaId> OtherVoters() => _tracker.Voters.Voters().Where(voter => voter != Id);
}
