using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// One replica of one group: its Raft core, its log, its state machine, and the requests that wait for any of them. Owned by
/// one loop and used on it alone: what other threads may know of it is its <see cref="Reader"/>.
/// </summary>
internal sealed partial class Replica : GroupRoute
{
    private readonly RaftNode _raft;
    private readonly GroupLog _log;
    private readonly GroupClock _clock = new();
    private readonly List<CommandResult> _results = [];
    private readonly DurableWrites _writes = new();
    private readonly string _snapshotDirectory;
    private readonly ReplicaReader _reader;

    private KvStateMachine _machine;
    private int _urgesLeft;
    private long _nextUrgeTick;

    public Replica(Turn turn, SharedState node, ReplicaAddress address, GroupLog log, KvStateMachine machine)
        : base(turn, node, address.Group)
    {
        StoreNodeOptions options = node.Options;
        _batch = new CommandBatchWriter(node.Routing.Table.VirtualNodeCount);
        _log = log;
        _log.Reads = turn.Writes.LogReads;
        _machine = machine;
        _snapshotDirectory = options.SnapshotDirectory(address.Group);
        _placement = node.Routing.Table.ReplicasOf(address.Group);
        HardState recovered = log.RecoveredHardState;
        if (recovered == default)
        {
            recovered = new HardState(log.Snapshot.Term, ReplicaId.None, log.Snapshot.Index);
        }

        _raft = new RaftNode(
            new RaftConfig
            {
                Id = address.Id,
                ElectionTicks = options.ElectionTicks,
                HoldsVoteAfterStart = options.HoldsVoteAfterStart,
                Seed = options.Seed ^ (address.Id.Value * 0x9E3779B97F4A7C15),
                MaxApplyBytes = MaxApplyBytesPerTurn,
            },
            log,
            recovered,
            log.Snapshot.Index,
            GroupClockNow,
            LevelOf);
        _reader = new ReplicaReader(address, node, machine, new ReplicaView(_raft.Role, IsLearner: false, _raft.Term, NodeId.None));
        LearnConfiguration();
        FindRaises();
        _reader.View = _reader.View with { IsLearner = _isLearner };
        _reader.LeaderlessSinceMs = turn.NowMs;
        _lastSnapshotIndex = log.Snapshot.Index;
        _dataAtSnapshot = machine.Table.DataBytes;
        _lastReadContext = options.Incarnation << RoundHistory.CounterBits;
        if (PreferredLeader == Id)
        {
            // The preferred leader asks first, so that leaders start out spread as the placement wants them.
            Urge(afterTicks: 2);
        }
    }

    public ReplicaId Id => _raft.Id;

    public ReplicaAddress Address => new(Group, Id);

    private ReplicaId PreferredLeader => new(_placement.Count == 0 ? 0 : _placement[0].ReplicaId);

    /// <summary>What other threads may know of it.</summary>
    public ReplicaReader Reader => _reader;

    public GroupTable Table => _machine.Table;

    /// <summary>In the loop's list of replicas to look at this turn.</summary>
    public bool IsDirty { get; set; }

    public ReplicaView View => _reader.View;

    public bool IsLeader => _raft.Role == Role.Leader;

    public override NodeId LeaderNode => NodeOf(_raft.Leader);

    /// <summary>Its own core says who leads; it is that one or nobody.</summary>
    protected override int NodesToAsk => 1;

    public bool HasReady => _raft.HasReady;

    public HardState RecoveredHardState => _log.RecoveredHardState;

    public ulong DurableLastIndex => _log.LastIndex;

    public long LiveLogBytes => _log.LiveBytes;

    public long RecordBytes => _machine.RecordBytes;

    public ulong SnapshotIndex => _log.Snapshot.Index;

    /// <summary>Term of the entry at an index, durable or not; 0 when there is none or it is compacted.</summary>
    public ulong TermAt(ulong index) => _raft.TermAt(index);

    /// <summary>Term of the durable entry at an index within the log, or of the one just before it.</summary>
    public ulong DurableTermAt(ulong index) => _log.Term(index);

    /// <summary>Hash of everything the state machine holds, equal on replicas that have applied the same index.</summary>
    public (ulong Applied, ulong Hash) StateHash()
    {
        using TableSnapshot rows = Table.Capture();
        return (_machine.AppliedIndex, _machine.Hash(rows));
    }

    /// <summary>The same, computed by the snapshot thread. Costs the loop what the start of a snapshot costs.</summary>
    public void BeginStateHash(Action<StateHash> completed)
    {
        TableSnapshot rows = Table.Capture();
        Turn.Writes.Snapshots.Post(new StateHashJob(_machine.BeginHash(rows), rows, completed));
    }

