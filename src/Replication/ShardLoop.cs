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
    private readonly SortedDictionary<uint, GroupRoute> _groups = [];
    private readonly List<Replica> _replicas = [];
    private readonly List<Replica> _dirty = [];
    private readonly List<(Replica Replica, Ready Ready)> _turn = [];
    private readonly PeerOutbox[] _outboxes;
    private readonly LoopCounters _counters = new();
    private LoopItem? _taken;
    private TurnWrite? _write;

    // Who had something to apply in the last turn and came too late for it.
    private Replica? _applyFirst;

    // Empty ones, for the next turns. A write is in one place at a time: filled here, at the log, back here.
    private readonly Stack<TurnWrite> _spareWrites = new();
    private long _lastTickMs;
    private long _lastHeartbeatMs;
    private ulong _round;
    private ulong _random;
    private long _peerInboxBytes;
    private long _nextTransferMs;
    private int _unmetReads;
    private long _rewriteBytesLeft;

    // The last turn that proposed: its write until that is durable, and when it was.
    private TurnWrite? _proposal;
    private bool _hasProposed;
    private long _proposedMs;

    // Leaders that have writes to propose and wait for that.
    private readonly List<Replica> _holding = [];

    // What the log has taken and not made durable, oldest first, with the moment on the clock below.
    private readonly Queue<(TurnWrite Write, long AtMs)> _submitted = new();

    // Elapsed milliseconds without those in which this process stood still: they are not the disk's.
    private long _watchedMs;
    private long _oldestWriteMs;

    internal ShardLoop(StoreNode node, int number)
    {
        Node = node;
        Number = number;
        _random = node.Options.Seed + (ulong)number;
        NowMs = node.ElapsedMs();
        _lastTickMs = NowMs;
        _lastHeartbeatMs = NowMs;
        _round = node.Options.Incarnation << RoundCounterBits;
        Arena = new SlabArena(node.Options.TableChunkBytes);
        Ids = new WriteIds(node.WriterId(number));
        Rounds = new RoundHistory(node.Options.NodeNames.Count);
        _outboxes = [.. Enumerable.Range(1, node.Options.NodeNames.Count).Select(n => new PeerOutbox(new NodeId((uint)n)))];
    }

    /// <summary>Called (any thread) when work arrives while the loop may be asleep.</summary>
    public Action? Wake
    {
        get => Inbox.Wake;
        set => Inbox.Wake = value;
    }

    public int Number { get; }

    /// <summary>Milliseconds from now until the next tick is due.</summary>
    public int NextDueMs => (int)Math.Clamp(_lastTickMs + Node.Options.TickMs - Node.ElapsedMs(), 0, Node.Options.TickMs);

    internal StoreNode Node { get; }

    internal Inbox<LoopItem> Inbox { get; } = new();

    internal SlabArena Arena { get; }

    internal WriteIds Ids { get; }

    internal RoundHistory Rounds { get; }

    internal LogReadBudget LogReads { get; } = new(MaxLogReadBytesPerTurn);

    /// <summary>This turn's time on the node's elapsed clock.</summary>
    internal long NowMs { get; private set; }

    internal long TickNumber { get; private set; }

    internal IReadOnlyList<Replica> Replicas => _replicas;

    internal LoopCounters Counters => _counters;

    internal long PeerInboxBytes => Interlocked.Read(ref _peerInboxBytes);

    internal long TableBytesPerGroup => _replicas.Count == 0 ? 0 : Arena.LiveBytes / _replicas.Count;

    /// <summary>One turn. True: there is more to do at once. Otherwise sleep until Wake or NextDueMs.</summary>
    public bool RunOnce()
    {
        long before = NowMs;
        NowMs = Node.ElapsedMs();
        LogReads.StartTurn();
        _watchedMs += Math.Clamp(NowMs - before, 0, MaxTicksPerTurn * Node.Options.TickMs);
        DrainInbox();
        RunTimers();
        FlushRequests();
        StartRounds();
        TakeReadies();
        _ = TrySubmitWrite();
        Flush();
        ApplyAndServe();
        Arena.EvacuateStep(EvacuateBytesPerTurn, tight: Node.Memory.IsShort);
        return _dirty.Count > 0 || _taken is not null || !Inbox.IsEmpty;
    }

    internal void Add(GroupRoute route)
    {
        _groups.Add(route.Group.Value, route);
        if (route is Replica replica)
        {
            _replicas.Add(replica);
            MarkDirty(replica);
        }
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
        RoutingTable table = Node.Routing;
        GroupId group = route.Group;
        var own = new ReplicaId(table.ReplicaOn(group, Node.Self));
        switch (route)
        {
            case Replica replica when own == replica.Id:
                replica.UsePlacement(table.ReplicasOf(group));
                break;

            case Replica replica when table.Epoch > replica.Record.Epoch:
                Replace(replica, new RemoteGroup(this, group) { VacantSince = table.Epoch, IsLeaving = true });
                break;

            case RemoteGroup { IsLeaving: false } remote when !own.IsNone && table.Epoch >= remote.VacantSince:
                Replica newcomer = Node.NewReplica(this, group, new ReplicaRecord(own, table.Epoch));
                _groups[group.Value] = newcomer;
                _replicas.Add(newcomer);
                MarkDirty(newcomer);
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
        _dirty.Remove(leaving);
        _holding.Remove(leaving);

        // It stays marked, so that no late completion puts it into the list again.
        leaving.IsDirty = true;
        Node.Withdraw(leaving);
        foreach (RequestItem item in leaving.TakeWaiting().Concat(leaving.Leave(remote.VacantSince)))
        {
            remote.Accept(item);
        }
    }

    /// <summary>False: peers have sent more than this loop has looked at; the payload is dropped and Raft sends it again.</summary>
    internal bool TryPostPeerMessages(PeerMessages messages)
    {
        if (Interlocked.Add(ref _peerInboxBytes, messages.Bytes) > Node.Options.MaxPeerInboxBytes)
        {
            Interlocked.Add(ref _peerInboxBytes, -messages.Bytes);
            return false;
        }

        Inbox.Post(messages);
        return true;
    }

    internal void MarkDirty(Replica replica)
    {
        if (!replica.IsDirty)
        {
            replica.IsDirty = true;
            _dirty.Add(replica);
        }
    }

    internal void Send(Replica from, Message message)
    {
        NodeId to = from.NodeOf(message.To);
        if (!to.IsNone && to != Node.Self && to.Value <= _outboxes.Length)
        {
            _outboxes[to.Value - 1].Add(Node, from, message, Node.WallMs());
        }
    }

    internal void Complete(RequestItem item, KvReply reply)
    {
        if (item.OwnSequence != 0)
        {
            Ids.Answered(item.OwnSequence);
            item.OwnSequence = 0;
        }

        if (item.HoldsUnmetPlace)
        {
            item.HoldsUnmetPlace = false;
            _unmetReads--;
        }

        if (reply.Code == ErrorCode.Overloaded)
        {
            _counters.Overloaded++;
        }

        item.Complete(reply);
    }

    /// <summary>A place for a read whose level could not be proved at once; Complete gives it back. False: there is none.</summary>
    internal bool TryTakeUnmetPlace(RequestItem item)
    {
        if (item.HoldsUnmetPlace)
        {
            return true;
        }

        if (_unmetReads >= Node.Options.MaxUnmetReads)
        {
            return false;
        }

        _unmetReads++;
        _counters.UnmetReads++;
        item.HoldsUnmetPlace = true;
        return true;
    }

    /// <summary>Answers a request that this stopping node will not finish.</summary>
    internal void Abandon(RequestItem item) => Complete(
        item, item.MayHaveApplied ? Replies.Indeterminate("The node stopped after the write was handed over") : Replies.Draining());

    /// <summary>After the last turn, on the thread that stops the node: nothing stays unanswered.</summary>
    internal void AbandonAll()
    {
        for (LoopItem? item = _taken ?? Inbox.TakeAll(); item is not null; item = item.Next ?? Inbox.TakeAll())
        {
            if (item is RequestItem request)
            {
                Abandon(request);
            }
            else if (item is ForwardReturn forwarded)
            {
                bool isUnderWay = forwarded.Item.EndAttempt(forwarded);
                forwarded.Item.UnknownAttempts += isUnderWay
                    && AttemptRule.Proves(forwarded.Item.Request.IsWrite, forwarded.NotSent ? AttemptEnd.NotSent : AttemptEnd.Lost, null) == Outcome.Unknown
                    ? 1 : 0;
                if (forwarded.Reply is { Evidence: not null } reply)
                {
                    Complete(forwarded.Item, reply);
                }
                else
                {
                    Abandon(forwarded.Item);
                }
            }
        }

        _taken = null;
        foreach (GroupRoute route in _groups.Values)
        {
            route.Abandon();
        }
    }

    /// <summary>The item has a place among those that are with that node (<see cref="ForwardPlaces"/>); the attempt gives it back.</summary>
    internal void Forward(RequestItem item, NodeId to, KvRequest request)
    {
        _counters.Forwards++;
        var attempt = new ForwardReturn(Inbox, Node.Forwards, item, to, NowMs);
        item.BeginAttempt(attempt);
        Node.Transport.Forward(to, request, attempt);
    }

    internal void Report(NodeEventKind kind, GroupId group, ulong term, ulong index, string text)
    {
        if (kind == NodeEventKind.BecameLeader)
        {
            _counters.Elections++;
        }

        Node.Report(new NodeEvent(kind, group, term, index, text));
    }

    /// <summary>SplitMix64, seeded by the node: the same seed gives the same delays.</summary>
    internal ulong NextRandom()
    {
        _random += 0x9E3779B97F4A7C15;
        ulong z = _random;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    internal void CountProposed() => _counters.Proposals++;

    internal void CountApplied(uint commands)
    {
        _counters.EntriesApplied++;
        _counters.CommandsApplied += commands;
    }

    internal void CountStrongReads(int reads) => _counters.StrongReads += reads;

    /// <summary>Leadership moves for balance: a few a second, so that a whole node's worth never moves at once.</summary>
    internal bool MayTransferLeadership()
    {
        if (NowMs < _nextTransferMs)
        {
            return false;
        }

        _nextTransferMs = NowMs + TransferIntervalMs;
        return true;
    }

    internal TurnWrite.Part Compact(Replica replica, GroupLog log, SnapshotMetadata snapshot, string file, ulong keepFrom)
    {
        TurnWrite write = CurrentWrite();
        write.Submission.Compact(log, snapshot, file, keepFrom);
        return write.Add(replica, synced: null);
    }

    /// <summary>Writes entries of a replica again that lie in segments the log wants to free, as far as this tick's budget goes.</summary>
    internal void Rewrite(Replica replica, GroupLog log, ulong segmentsBelow)
    {
        if (_rewriteBytesLeft <= 0)
        {
            return;
        }

        TurnWrite write = CurrentWrite();
        long bytes = write.Submission.Rewrite(log, segmentsBelow, _rewriteBytesLeft);
        if (bytes > 0)
        {
            _rewriteBytesLeft -= bytes;
            write.Add(replica, synced: null);
        }
    }

    internal void DeleteSnapshotWhenDurable(string directory, string file) =>
        CurrentWrite().Delete(new SnapshotDeletion(directory, file));

    internal TurnWrite CurrentWrite() => _write ??= _spareWrites.TryPop(out TurnWrite? spare) ? spare : new TurnWrite(Inbox);

    /// <summary>
    /// While the disk has not finished what was proposed last, writes are gathered: entries grow with the load, and a loop that has nothing on
    /// its way to the disk waits for nothing. Nor does it wait for a disk that is slow, since a majority may do without it.
    /// </summary>
    private void FlushRequests()
    {
        bool mayPropose = (_proposal is null && !_hasProposed) || NowMs - _proposedMs >= MaxGatherMs;
        for (int i = _holding.Count - 1; i >= 0; i--)
        {
            if (mayPropose || !_holding[i].IsLeader)
            {
                MarkDirty(_holding[i]);
                _holding.RemoveAt(i);
            }
        }

        long proposals = _counters.Proposals;
        foreach (Replica replica in _dirty)
        {
            if (replica.FlushRequests(mayPropose) && !_holding.Contains(replica))
            {
                _holding.Add(replica);
            }
        }

        if (_counters.Proposals != proposals)
        {
            _hasProposed = true;
            _proposedMs = NowMs;
        }
    }

    private void DrainInbox()
    {
        _taken ??= Inbox.TakeAll();
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
                _groups[forwarded.Item.Group.Value].OnForwarded(forwarded, NowMs);
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
                asked.Completed(_groups.GetValueOrDefault(asked.Group.Value) is Replica member
                    ? member.ProposeConfChange(asked.Change)
                    : new ConfChangeReply(ConfChangeOutcome.NotLeader, _groups.GetValueOrDefault(asked.Group.Value)?.LeaderNode ?? default));
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
        _counters.Requests++;
        if (item.IsUnwantedRead)
        {
            Complete(item, Replies.Unwanted);
        }
        else if (_groups.TryGetValue(item.Group.Value, out GroupRoute? route))
        {
            route.Accept(item);
        }
        else
        {
            Complete(item, Replies.WrongNode(item.Group, NodeId.None));
        }
    }

    private void OnPeerMessages(PeerMessages messages)
    {
        Interlocked.Add(ref _peerInboxBytes, -messages.Bytes);
        Node.Walls.Observe(messages.From.Value, messages.Head.WallMs, Node.ElapsedMs());
        if (!messages.Head.Stamp.IsNone)
        {
            Rounds.Hear(messages.From, messages.Head.Stamp);
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
                _counters.StrayMessages++;
            }
        }

        Node.GiveBack(messages);
    }

    private void OnDurable(TurnWrite write)
    {
        (TurnWrite oldest, long atMs) = _submitted.Dequeue();
        Invariant.Check(ReferenceEquals(oldest, write), "the log finishes a loop's writes in their order");
        _oldestWriteMs = Math.Max(_oldestWriteMs, _watchedMs - atMs);
        _proposal = ReferenceEquals(_proposal, write) ? null : _proposal;
        foreach (TurnWrite.Part part in write.Parts)
        {
            part.Replica.OnDurable(write.Submission, part);
            MarkDirty(part.Replica);
        }

        foreach (SnapshotDeletion deletion in write.Deletions)
        {
            Node.Snapshots.Add(deletion);
        }

        // Its parts may be remembered by their replicas; the write itself is by nobody from here on.
        if (_spareWrites.Count < MaxSpareWrites && write.TryReuse())
        {
            _spareWrites.Push(write);
        }
    }

    /// <summary>Null: it has left this node.</summary>
    private Replica? Find(ReplicaAddress address) =>
        _groups.GetValueOrDefault(address.Group.Value) is Replica replica && replica.Id == address.Id ? replica : null;

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

        Node.HandedOver();
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
        int tickMs = Node.Options.TickMs;
        long owed = (NowMs - _lastTickMs) / tickMs;
        if (owed <= 0)
        {
            return;
        }

        _lastTickMs += owed * tickMs;
        for (long tick = Math.Min(owed, MaxTicksPerTurn); tick > 0; tick--)
        {
            TickNumber++;
            Node.CheckClock();
            WatchDisk();
            if (Number == 0)
            {
                Node.CheckLeaders(NowMs);
            }

            _rewriteBytesLeft = MaxRewriteBytesPerTick;
            _counters.LiveLogBytes = _replicas.Sum(replica => replica.LiveLogBytes);
            _counters.RecordBytes = _replicas.Sum(replica => replica.RecordBytes);
            _counters.IndexBytes = _replicas.Sum(replica => replica.Table.IndexBytes + replica.BuildBytes);
            Node.Memory.Observe();
            if (Number == 0)
            {
                Node.WatchRoomOnDisk(TickNumber);
            }

            foreach (GroupRoute route in _groups.Values)
            {
                route.OnTick(NowMs);
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
        long ageMs = _submitted.TryPeek(out var oldest) ? _watchedMs - oldest.AtMs : 0;
        Node.Disk.Observe(Number, NowMs, ageMs, Math.Max(ageMs, _oldestWriteMs));
        _oldestWriteMs = 0;
    }

    /// <summary>
    /// One confirmation round a turn at most, shared by all groups that need one: every led group when the heartbeat is due,
    /// otherwise those with waiting reads. Rounds count up across restarts (incarnation above, counter below), so an answer
    /// to a round of an earlier process confirms nothing.
    /// </summary>
    private void StartRounds()
    {
        bool due = NowMs - _lastHeartbeatMs >= Node.Options.HeartbeatMs;
        if (due)
        {
            _lastHeartbeatMs = NowMs;
        }
        else if (!_dirty.Exists(r => r.WantsRound))
        {
            return;
        }

        // Before any group's commit index is read: the stamps and the moment that the round will prove.
        ulong round = _round + 1;
        Rounds.Start(round, (long)Node.StampTicks());
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
            _counters.ReadRounds++;
        }
    }

    /// <summary>While the log takes no more, cores keep what they have: back-pressure ends at the uncommitted limit.</summary>
    private void TakeReadies()
    {
        if (!TrySubmitWrite())
        {
            return;
        }

        // At least one entry each: the share of a group may be small, but none stands still.
        long applyShareBytes = Replica.MaxApplyBytesPerTurn / Math.Max(1, _dirty.Count);
        foreach (Replica replica in _dirty)
        {
            replica.IsDirty = false;
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

            _turn.Add((replica, ready));
        }

        if (_hasProposed)
        {
            _proposal = _write;
            _hasProposed = false;
        }

        _dirty.Clear();
    }

    /// <summary>False: the log takes no more now, what there is to write stays for the next turn.</summary>
    private bool TrySubmitWrite()
    {
        if (_write is null)
        {
            return true;
        }

        if (_write.Submission.IsEmpty)
        {
            // Files that no log ever referred to: their deletion waits for nothing.
            foreach (SnapshotDeletion deletion in _write.Deletions)
            {
                Node.Snapshots.Add(deletion);
            }
        }
        else if (Node.Log.TrySubmit(_write.Submission))
        {
            _submitted.Enqueue((_write, _watchedMs));
        }
        else
        {
            return false;
        }

        _write = null;
        return true;
    }

    private void Flush()
    {
        foreach (PeerOutbox outbox in _outboxes)
        {
            if (outbox.IsEmpty)
            {
                continue;
            }

            outbox.Flush(Node, Node.WallMs(), Node.StampTicks());
            foreach ((GroupId group, ReplicaId replica) in outbox.Dropped)
            {
                (_groups[group.Value] as Replica)?.OnAppendDropped(replica);
            }

            outbox.Dropped.Clear();
        }
    }

    private void ApplyAndServe()
    {
        int first = _applyFirst is null ? 0 : Math.Max(0, _turn.FindIndex(entry => ReferenceEquals(entry.Replica, _applyFirst)));
        long left = Replica.MaxMovedBytesPerTurn;
        _applyFirst = null;
        for (int n = 0; n < _turn.Count; n++)
        {
            (Replica replica, Ready ready) = _turn[(first + n) % _turn.Count];
            if (left <= 0 && ready.Committed.Count > 0)
            {
                _applyFirst ??= replica;
            }

            left -= replica.Apply(ready.Committed, left);
            replica.ServeProvedReads(ready.Reads);
            if (replica.HasReady)
            {
                MarkDirty(replica);
            }
        }

        _turn.Clear();
    }

    /// <summary>Inbox items looked at in one turn; the rest waits for the next, so heartbeats are never starved.</summary>
    private const int MaxItemsPerTurn = 1024;

    private const int MaxTicksPerTurn = 2;

    /// <summary>For so long at most writes wait for the disk to finish earlier ones before they are proposed; looked at once a tick, too.</summary>
    internal const int MaxGatherMs = 20;

    /// <summary>Writes kept for reuse; more are on their way only while the disk stands still.</summary>
    private const int MaxSpareWrites = 16;

    /// <summary>Between two transfers of leadership for balance.</summary>
    private const int TransferIntervalMs = 250;

    /// <summary>Log entries written again in one tick, of all groups; one larger entry goes alone.</summary>
    private const long MaxRewriteBytesPerTick = 256 * 1024;

    /// <summary>
    /// Entries that followers need and memory no longer has, read from the disk in one turn, of all groups; the append that passes it goes out
    /// whole.
    /// </summary>
    internal const long MaxLogReadBytesPerTurn = 1 << 20;

    /// <summary>Table records moved in one turn to empty sparse chunks.</summary>
    private const int EvacuateBytesPerTurn = 16 * 1024;

    /// <summary>Low bits of a round that count within one process; the bits above are its incarnation.</summary>
    internal const int RoundCounterBits = 40;
}
