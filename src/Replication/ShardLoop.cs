using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// The loop that owns some of a node's groups. One turn: drain the inbox, step the cores, one submission to the log for all
/// groups, one frame per peer and lane, apply what is committed, complete reads. Nothing in a turn waits or locks, and all it has to do with
/// the disk is to read entries that memory no longer has, within bounds; the clock is read once, at its start. A thread of Node turns it in
/// production, the scheduler does in simulation.
/// </summary>
public sealed class ShardLoop
{
    private readonly SharedState _node;
    private readonly Turn _turn;
    private readonly PeerMessagesPool _payloads;
    private readonly ReplicaOpener _opener;
    private readonly ReplicaDirectory _published;
    private readonly GroupWatch _watch;
    private readonly SortedDictionary<uint, GroupRoute> _groups = [];
    private readonly List<Replica> _replicas = [];
    private readonly List<Replica> _dirty = [];
    private readonly List<(Replica Replica, Ready Ready)> _readies = [];
    private LoopItem? _taken;

    // Replicas that have left and whose last write is not durable yet.
    private readonly List<Replica> _leaving = [];

    // Who had something to apply in the last turn and came too late for it.
    private Replica? _applyFirst;
    private long _lastTickMs;
    private long _lastHeartbeatMs;
    private ulong _round;

    // The last turn that proposed: its write until that is durable, and when it was.
    private TurnWrite? _proposal;
    private bool _hasProposed;
    private long _proposedMs;

    // Leaders that have writes to propose and wait for that.
    private readonly List<Replica> _holding = [];

    internal ShardLoop(SharedState node, int number, Turn turn, PeerMessagesPool payloads, ReplicaOpener opener, ReplicaDirectory published, GroupWatch watch)
    {
        (_node, _turn, _payloads, _opener, _published, _watch) = (node, turn, payloads, opener, published, watch);
        Number = number;
        turn.NowMs = node.Clock.ElapsedMs();
        _lastTickMs = turn.NowMs;
        _lastHeartbeatMs = turn.NowMs;
        _round = node.Options.Incarnation << RoundHistory.CounterBits;
    }

    /// <summary>Called (any thread) when work arrives while the loop may be asleep.</summary>
    public Action? Wake
    {
        get => _turn.Loop.Inbox.Wake;
        set => _turn.Loop.Inbox.Wake = value;
    }

    public int Number { get; }

    internal LoopFront Front => _turn.Loop;

    internal IReadOnlyList<Replica> Replicas => _replicas;

    /// <summary>Milliseconds from now until the next tick is due.</summary>
    public int NextDueMs => (int)Math.Clamp(_lastTickMs + _node.Options.TickMs - _node.Clock.ElapsedMs(), 0, _node.Options.TickMs);

    /// <summary>One turn. True: there is more to do at once. Otherwise sleep until Wake or NextDueMs.</summary>
    public bool RunOnce()
    {
        long before = _turn.NowMs;
        _turn.NowMs = _node.Clock.ElapsedMs();
        _turn.Writes.StartTurn(Math.Clamp(_turn.NowMs - before, 0, MaxTicksPerTurn * _node.Options.TickMs));
        DrainInbox();
        RunTimers();
        FlushRequests();
        StartRounds();
        TakeReadies();
        _ = _turn.Writes.TrySubmit();
        Flush();
        ApplyAndServe();
        _turn.Loop.Arena.EvacuateStep(EvacuateBytesPerTurn, tight: _node.Room.Memory.IsShort);
        return _dirty.Count > 0 || _taken is not null || !_turn.Loop.Inbox.IsEmpty;
    }

    internal void Add(GroupRoute route)
    {
        _groups.Add(route.Group.Value, route);
        if (route is Replica replica)
        {
            Add(replica);
        }
    }

    private void Add(Replica replica)
    {
        _replicas.Add(replica);
        _turn.Loop.Replicas = _replicas.Count;
        MarkDirty(replica);
    }

    /// <summary>
    /// Brings this loop's groups to what the newest placement says; nothing to do when all is well. A replica leaves when its
    /// place is gone, for by then the group's configuration is without it; one comes when the placement names a new one.
    /// </summary>
    internal void FollowPlacement()
    {
        foreach (GroupRoute route in _groups.Values.ToArray())
        {
            FollowPlacement(route);
        }
    }