    /// <summary>
    /// Where a replica of the group lives: by the group's own log if the entry that added it has said so, else by the placement. Ids
    /// are never reused, so the two cannot contradict each other; but a table can be older than the log, or newer.
    /// </summary>
    public NodeId NodeOf(ReplicaId replica)
    {
        if (_raft.Configuration.NodeOf(replica) is not 0 and uint said)
        {
            return new NodeId(said);
        }

        foreach (ReplicaPlacement p in _placement)
        {
            if (p.ReplicaId == replica.Value)
            {
                return p.Node;
            }
        }

        return NodeId.None;
    }

    public void Step(Message message)
    {
        _raft.Step(message);
        NoticeLeader();
    }

    /// <summary>A message from a peer. While a fetched snapshot is being installed the replica is deaf: the peer sends again.</summary>
    public void OnPeerMessage(in PeerMessage message)
    {
        if (message.Message is FreshnessProof proof)
        {
            OnProof(proof);
        }
        else if (message.Message is TimeoutNow && Node.Fitness.LeadsOnlyWhenNobodyElseCan)
        {
            // Whoever leads does not know yet how things are here.
        }
        else if (_installation is null)
        {
            LearnLowestVoterMatch(message.LowestVoterMatch);
            if (message.Message is AppendEntries { Entries.Count: > 0 } && Node.Room.Disk.TakesNoEntries)
            {
                // Not acknowledged, so it comes again at the leader's heartbeats, which are answered.
                return;
            }

            if (WhatMayBeTaken(message.Message) is { } taken)
            {
                long refused = _raft.RefusedTerms;
                Step(taken);
                Turn.Loop.Counters.RefusedTerms += _raft.RefusedTerms - refused;
            }
        }
    }

    public override void OnTick(long nowMs)
    {
        // A node that should not lead lets the others campaign first: its ticks count a third while it follows.
        if (_installation is null && (!Node.Fitness.LeadsOnlyWhenNobodyElseCan || _raft.Role == Role.Leader || Turn.TickNumber % 3 == 0))
        {
            _raft.Tick();
            NoticeLeader();
        }

        if (_installation is null)
        {
            CampaignIfUrged();
        }

        RetryStaleReads(nowMs);
        HandOnSlowReads(nowMs);
        base.OnTick(nowMs);
        RemindOfSnapshot();
        FollowCatchUps();
        MaybeSnapshot();
        LeaveOldSegments();
        GiveLeadershipToPreferred();
        GiveLeadershipAway();
        RaiseLevel();
    }

    /// <summary>Starts a confirmation round: at every heartbeat interval, or because reads wait for one.</summary>
    public bool StartRound(ulong round, bool onlyIfWanted)
    {
        if (_raft.Role != Role.Leader || (onlyIfWanted && !_raft.WantsRound))
        {
            return false;
        }

        if (onlyIfWanted)
        {
            _raft.StartReadRound(round);
        }
        else
        {
            _raft.StartRound(round);
        }

        return true;
    }

    public bool WantsRound => _raft.Role == Role.Leader && _raft.WantsRound;

    /// <summary>The node that leads this group is known to be gone: elect without waiting for the timer.</summary>
    public void OnPeerLost(NodeId peer)
    {
        if (IsLeader)
        {
            foreach (ProgressStatus member in _raft.Progress.Where(member => NodeOf(member.Id) == peer))
            {
                _raft.ReportUnreachable(member.Id);
            }

            return;
        }

        if (LeaderNode != peer)
        {
            return;
        }

        bool first = _placement.FirstOrDefault(p => p.Node != peer).ReplicaId == Id.Value;
        int delayTicks = first ? 0 : 1 + (int)(Turn.NextRandom() % (ulong)Math.Max(1, MaxForgetDelayMs / Node.Options.TickMs));
        _raft.ForgetLeader(delayTicks);
        NoticeLeader();
        Urge(delayTicks + UrgeIntervalTicks);
    }

    public Ready TakeReady(long maxApplyBytes) => _raft.TakeReady(maxApplyBytes);

    /// <summary>Adds a Ready's writes to the turn's submission, and lets what depends on them wait for it.</summary>
    public void Persist(Ready ready)
    {
        NoteRaises(ready.Entries);
        SendAll(_writes.Add(Address, _log, ready, Turn.Writes));
    }

    /// <summary>The append lane to this follower's node is full or down.</summary>
    public void OnAppendDropped(ReplicaId follower) => _raft.ReportUnreachable(follower);

    /// <summary>A submission with something of this replica is durable: the core may know it, and what waited may leave.</summary>
    /// <returns>False: it was the last thing of a replica that has left.</returns>
    public bool OnDurable(WalSubmission submission, TurnWrite.Part part)
    {
        _log.OnDurable(submission);
        if (_reader.HasLeft)
        {
            if (!ReferenceEquals(part, _leaving))
            {
                return true;
            }

            Turn.Writes.Snapshots.Post(new ReplicaVacated(Address, Turn.Loop.Inbox, _snapshotDirectory));
            return false;
        }

        FetchAfterFirstWrite();
        _writes.Completed(part);
        if (part.Synced is not null)
        {
            Step(part.Synced);
        }

        SendAll(part.MessagesAfterSync);
        if (ReferenceEquals(part, _installation?.Write))
        {
            Install();
        }

        return true;
    }

