namespace KvStore.Raft;

/// <summary>
/// One replica of one Raft group: a synchronous function of its inputs. Messages, ticks, proposals and storage completions go
/// in; <see cref="TakeReady"/> says what to write, send, apply and answer. It knows no clock, thread, disk or socket.
/// The numbers in comments are sections of the Raft paper and of Ongaro's thesis. docs/raft.md tells the whole story.
/// </summary>
public sealed partial class RaftNode
{
    private readonly RaftConfig _config;
    private readonly Func<ulong> _groupClock;
    private readonly Func<ReplicaId, ushort>? _levelOf;
    private readonly RaftLog _log;
    private readonly ProgressTracker _tracker;
    private readonly List<Message> _messages = [];
    private readonly List<Message> _messagesAfterSync = [];
    private readonly List<ReadState> _reads = [];

    // Invariant: changes only together with Term, or from nobody to somebody within a term.
    private ReplicaId _vote;

    /// <summary>The last one handed out for writing (or read at start).</summary>
    private HardState _handedOut;

    // The batch given to the state machine and not reported as applied yet.
    private IReadOnlyList<Entry> _applying = [];

    /// <param name="config">Limits and timers.</param>
    /// <param name="log">Durable log; its Snapshot gives the configuration to start from.</param>
    /// <param name="hardState">As last written; default for a new replica.</param>
    /// <param name="applied">Index the state machine has (the snapshot's, after a restart).</param>
    /// <param name="groupClock">
    /// Group time now, as a revision; asked when a leader appends. The core stamps max(this, last revision in the log + 1).
    /// </param>
    /// <param name="levelOf">
    /// Highest <see cref="Entry.NeededLevel"/> that may be sent to a peer now; asked at every append. Null: any.
    /// </param>
    public RaftNode(
        RaftConfig config, ILogReader log, HardState hardState, ulong applied, Func<ulong> groupClock, Func<ReplicaId, ushort>? levelOf = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(config.ElectionTicks, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(config.MaxInflightAppends, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(config.MaxInflightBytes, 1);
        SnapshotMetadata snapshot = log.Snapshot;
        _config = config;
        _groupClock = groupClock;
        _levelOf = levelOf;
        _random = new SeededRandom(config.Seed);
        _pendingReads = new ReadIndexQueue(config.MaxPendingReads);
        _uncommitted = new UncommittedBytes(config.MaxUncommittedBytes);

        // A snapshot can be newer than the last hard state: what it contains was committed, in a term that has begun.
        Term = Math.Max(hardState.Term, snapshot.Term);
        _vote = hardState.Term == Term ? hardState.Vote : ReplicaId.None;
        ulong commit = Math.Max(hardState.Commit, snapshot.Index);
        Invariant.Check(commit <= log.LastIndex, "the durable commit index is covered by the durable log");
        Invariant.Check(applied >= snapshot.Index && applied <= commit, "the state machine starts between snapshot and commit");
        _log = new RaftLog(log, commit, applied);
        _tracker = new ProgressTracker(config, snapshot.Configuration);
        _handedOut = new HardState(Term, _vote, commit);
        _voteHeldTicks = config.HoldsVoteAfterStart ? config.ElectionTicks : 0;
        ReplayConfChanges(snapshot.Index + 1, applied);
        DrawElectionTimeout();
    }

    public ReplicaId Id => _config.Id;

    public Role Role { get; private set; }

    /// <summary>The leader of this term as far as it is known here.</summary>
    public ReplicaId Leader { get; private set; }

    public ulong Term { get; private set; }

    public ulong CommitIndex => _log.Commit;

    public ulong AppliedIndex => _log.Applied;

    public ulong LastIndex => _log.LastIndex;

    /// <summary>Term of the entry at an index, durable or not; 0 when there is none or a snapshot stands for it.</summary>
    public ulong TermAt(ulong index) => _log.TryTerm(index, out ulong term) ? term : 0;

    /// <summary>Messages refused because their term is more than <see cref="MaxTermJump"/> above the own.</summary>
    public long RefusedTerms { get; private set; }

    /// <summary>In force after the last applied configuration entry.</summary>
    public ConfState Configuration => _tracker.Configuration;

    public bool HasReady =>
        _log.Unstable.HasEntriesToHandOut || CurrentHardState != _handedOut || _messages.Count > 0 || _messagesAfterSync.Count > 0
        || _log.HasEntriesToApply || _reads.Count > 0 || _snapshotToHandOut;

    private HardState CurrentHardState => new(Term, _vote, _log.Commit);

    /// <summary>
    /// Everything to do now, handed out once. More may be taken while earlier writes are in flight; the owner completes writes
    /// in the order it took them.
    /// </summary>
    /// <param name="maxApplyBytes">At most so much to apply, below the configured limit; a larger entry goes alone.</param>
    public Ready TakeReady(long maxApplyBytes = long.MaxValue)
    {
        IReadOnlyList<Entry> entries = _log.Unstable.HandOut();
        HardState hardState = CurrentHardState;
        bool ballotChanged = hardState.Term != _handedOut.Term || hardState.Vote != _handedOut.Vote;
        bool mustSync = entries.Count > 0 || ballotChanged;
        bool write = mustSync || hardState.Commit != _handedOut.Commit;
        _handedOut = hardState;
        IReadOnlyList<Entry> committed = HandOutToApply(Math.Min(maxApplyBytes, _config.MaxApplyBytes));
        SnapshotMetadata? snapshot = _snapshotToHandOut ? PendingSnapshot : null;
        _snapshotToHandOut = false;
        return new Ready
        {
            // The commit index as of this append goes with it. See HardState.
            HardState = write ? hardState : null,
            Entries = entries,
            Snapshot = snapshot,
            MustSync = mustSync,

            // Even a write without entries vouches for the end of the log: writes complete in order, and the completion of an
            // earlier one is refused when the term has changed since.
            OnSynced = mustSync ? new AppendSynced(Id, Id, Term, _log.LastIndex, _log.LastTerm) : null,
            Messages = TakeAll(_messages),
            MessagesAfterSync = TakeAll(_messagesAfterSync),
            Committed = committed,
            Reads = TakeAll(_reads),
        };
    }

    public void Step(Message message)
    {
        if (message.To != Id)
        {
            return;
        }

        switch (message)
        {
            case AppendSynced synced:
                OnAppendSynced(synced);
                return;
            case SnapshotInstalled installed:
                OnSnapshotInstalled(installed);
                return;
            default:
                break;
        }

        if (JumpsTooFar(message))
        {
            RefusedTerms++;
            return;
        }

        if ((message is BallotRequest && _voteHeldTicks > 0) || !AdmitTerm(message))
        {
            return;
        }

        switch (message)
        {
            case PreVoteRequest request:
                OnPreVoteRequest(request);
                break;
            case BallotRequest request:
                OnVoteRequest(request);
                break;
            case PreVoteGranted granted:
                OnPreVoteGranted(granted);
                break;
            case VoteGranted granted:
                OnVoteGranted(granted);
                break;
            case BallotRefused refused:
                OnBallotRefused(refused);
                break;
            case AppendEntries append:
                OnAppendEntries(append);
                break;
            case AppendAccepted accepted:
                OnAppendAccepted(accepted);
                break;
            case AppendRejected rejected:
                OnAppendRejected(rejected);
                break;
            case Heartbeat heartbeat:
                OnHeartbeat(heartbeat);
                break;
            case HeartbeatResponse response:
                OnHeartbeatResponse(response);
                break;
            case ReadIndexRequest request:
                OnReadIndexRequest(request);
                break;
            case ReadIndexResponse response:
                OnReadIndexResponse(response);
                break;
            case InstallSnapshot install:
                OnInstallSnapshot(install);
                break;
            case TimeoutNow timeout:
                OnTimeoutNow(timeout);
                break;
            default:
                Invariant.Check(false, "every message has a handler");
                break;
        }
    }

    /// <summary>
    /// Appends a batch and sends it to every peer; it is durable nowhere yet. Followers do not pass proposals on: a proposal
    /// lost on the way would be lost silently, and the request layer has the ids and deadlines to do better.
    /// </summary>
    public ProposeResult Propose(ReadOnlyMemory<byte> payload, uint count, ushort featureLevel)
    {
        ArgumentOutOfRangeException.ThrowIfZero(count);
        return ProposeEntry(EntryKind.Command, payload, count, featureLevel);
    }

    /// <summary>Proposes a <see cref="LevelRaise"/>. That every member knows the level is the owner's business.</summary>
    public ProposeResult ProposeLevel(ushort level) => ProposeEntry(EntryKind.NoOp, LevelRaise.Encode(level), count: 1, featureLevel: 0);

    /// <summary>The state machine has applied up to index.</summary>
    public void Applied(ulong index)
    {
        ulong before = _log.Applied;
        _log.AppliedTo(index);
        foreach (Entry entry in _applying)
        {
            if (entry.Kind == EntryKind.ConfChange && entry.Index > before && entry.Index <= index)
            {
                ApplyConfChange(entry);
            }
        }

        LeaveJointWhenDue();
    }

    /// <summary>
    /// The owner has applied as much of the last batch as it wants to for now, and said so: the rest is handed out again, with the next
    /// <see cref="Ready"/>.
    /// </summary>
    public void TakeBackUnapplied()
    {
        _log.TakeBack(_applying);
        _applying = [];
    }

    /// <summary>
    /// A term so far above the own is no election that was missed: that would be one a second for twelve days. Believed, it would be
    /// written down, and nobody could be elected until the others had counted up to it. A replica that has seen no term yet takes any:
    /// it comes to a group that may be old.
    /// </summary>
    private bool JumpsTooFar(Message message) => Term > 0 && message.Term > Term && message.Term - Term > MaxTermJump;

    private ProposeResult ProposeEntry(EntryKind kind, ReadOnlyMemory<byte> payload, uint count, ushort featureLevel)
    {
        if (Role != Role.Leader)
        {
            return new ProposeResult(ProposeOutcome.NotLeader);
        }

        if (!_transferTarget.IsNone)
        {
            return new ProposeResult(ProposeOutcome.Transferring);
        }

        return AppendAndBroadcast(kind, payload, count, featureLevel);
    }

    private IReadOnlyList<Entry> HandOutToApply(long maxBytes)
    {
        if (!_log.HasEntriesToApply)
        {
            return [];
        }

        _applying = _log.HandOutToApply(maxBytes);
        return _applying;
    }

    private static T[] TakeAll<T>(List<T> list)
    {
        if (list.Count == 0)
        {
            return [];
        }

        T[] taken = [.. list];
        list.Clear();
        return taken;
    }

    /// <summary>
    /// Paper 5.1, with the two exceptions pre-vote and stickiness need. False: the message is of no use in this term; an answer
    /// has been sent where silence would leave the sender stuck.
    /// </summary>
    private bool AdmitTerm(Message message)
    {
        if (message.Term < Term)
        {
            AnswerOlderTerm(message);
            return false;
        }

        if (message.Term == Term)
        {
            return true;
        }

        switch (message)
        {
            // Thesis 4.2.3: while a leader is heard, nobody talks us into another election, and our term stays: a replica that
            // was removed or cut off cannot depose a leader by its term alone.
            case PreVoteRequest or VoteRequest when HasHeardFromLeader:
                return false;

            // A pre-vote asks about a term that has not begun (thesis 9.6); so does the yes to it.
            case PreVoteRequest or PreVoteGranted:
                return true;

            case AppendEntries or Heartbeat or InstallSnapshot:
                BecomeFollower(message.Term, message.From);
                return true;

            default:
                BecomeFollower(message.Term, ReplicaId.None);
                return true;
        }
    }

    private void AnswerOlderTerm(Message message)
    {
        switch (message)
        {
            // A leader of an older term that reaches us would otherwise never learn that we cannot follow it: our vote requests
            // do not get past its followers' stickiness. The higher term in the answer makes it step down.
            case AppendEntries or Heartbeat or InstallSnapshot:
                _messagesAfterSync.Add(new AppendRejected(Id, message.From, Term, 0));
                break;

            // Likewise a pre-candidate with a shorter history: it must learn the term, or two of them refuse each other for ever.
            case PreVoteRequest:
                _messagesAfterSync.Add(new PreVoteRefused(Id, message.From, Term));
                break;

            default:
                break;
        }
    }

    /// <summary>Terms by which a message may be ahead of the own term; above it the message is refused and counted.</summary>
    public const ulong MaxTermJump = 1UL << 20;
}