    private void FollowPlacement(GroupRoute route)
    {
        RoutingTable table = _node.Routing.Table;
        GroupId group = route.Group;
        var own = new ReplicaId(table.ReplicaOn(group, _node.Options.Self));
        switch (route)
        {
            case Replica replica when own == replica.Id:
                replica.UsePlacement(table.ReplicasOf(group));
                break;

            case Replica replica when table.Epoch > replica.Record.Epoch:
                Replace(replica, new RemoteGroup(_turn, _node, group) { VacantSince = table.Epoch, IsLeaving = true });
                break;

            case RemoteGroup { IsLeaving: false } remote when !own.IsNone && table.Epoch >= remote.VacantSince:
                Replica newcomer = _opener.New(_turn, group, new ReplicaRecord(own, table.Epoch));
                _groups[group.Value] = newcomer;
                Add(newcomer);
                foreach (RequestItem item in remote.TakeWaiting())
                {
                    newcomer.Accept(item);
                }

                break;
        }
    }

    private void Replace(Replica leaving, RemoteGroup remote)
    {
        _groups[leaving.Group.Value] = remote;
        _replicas.Remove(leaving);
        _turn.Loop.Replicas = _replicas.Count;
        _leaving.Add(leaving);
        _dirty.Remove(leaving);
        _holding.Remove(leaving);

        // It stays marked, so that no late completion puts it into the list again.
        leaving.IsDirty = true;
        _published.Remove(leaving.Reader);
        foreach (RequestItem item in leaving.TakeWaiting().Concat(leaving.Leave(remote.VacantSince)))
        {
            remote.Accept(item);
        }
    }

    private void MarkDirty(Replica replica)
    {
        replica.WantsTurn = false;
        if (!replica.IsDirty)
        {
            replica.IsDirty = true;
            _dirty.Add(replica);
        }
    }

    /// <summary>After the last turn, on the thread that stops the node: nothing stays unanswered.</summary>
    internal void AbandonAll()
    {
        for (LoopItem? item = _taken ?? _turn.Loop.Inbox.TakeAll(); item is not null; item = item.Next ?? _turn.Loop.Inbox.TakeAll())
        {
            if (item is RequestItem request)
            {
                _turn.Requests.Abandon(request);
            }
            else if (item is ForwardReturn forwarded)
            {
                _turn.Requests.Abandon(forwarded);
            }
        }

        _taken = null;
        foreach (GroupRoute route in _groups.Values)
        {
            route.Abandon();
        }
    }

    /// <summary>
    /// While the disk has not finished what was proposed last, writes are gathered: entries grow with the load, and a loop that has nothing on
    /// its way to the disk waits for nothing. Nor does it wait for a disk that is slow, since a majority may do without it.
    /// </summary>
    private void FlushRequests()
    {
        bool mayPropose = (_proposal is null && !_hasProposed) || _turn.NowMs - _proposedMs >= MaxGatherMs;
        for (int i = _holding.Count - 1; i >= 0; i--)
        {
            if (mayPropose || !_holding[i].IsLeader)
            {
                MarkDirty(_holding[i]);
                _holding.RemoveAt(i);
            }
        }

        long proposals = _turn.Loop.Counters.Proposals;
        foreach (Replica replica in _dirty)
        {
            if (replica.FlushRequests(mayPropose) && !_holding.Contains(replica))
            {
                _holding.Add(replica);
            }
        }

        if (_turn.Loop.Counters.Proposals != proposals)
        {
            _hasProposed = true;
            _proposedMs = _turn.NowMs;
        }
    }

    private void DrainInbox()
    {
        _taken ??= _turn.Loop.Inbox.TakeAll();
        for (int n = 0; _taken is not null && n < MaxItemsPerTurn; n++)
        {
            LoopItem item = _taken;
            _taken = item.Next;
            item.Next = null;
            Handle(item);
        }
    }