    public void SendAll(IReadOnlyList<Message> messages)
    {
        for (int i = 0; i < messages.Count; i++)
        {
            if (MayLeave(messages[i]))
            {
                Send(messages[i]);
            }
        }
    }

    /// <summary>
    /// Applies what a Ready committed and answers whoever waited for it. Stops when that has moved so many bytes; the rest comes with the
    /// next Ready.
    /// </summary>
    /// <param name="committed">In order.</param>
    /// <param name="mostBytes">Not positive: nothing is applied now.</param>
    /// <returns>Bytes of values stored or copied.</returns>
    public long Apply(IReadOnlyList<Entry> committed, long mostBytes)
    {
        long moved = 0;
        int applied = 0;
        for (; applied < committed.Count && moved < mostBytes; applied++)
        {
            Entry entry = committed[applied];
            Invariant.Check(entry.NeededLevel <= Node.Options.MaxLevel, "an entry that this node cannot read is not in its log");
            PendingEntry? pending = TakePending(entry);
            _results.Clear();
            _machine.Apply(entry, pending is null ? null : _results);
            moved += _machine.LastMovedBytes;
            Node.Events.Applied?.Invoke(Group, _raft.Term, entry);
            _appliedBytesSinceSnapshot += entry.ChargedBytes;
            Turn.Loop.Counters.EntriesApplied++;
            Turn.Loop.Counters.CommandsApplied += entry.Kind == EntryKind.Command ? entry.Count : 0;
            if (entry is { Kind: EntryKind.NoOp, Payload.IsEmpty: false })
            {
                FollowRaises();
                if (IsLeader)
                {
                    Report(NodeEventKind.LevelRaised, entry.Term, entry.Index, $"is written at feature level {_machine.Level} from here on");
                }
            }

            if (pending is not null)
            {
                Answer(pending, entry);
            }
        }

        if (applied > 0)
        {
            _raft.Applied(committed[applied - 1].Index);
            _reader.Freshness.OnApplied(_machine.AppliedIndex);
            if (committed.Take(applied).Any(entry => entry.Kind == EntryKind.ConfChange))
            {
                LearnConfiguration();
                NoticeLeader();
            }

            ServeReadsUpTo(_machine.AppliedIndex);
        }

        if (applied < committed.Count)
        {
            _raft.TakeBackUnapplied();
        }

        return moved;
    }

    public void PublishStatus()
    {
        GroupStatus? old = _reader.Status;
        ReplicaView view = _reader.View;
        ulong commit = _raft.CommitIndex;
        long clockLead = ClockLeadMs() / 1000;
        if (old is not null && old.ClockLeadSeconds == clockLead && old.Term == view.Term && old.Leader == view.Leader && old.Commit == commit
            && old.Applied == _machine.AppliedIndex && old.SnapshotIndex == _lastSnapshotIndex && old.Role == RoleName(view)
            && old.FirstIndex == _log.FirstIndex && old.Level == _machine.Level)
        {
            return;
        }

        _reader.Status = new GroupStatus(
            Group, Id.Value, RoleName(view), view.Leader, view.Term, commit, _machine.AppliedIndex, _log.FirstIndex, _raft.LastIndex,
            _log.LiveBytes, _machine.Table.KeyCount, _lastSnapshotIndex, _snapshotsInstalled, _machine.Level)
        {
            ClockLeadSeconds = clockLead,
        };
    }

    /// <summary>How far what the group has stamped is ahead of the slowest of its voters' wall clocks; 0 when it is not.</summary>
    private long ClockLeadMs()
    {
        SharedState node = Node;
        return Math.Max(0, (long)_machine.GroupTime - node.Fitness.Walls.SlowestMs(_voterNodes, (long)node.Clock.WallMs(), node.Clock.ElapsedMs()));
    }

    protected override void OnHint(NodeId leader)
    {
        // A replica believes its own core; the hint only saves a remote group a guess.
    }

    /// <summary>
    /// There is reason to elect now and not at the timer. The others may not have noticed yet, or not be there: ask a few
    /// times. A pre-vote that fails costs nobody anything.
    /// </summary>
    private void Urge(int afterTicks)
    {
        _urgesLeft = MaxUrges;
        _nextUrgeTick = Turn.TickNumber + afterTicks;
    }