    private void Handle(LoopItem item)
    {
        switch (item)
        {
            case RequestItem request:
                OnRequest(request);
                break;
            case PeerMessages messages:
                OnPeerMessages(messages);
                break;
            case TurnWrite write:
                OnDurable(write);
                break;
            case ForwardReturn forwarded:
                OnForwarded(forwarded);
                break;
            case PeerLost lost:
                OnPeerLost(lost.Peer);
                break;
            case HandOver:
                OnHandOver();
                break;
            case SnapshotPulled pulled:
                (_groups.GetValueOrDefault(pulled.Group.Value) as Replica)?.OnSnapshotPulled(pulled.By);
                break;
            case SnapshotDamaged damaged:
                (_groups.GetValueOrDefault(damaged.Group.Value) as Replica)?.ReplaceSnapshot();
                break;
            case SnapshotWritten snapshot:
                OnSnapshotWritten(snapshot);
                break;
            case SnapshotBuilt built:
                OnSnapshotBuilt(built.Build);
                break;
            case SnapshotAbandoned abandoned:
                (_groups.GetValueOrDefault(abandoned.Group.Value) as Replica)?.OnSnapshotAbandoned();
                break;
            case PlacementChanged:
                FollowPlacement();
                break;
            case ReplicaFreed freed when _groups[freed.Group.Value] is RemoteGroup remote:
                remote.IsLeaving = false;
                FollowPlacement(remote);
                break;
            case ConfChangeRequest asked:
                ProposeConfChange(asked);
                break;
            case StateHashRequest asked:
                BeginStateHash(asked);
                break;
            default:
                throw new InvariantViolationException($"a loop does not know {item.GetType().Name}");
        }
    }

    private void OnRequest(RequestItem item)
    {
        _turn.Loop.Counters.Requests++;
        if (item.IsUnwantedRead)
        {
            _turn.Requests.Complete(item, Replies.Unwanted);
        }
        else if (_groups.TryGetValue(item.Group.Value, out GroupRoute? route))
        {
            route.Accept(item);
            MarkIfWanted(route);
        }
        else
        {
            _turn.Requests.Complete(item, Replies.WrongNode(item.Group, NodeId.None));
        }
    }

    private void OnForwarded(ForwardReturn forwarded)
    {
        GroupRoute route = _groups[forwarded.Item.Group.Value];
        route.OnForwarded(forwarded, _turn.NowMs);
        MarkIfWanted(route);
    }

    private void ProposeConfChange(ConfChangeRequest asked)
    {
        if (_groups.GetValueOrDefault(asked.Group.Value) is Replica member)
        {
            ConfChangeReply reply = member.ProposeConfChange(asked.Change);
            MarkIfWanted(member);
            asked.Completed(reply);
        }
        else
        {
            asked.Completed(new ConfChangeReply(ConfChangeOutcome.NotLeader, _groups.GetValueOrDefault(asked.Group.Value)?.LeaderNode ?? default));
        }
    }

    private void OnPeerMessages(PeerMessages messages)
    {
        _turn.Loop.Taken(messages);
        _node.Fitness.Walls.Observe(messages.From.Value, messages.Head.WallMs, _node.Clock.ElapsedMs());
        if (!messages.Head.Stamp.IsNone)
        {
            _turn.Peers.Rounds.Hear(messages.From, messages.Head.Stamp);
        }

        foreach (PeerMessage message in messages.Messages)
        {
            if (_groups.TryGetValue(message.Group.Value, out GroupRoute? route) && route is Replica replica
                && message.Message.To == replica.Id && replica.NodeOf(message.Message.From) == messages.From)
            {
                replica.OnPeerMessage(message);
                MarkDirty(replica);
            }
            else
            {
                _turn.Loop.Counters.StrayMessages++;
            }
        }

        _payloads.GiveBack(messages);
    }

    private void OnDurable(TurnWrite write)
    {
        _turn.Writes.Completed(write);
        _proposal = ReferenceEquals(_proposal, write) ? null : _proposal;
        foreach (TurnWrite.Part part in write.Parts)
        {
            Replica replica = Find(part.Of) ?? FindLeaving(part.Of);
            if (!replica.OnDurable(write.Submission, part))
            {
                _leaving.Remove(replica);
            }

            MarkDirty(replica);
        }

        _turn.Writes.Ended(write);
    }

    private Replica FindLeaving(ReplicaAddress address)
    {
        foreach (Replica replica in _leaving)
        {
            if (replica.Address == address)
            {
                return replica;
            }
        }

        throw new InvariantViolationException($"the log has written for replica {address.Id} of group {address.Group}, which is not here");
    }

    /// <summary>Null: it has left this node.</summary>
    private Replica? Find(ReplicaAddress address) =>
        _groups.GetValueOrDefault(address.Group.Value) is Replica replica && replica.Id == address.Id ? replica : null;

    /// <summary>Something came to it outside of what gives every replica a turn.</summary>
    private void MarkIfWanted(GroupRoute route)
    {
        if (route is Replica { WantsTurn: true } replica)
        {
            MarkDirty(replica);
        }
    }

    private void BeginStateHash(StateHashRequest asked)
    {
        if (Find(asked.Address) is { } replica)
        {
            replica.BeginStateHash(asked.Completed);
        }
        else
        {
            asked.Completed(default);
        }
    }

    private void OnSnapshotWritten(SnapshotWritten snapshot)
    {
        if (Find(snapshot.Address) is not { } replica)
        {
            return;
        }

        if (snapshot.Fetched)
        {
            replica.OnSnapshotFetched(snapshot.Header, snapshot.File);
        }
        else
        {
            replica.OnSnapshotWritten(snapshot.Header.Metadata, snapshot.File);
        }

        MarkDirty(replica);
    }

    private void OnSnapshotBuilt(SnapshotBuild build)
    {
        if (_groups.GetValueOrDefault(build.Group.Value) is Replica replica)
        {
            replica.OnSnapshotBuilt(build);
            MarkDirty(replica);
        }
        else
        {
            build.Discard();
        }
    }

    private void OnHandOver()
    {
        foreach (Replica replica in _replicas.Where(r => r.IsLeader))
        {
            replica.HandOver();
            MarkDirty(replica);
        }

        _node.Fitness.HandedOver();
    }

    private void OnPeerLost(NodeId peer)
    {
        foreach (Replica replica in _replicas)
        {
            replica.OnPeerLost(peer);
            MarkDirty(replica);
        }
    }

    /// <summary>Ticks owed after a stall are capped, so that a paused process does not wake up into an election.</summary>
    private void RunTimers()
    {
        int tickMs = _node.Options.TickMs;
        long owed = (_turn.NowMs - _lastTickMs) / tickMs;
        if (owed <= 0)
        {
            return;
        }

        _lastTickMs += owed * tickMs;
        for (long tick = Math.Min(owed, MaxTicksPerTurn); tick > 0; tick--)
        {
            _turn.TickNumber++;
            _node.Fitness.CheckClock();
            _watch.WarnOfGroupsAhead();
            WatchDisk();
            if (Number == 0)
            {
                _watch.CheckLeaders(_turn.NowMs);
            }

            _turn.Writes.StartTick();
            LoopCounters counters = _turn.Loop.Counters;
            counters.LiveLogBytes = _replicas.Sum(replica => replica.LiveLogBytes);
            counters.RecordBytes = _replicas.Sum(replica => replica.RecordBytes);
            counters.IndexBytes = _replicas.Sum(replica => replica.Table.IndexBytes + replica.BuildBytes);
            _node.Room.Memory.Observe();
            if (Number == 0 && _turn.TickNumber % Math.Max(1, DiskCheckMs / tickMs) == 0)
            {
                _turn.Writes.Snapshots.Post(new DiskCheck());
            }

            foreach (GroupRoute route in _groups.Values)
            {
                route.OnTick(_turn.NowMs);
                if (route is Replica replica)
                {
                    MarkDirty(replica);
                    replica.PublishStatus();
                }
            }
        }
    }

    private void WatchDisk()
    {
        (long ageMs, long worstMs) = _turn.Writes.Watch();
        _node.Fitness.Disk.Observe(Number, _turn.NowMs, ageMs, worstMs);
    }