    private void CampaignIfUrged()
    {
        if (_urgesLeft == 0 || Turn.TickNumber < _nextUrgeTick || Node.Fitness.LeadsOnlyWhenNobodyElseCan)
        {
            return;
        }

        if (!LeaderNode.IsNone)
        {
            _urgesLeft = 0;
            return;
        }

        _urgesLeft--;
        _nextUrgeTick = Turn.TickNumber + UrgeIntervalTicks + (long)(Turn.NextRandom() % UrgeIntervalTicks);
        _raft.Campaign();
        NoticeLeader();
    }

    private void Send(Message message) => Turn.Peers.Send(
        NodeOf(message.To),
        new PeerMessage(Group, Node.Routing.Table.Epoch, message, message is Heartbeat ? LowestVoterMatch : 0),
        LevelNeededBy(message));

    private void Report(NodeEventKind kind, ulong term, ulong index, string text)
    {
        if (kind == NodeEventKind.BecameLeader)
        {
            Turn.Loop.Counters.Elections++;
        }

        Node.Events.Report(new NodeEvent(kind, Group, term, index, text));
    }

    private static string RoleName(ReplicaView view) => view.Role switch
    {
        _ when view.IsLearner => "learner",
        Role.Leader => "leader",
        Role.Follower => "follower",
        _ => "candidate",
    };

    private ulong GroupClockNow()
    {
        SharedState node = Node;
        long medianWall = node.Fitness.Walls.MedianMs(_voterNodes, node.Options.Self.Value, (long)node.Clock.WallMs(), node.Clock.ElapsedMs());
        ulong lastMs = _log.LastClock(_log.LastIndex) >> 16;
        return _clock.Now(_raft.Term, Turn.NowMs, (ulong)Math.Max(0, medianWall), Math.Max(lastMs, _machine.GroupTime)) << 16;
    }

    private void NoticeLeader()
    {
        ReplicaView old = _reader.View;
        if (old.Role == _raft.Role && old.IsLearner == _isLearner && old.Term == _raft.Term && old.Leader == LeaderNode)
        {
            return;
        }

        var view = new ReplicaView(_raft.Role, _isLearner, _raft.Term, LeaderNode);
        _reader.View = view;
        if (view.Role != Role.Leader)
        {
            _reader.IsHandingOver = false;
        }

        if (old.Leader.IsNone != view.Leader.IsNone)
        {
            _reader.LeaderlessSinceMs = view.Leader.IsNone ? Turn.NowMs : long.MaxValue;
        }

        Report(old, view);
        if (view.Role == Role.Leader && (old.Role != Role.Leader || old.Term != view.Term))
        {
            _leadsFrom = _raft.LastIndex;
            RequeueReplaced(firstIndex: _leadsFrom);
        }

        if (old.Role == Role.Leader || old.Leader != view.Leader)
        {
            RequeueReads();
        }

        if (!view.Leader.IsNone)
        {
            if (old.Leader != view.Leader)
            {
                LeaderIsNow(view.Leader);
            }

            RetryWaiting();
        }
    }

    private void Report(ReplicaView old, ReplicaView view)
    {
        if (view.Role == Role.Leader && old.Role != Role.Leader)
        {
            Report(NodeEventKind.BecameLeader, view.Term, _raft.LastIndex, "became leader");
        }
        else if (old.Role == Role.Leader && view.Role != Role.Leader)
        {
            Report(NodeEventKind.LostLeadership, view.Term, _raft.LastIndex, "is leader no more");
        }
        else if (view.Role == Role.Candidate && old.Role != Role.Candidate)
        {
            Report(NodeEventKind.Campaigning, view.Term, _raft.LastIndex, "campaigns");
        }
        else if (!view.Leader.IsNone && view.Leader != old.Leader)
        {
            Report(NodeEventKind.LeaderChanged, view.Term, _raft.LastIndex, $"follows {Node.Options.NameOf(view.Leader)}");
        }
    }

    /// <summary>
    /// Failover by evidence: a follower that is not first in the placement waits a random part of this before it asks for
    /// votes.
    /// </summary>
    private const int MaxForgetDelayMs = 200;

    private const int MaxUrges = 4;

    /// <summary>
    /// Entries applied in one turn of the loop, shared by the groups that have something to do: the replay after a restart must not
    /// keep votes and heartbeats waiting, however many groups there are to replay. Code that was just loaded applies 4 MB/s.
    /// </summary>
    internal const long MaxApplyBytesPerTurn = 128 * 1024;

    /// <summary>
    /// Bytes of values that all entries applied in one turn of the loop may store or copy, for the log says little about that: entries of a
    /// kilobyte may store megabytes. It is looked at behind each entry, and one of <see cref="MaxEntryStoredBytes"/> goes alone; the groups
    /// that came too late in one turn come first in the next.
    /// </summary>
    internal const long MaxMovedBytesPerTurn = 4L << 20;

    private const int UrgeIntervalTicks = 3;
}