    /// <summary>
    /// One confirmation round a turn at most, shared by all groups that need one: every led group when the heartbeat is due,
    /// otherwise those with waiting reads. Rounds count up across restarts (incarnation above, counter below), so an answer
    /// to a round of an earlier process confirms nothing.
    /// </summary>
    private void StartRounds()
    {
        bool due = _turn.NowMs - _lastHeartbeatMs >= _node.Options.HeartbeatMs;
        if (due)
        {
            _lastHeartbeatMs = _turn.NowMs;
        }
        else if (!_dirty.Exists(r => r.WantsRound))
        {
            return;
        }

        // Before any group's commit index is read: the stamps and the moment that the round will prove.
        ulong round = _round + 1;
        _turn.Peers.Rounds.Start(round, (long)_node.Clock.StampTicks());
        bool started = false;
        foreach (Replica replica in due ? _replicas : _dirty)
        {
            if (replica.StartRound(round, onlyIfWanted: !due))
            {
                started = true;
            }
        }

        if (due)
        {
            _replicas.ForEach(MarkDirty);
        }

        if (started)
        {
            _round = round;
            _turn.Loop.Counters.ReadRounds++;
        }
    }

    /// <summary>While the log takes no more, cores keep what they have: back-pressure ends at the uncommitted limit.</summary>
    private void TakeReadies()
    {
        if (!_turn.Writes.TrySubmit())
        {
            return;
        }

        // At least one entry each: the share of a group may be small, but none stands still.
        long applyShareBytes = Replica.MaxApplyBytesPerTurn / Math.Max(1, _dirty.Count);
        foreach (Replica replica in _dirty)
        {
            replica.IsDirty = false;
            replica.WantsTurn = false;
            replica.ShareConfirmedRound();
            replica.AnswerWrittenByAll();
            if (!replica.HasReady)
            {
                replica.ContinueInstallation();
                continue;
            }

            Ready ready = replica.TakeReady(applyShareBytes);
            replica.SendAll(ready.Messages);
            if (ready.MustSync || ready.MessagesAfterSync.Count > 0)
            {
                replica.Persist(ready);
            }

            if (ready.Snapshot is not null)
            {
                replica.FetchSnapshot();
            }

            _readies.Add((replica, ready));
        }

        if (_hasProposed)
        {
            _proposal = _turn.Writes.Pending;
            _hasProposed = false;
        }

        _dirty.Clear();
    }

    private void Flush()
    {
        foreach (PeerOutbox outbox in _turn.Peers.Outboxes)
        {
            if (outbox.IsEmpty)
            {
                continue;
            }

            outbox.Flush(_node.Clock.WallMs(), _node.Clock.StampTicks());
            foreach ((GroupId group, ReplicaId replica) in outbox.Dropped)
            {
                (_groups[group.Value] as Replica)?.OnAppendDropped(replica);
            }

            outbox.Dropped.Clear();
        }
    }

    private void ApplyAndServe()
    {
        int first = _applyFirst is null ? 0 : Math.Max(0, _readies.FindIndex(entry => ReferenceEquals(entry.Replica, _applyFirst)));
        long left = Replica.MaxMovedBytesPerTurn;
        _applyFirst = null;
        for (int n = 0; n < _readies.Count; n++)
        {
            (Replica replica, Ready ready) = _readies[(first + n) % _readies.Count];
            if (left <= 0 && ready.Committed.Count > 0)
            {
                _applyFirst ??= replica;
            }

            left -= replica.Apply(ready.Committed, left);
            replica.ServeProvedReads(ready.Reads);
            if (replica.HasReady || replica.WantsTurn)
            {
                MarkDirty(replica);
            }
        }

        _readies.Clear();
    }

    /// <summary>Inbox items looked at in one turn; the rest waits for the next, so heartbeats are never starved.</summary>
    private const int MaxItemsPerTurn = 1024;

    private const int MaxTicksPerTurn = 2;

    /// <summary>For so long at most writes wait for the disk to finish earlier ones before they are proposed; looked at once a tick, too.</summary>
    internal const int MaxGatherMs = 20;

    /// <summary>Between two looks at the room on the disk.</summary>
    private const int DiskCheckMs = 500;

    /// <summary>Table records moved in one turn to empty sparse chunks.</summary>
    private const int EvacuateBytesPerTurn = 16 * 1024;
}
