using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// Everything a node is, put together over the seams: files, network, clock and a seed come from outside, threads too. Node
/// hosts it on an operating system, the simulator on nothing; neither decides anything.
/// </summary>
public sealed partial class StoreNode : IDisposable
{
    // Replaced as a whole when a replica comes or goes; read by any thread.
    private IReadOnlyDictionary<uint, Replica> _replicas;
    private RoutingTable _routing;
    private readonly IFileSystem _files;
    private readonly IReadOnlyList<ShardLoop> _loops;
    private readonly TimeProvider _time;
    private readonly Action<NodeEvent> _events;
    private readonly long _startTimestamp;
    private readonly RequestRules _rules;
    private readonly Admission _admission;
    private readonly PeerMessagesPool _peerMessages = new();
    private long _localReads;
    private long _payloadsDropped;
    private int _hashesUnderWay;
    private bool _draining;
    private int _loopsToHandOver;

    private StoreNode(StoreNodeOptions options, IFileSystem files, ITransport transport, TimeProvider time, Action<NodeEvent> events)
    {
        DurableDirectory.Create(files, options.Directory);
        options = options.WithinMemory().WithinDisk(files.SpaceOf(options.Directory).TotalBytes);
        (Options, Transport, _time, _events, _files, _routing) = (options, transport, time, events, files, options.Routing);
        Memory = new MemoryRoom(options.MemoryBytes, () => MemoryUse, OnMemoryChanged);
        RoomOnDisk = new DiskRoom(options.Wal.SegmentBytes, OnGrowthChanged, OnEntriesChanged);
        _startTimestamp = time.GetTimestamp();
        _admission = new Admission(options.MaxInFlightRequests, options.MaxInFlightBytes);
        _rules = new RequestRules(options.Limits, options.Routing);
        Forwards = new ForwardPlaces(options.NodeNames.Count, options.MaxForwardsPerNode);
        Walls = new WallClocks(options.NodeNames.Count, options.Self.Value);
        Disk = new DiskWatch(options.Workers, OnDiskChanged);
        _peerDisks = new PeerDisks(options.NodeNames.Count, validMs: 2 * options.ElectionTimeoutMs);
        _peerRooms = new PeerRooms(options.NodeNames.Count, validMs: 2 * options.ElectionTimeoutMs);
        _peers = new PeerLevels(options.NodeNames.Count);
        _folderLevel = options.MarkFolder is null ? ushort.MaxValue : options.FolderLevel;
        string walDirectory = $"{options.Directory}/wal";
        DurableDirectory.Create(files, walDirectory);
        Log = WriteAheadLog.Open(
            files, walDirectory, new LogIdentity(options.ClusterId, options.Self.Value, options.Uuid), options.Wal, SnapshotsFound(),
            opensForFirstBuilds: _folderLevel <= FeatureLevel.First);
        if (Log.CutTornTail)
        {
            Report(new NodeEvent(NodeEventKind.TornTailCut, default, 0, 0, "the log ended in the middle of a write that nobody was told of; cut there"));
        }

        Snapshots = new SnapshotQueue(files, this);
        _loops = [.. Enumerable.Range(0, options.Workers).Select(n => new ShardLoop(this, n))];
        var replicas = new Dictionary<uint, Replica>();
        _replicas = replicas;
        for (uint g = 1; g <= options.Routing.GroupCount; g++)
        {
            var group = new GroupId(g);
            ShardLoop loop = LoopOf(group);
            ReplicaRecord record = ReplicaAtStart(group);
            if (!record.IsVacant)
            {
                Replica replica = OpenReplica(loop, group, record);
                replicas.Add(g, replica);
                loop.Add(replica);
                replica.PublishStatus();
            }
            else
            {
                loop.Add(new RemoteGroup(loop, group) { VacantSince = record.Epoch });
                DeleteSnapshots(group, except: null);
            }
        }

        foreach (ShardLoop loop in _loops)
        {
            loop.FollowPlacement();
        }
    }

    /// <summary>Recovers the node from its folder. Everything it then sends may be acted on: it is durable.</summary>
    /// <exception cref="CorruptStorageException">Acknowledged data is damaged; the message names file and offset.</exception>
    public static StoreNode Open(
        StoreNodeOptions options, IFileSystem files, ITransport transport, TimeProvider time, Action<NodeEvent> events) =>
        new(options, files, transport, time, events);

    public StoreNodeOptions Options { get; }

    public NodeId Self => Options.Self;

    public IReadOnlyList<ShardLoop> Loops => _loops;

    public WriteAheadLog Log { get; }

    /// <summary>Snapshot work: RunOnce is called by Node's snapshot thread.</summary>
    public SnapshotQueue Snapshots { get; }

    public RoutingTable Routing => Volatile.Read(ref _routing);

    /// <summary>See <see cref="Readiness"/>.</summary>
    public bool IsReady => Readiness.IsReady;

    /// <summary>
    /// Every local group has once, since this process started, applied what was committed by then; not more than half of them have been
    /// without a leader for ten seconds; and the node is not stopping. Any thread.
    /// </summary>
    public Readiness Readiness
    {
        get
        {
            IReadOnlyDictionary<uint, Replica> replicas = Replicas;
            if (Volatile.Read(ref _draining))
            {
                return new Readiness(NotReady.Draining, $"Node {NameOf(Self)} is stopping");
            }

            long before = ElapsedMs() - LeaderlessLimitMs;
            if (Disk.IsSick)
            {
                return new Readiness(
                    NotReady.DiskSick, $"The disk of {NameOf(Self)} does not finish its writes in time, the oldest waits for {Disk.AgeMs} ms");
            }

            int behind = replicas.Values.Count(r => !r.HasCaughtUp);
            int leaderless = replicas.Values.Count(r => r.LeaderlessSinceMs < (r.HasCaughtUp ? before : long.MaxValue));
            if (leaderless * 2 > replicas.Count || (behind > 0 && leaderless >= behind))
            {
                return new Readiness(NotReady.NoLeader, $"{leaderless} of {replicas.Count} groups on {NameOf(Self)} know no leader");
            }

            return behind == 0
                ? default
                : new Readiness(
                    NotReady.CatchingUp,
                    $"{behind} of {replicas.Count} groups on {NameOf(Self)} do not have yet what was committed before it started");
        }
    }

    /// <summary>Requests submitted and not answered yet.</summary>
    public int InFlight => _admission.Requests;

    /// <summary>One line per local group, ascending; each a consistent copy, at most a tick old.</summary>
    public IReadOnlyList<GroupStatus> Groups => [.. Replicas.OrderBy(r => r.Key).Select(r => r.Value.Status!)];

    public NodeCounters Counters
    {
        get
        {
            long Sum(Func<LoopCounters, long> counter) => _loops.Sum(l => counter(l.Counters));
            return new NodeCounters(
                Sum(c => c.Requests), Sum(c => c.Forwards), Sum(c => c.Proposals), Sum(c => c.EntriesApplied), Sum(c => c.CommandsApplied),
                Sum(c => c.ReadRounds), Sum(c => c.StrongReads), Interlocked.Read(ref _localReads), Sum(c => c.UnmetReads), Sum(c => c.Elections),
                Sum(c => c.Overloaded) + _admission.Refused, Interlocked.Read(ref _payloadsDropped),
                _loops.Sum(l => l.Arena.ReservedBytes), _loops.Sum(l => l.Arena.LiveBytes),
                Replicas.Values.Sum(r => (long)r.EntriesHeldBack),
                new SnapshotCounters(Sum(c => c.SnapshotsTaken), Sum(c => c.SnapshotsInstalled), Snapshots.BytesReceived), Log.Counters,
                Interlocked.Read(ref _itemsSkipped), Interlocked.Read(ref _aboveLevel))
            {
                TermsRefused = Sum(c => c.RefusedTerms),
                GrowthRefused = Sum(c => c.GrowthRefused),
            };
        }
    }

    /// <summary>The loop has looked at all of it.</summary>
    internal void GiveBack(PeerMessages messages) => _peerMessages.GiveBack(messages);

    internal bool IsDraining => Volatile.Read(ref _draining);

    internal ITransport Transport { get; }

    /// <summary>For requests that are with other nodes.</summary>
    internal ForwardPlaces Forwards { get; }

    /// <summary>Every entry a local replica applies, in order, and the replica's term. For the simulator's checkers.</summary>
    internal Action<GroupId, ulong, Entry>? Applied { get; set; }

    /// <summary>A local replica continues from a fetched snapshot up to this index. For the simulator's checkers.</summary>
    internal Action<GroupId, ulong>? Installed { get; set; }

    /// <summary>
    /// The live entries of all groups are few beside what the log may hold: to write those in old segments again costs little
    /// and ends. If they were many, rewriting would fill the log by itself, and only compaction makes room.
    /// </summary>
    internal bool LiveLogIsSmall => _loops.Sum(l => l.Counters.LiveLogBytes) <= Options.Wal.PurgeTriggerBytes / MaxRewriteShare;

    /// <summary>
    /// Called between the steps of a read on its caller's thread, where other threads may run and the process may stand still.
    /// For the simulator.
    /// </summary>
    internal Action? BetweenReadSteps { get; set; }

    internal IEnumerable<Replica> LocalReplicas => Replicas.Values.OrderBy(r => r.Group);

    /// <summary>Null when the group has no replica here.</summary>
    internal Replica? LocalReplica(GroupId group) => Replicas.GetValueOrDefault(group.Value);

    private IReadOnlyDictionary<uint, Replica> Replicas => Volatile.Read(ref _replicas);

    internal WallClocks Walls { get; }

    /// <summary>This node's wall clock is further off the others' median than <see cref="WallClocks.MaxOffsetMs"/>.</summary>
    internal bool ClockIsOff { get; private set; }

    /// <summary>
    /// The front door behind every front door. Any thread. The sink is completed exactly once, here or later: a read whose level the
    /// local replica proves by itself at once from the table, without a queue; anything else by the loop that owns the group.
    /// </summary>
    public void Submit(KvRequest request, IReplySink sink)
    {
        if (Volatile.Read(ref _draining))
        {
            sink.Complete(Replies.Draining());
            return;
        }

        if (_rules.Violation(request) is { } refusal)
        {
            sink.Complete(refusal);
            return;
        }

        if (request.Operation is GetRouting asked)
        {
            sink.Complete(RoutingAnswer(asked.SinceEpoch));
            return;
        }

        int virtualNode = Routing.VirtualNodeOf(request.Key.Span);
        GroupId group = Routing.GroupOf(virtualNode);
        if (request is { IsWrite: false, Read.Level: not ReadLevel.Strong } && Replicas.TryGetValue(group.Value, out Replica? replica)
            && replica.HasState && TryAnswerHere(replica, request, virtualNode) is { } answer)
        {
            Interlocked.Increment(ref _localReads);
            sink.Complete(answer);
            return;
        }

        if (_admission.Begin(request, sink.Source) is { } full)
        {
            sink.Complete(Replies.Overloaded(full));
            return;
        }

        LoopOf(group).Inbox.Post(new RequestItem(request, sink, group, virtualNode, ElapsedMs() + request.TimeoutMs, _admission));
    }

    /// <summary>
    /// Hashes everything the local replica of a group holds at the index it has applied by now. Any thread; completed is called
    /// later, on the snapshot thread. False: as many are being computed as may be, each of them keeps overwritten rows in memory.
    /// </summary>
    /// <param name="group">One with a replica here.</param>
    /// <param name="completed">Must not block. Not called when the node stops before.</param>
    public bool TryHashState(GroupId group, Action<StateHash> completed)
    {
        Replica replica = Replicas[group.Value];
        if (Interlocked.Increment(ref _hashesUnderWay) > MaxHashesUnderWay)
        {
            Interlocked.Decrement(ref _hashesUnderWay);
            return false;
        }

        LoopOf(group).Inbox.Post(new StateHashRequest(new ReplicaAddress(group, replica.Id), hash =>
        {
            Interlocked.Decrement(ref _hashesUnderWay);
            completed(hash);
        }));
        return true;
    }

    /// <summary>Asks exactly one node for what its own replica has to say, this one included: nobody passes the request on.</summary>
    public void SubmitTo(NodeId node, KvRequest request, IReplySink sink)
    {
        if (node == Self)
        {
            Submit(request with { HopsLeft = 0 }, sink);
        }
        else
        {
            Transport.Forward(node, request with { HopsLeft = 0 }, new DirectAnswer(NameOf(node), sink));
        }
    }

    /// <summary>What a session that has seen all local replicas as they are now has seen.</summary>
    public IEnumerable<KeyValuePair<GroupId, SessionPoint>> SessionPoints => LocalReplicas
        .Select(r => new KeyValuePair<GroupId, SessionPoint>(r.Group, r.SessionPoint))
        .Where(p => !p.Value.IsNone);

    /// <summary>
    /// The newest word on where replicas live: the node comes to what it says, as often as it is told. A table that is not newer
    /// than the one in force changes nothing. A replica may leave a table only once the group has committed a configuration
    /// without it; its id never comes back. Any thread.
    /// </summary>
    public void UseRouting(RoutingTable table)
    {
        RoutingTable current = Routing;
        while (table.Epoch > current.Epoch)
        {
            RoutingTable seen = Interlocked.CompareExchange(ref _routing, table, current);
            if (ReferenceEquals(seen, current))
            {
                foreach (ShardLoop loop in _loops)
                {
                    loop.Inbox.Post(new PlacementChanged());
                }

                return;
            }

            current = seen;
        }
    }

    /// <summary>
    /// Proposes a change of a group's configuration, at the node that leads it. Any thread; completed is called on the group's
    /// loop, and must not block. Not called when the node stops before: look at the configuration, and propose again. The change says
    /// which table it follows (<see cref="ConfChange.Epoch"/>): below that of an earlier one it is refused.
    /// </summary>
    public void ProposeConfChange(GroupId group, ConfChange change, Action<ConfChangeReply> completed) =>
        LoopOf(group).Inbox.Post(new ConfChangeRequest(group, change, completed));

    /// <summary>
    /// A payload from a peer whose handshake is finished; copied before returning. False: malformed, close the connection.
    /// </summary>
    public bool OnPeerPayload(NodeId from, ReadOnlyMemory<byte> payload)
    {
        var reader = new MessagePackReader(payload.Span);
        if (!PeerPayload.TryBegin(ref reader, out int fields, out byte kind))
        {
            return false;
        }

        if (kind is SnapshotPayload.PullKind or SnapshotPayload.PieceKind)
        {
            SnapshotItem? transfer = SnapshotPayload.TryRead(ref reader, fields, kind, from);
            if (transfer is not null && !Snapshots.TryAddFromPeer(transfer))
            {
                Interlocked.Increment(ref _payloadsDropped);
            }

            return transfer is not null;
        }

        if (kind is not (PeerPayload.MessagesKind or PeerPayload.HeartbeatsKind or PeerPayload.AnswersKind))
        {
            // Of a newer build, which will do without an answer.
            Interlocked.Increment(ref _itemsSkipped);
            return true;
        }

        PeerMessages messages = _peerMessages.Take();
        if (!PeerPayload.TryRead(ref reader, fields, kind, out PeerPayloadHead head, messages.Messages))
        {
            _peerMessages.GiveBack(messages);
            return false;
        }

        if (head.Disk is { } disk)
        {
            _peerDisks.Hear(from, disk, ElapsedMs());
        }

        if (head.Room is not null || !Speaks(from, RoomReport.Since))
        {
            // A build that cannot say what it lacks is taken to have room, as it always was; so is every node by one that is held at such a level
            // itself, and is not told.
            _peerRooms.Hear(from, head.Room ?? default, ElapsedMs());
        }

        _peers.Heard(from, ElapsedMs());
        Interlocked.Add(ref _itemsSkipped, head.SkippedItems);
        (messages.From, messages.Head, messages.Bytes) = (from, head, payload.Length);
        if (_loops.Count == 1)
        {
            Deliver(_loops[0], messages);
            return true;
        }

        DeliverByLoop(messages);

        return true;
    }

    /// <summary>
    /// The connection to a peer is gone and could not be re-made within a heartbeat interval: evidence that its leaders are.
    /// </summary>
    public void OnPeerLost(NodeId peer)
    {
        _peers.Lost(peer);
        _peerRooms.Lost(peer);
        Report(new NodeEvent(NodeEventKind.PeerLost, default, 0, 0, $"lost {NameOf(peer)}"));
        foreach (ShardLoop loop in _loops)
        {
            loop.Inbox.Post(new PeerLost(peer));
        }
    }

    /// <summary>Refuses new requests with Draining; what is in flight is answered or fails honestly.</summary>
    /// <param name="handOver">Also hands leadership over. Pointless when all nodes stop together.</param>
    public void BeginDrain(bool handOver)
    {
        Volatile.Write(ref _loopsToHandOver, handOver ? _loops.Count : 0);
        Volatile.Write(ref _draining, true);
        if (!handOver)
        {
            return;
        }

        foreach (ShardLoop loop in _loops)
        {
            loop.Inbox.Post(new HandOver());
        }
    }

    /// <summary>Nothing is in flight and no leadership is being handed over: the node may stop.</summary>
    public bool IsDrained =>
        InFlight == 0 && Volatile.Read(ref _loopsToHandOver) == 0 && !Replicas.Values.Any(r => r.IsHandingOver);

    /// <summary>
    /// The end of a stop, after the last turn of every loop and after the transport is closed: what is still in flight gets its
    /// honest answer, not applied or indeterminate.
    /// </summary>
    public void AbandonRequests()
    {
        foreach (ShardLoop loop in _loops)
        {
            loop.AbandonAll();
        }
    }

    public void Dispose()
    {
        Snapshots.Dispose();
        Log.Dispose();
    }

    internal string NameOf(NodeId node) =>
        node.IsNone ? "nobody" : node.Value <= Options.NodeNames.Count ? Options.NodeNames[(int)node.Value - 1] : $"node {node}";

    internal void Report(NodeEvent nodeEvent) => _events(nodeEvent);

    internal long ElapsedMs() => (long)_time.GetElapsedTime(_startTimestamp).TotalMilliseconds;

    internal ulong StampTicks() => (ulong)_time.GetTimestamp();

    /// <summary>
    /// An upper bound of the time since a moment on this clock, in whole milliseconds rounded up, and a thousandth more: so far
    /// the rates of two machines' clocks may differ. AgeUnknown for an unknown moment.
    /// </summary>
    internal uint AgeMs(long sinceTicks)
    {
        if (sinceTicks == Freshness.Unknown)
        {
            return Evidence.AgeUnknown;
        }

        // One tick more: both readings were rounded down.
        double ms = (_time.GetTimestamp() - sinceTicks + 1) * (1000.0 + ClockRateMargin) / _time.TimestampFrequency;
        return (uint)Math.Clamp(Math.Ceiling(ms), 0, Evidence.AgeUnknown - 1);
    }

    internal ulong WallMs() => (ulong)_time.GetUtcNow().ToUnixTimeMilliseconds();

    /// <summary>
    /// The client id of a loop's own writes: new in every process, so that sequences can start again at 1, and known to nobody who could
    /// write under it.
    /// </summary>
    internal UInt128 WriterId(int loop) => Options.Writer + (uint)loop;

    internal void HandedOver() => Interlocked.Decrement(ref _loopsToHandOver);

    /// <summary>Once a tick: compares this node's wall clock with the others'.</summary>
    internal void CheckClock()
    {
        long own = (long)WallMs();
        long offset = Walls.MedianOfAllMs(own, ElapsedMs()) - own;

        // Half of it to be right again: a clock at the limit would otherwise have its groups go to and fro.
        bool off = Math.Abs(offset) > (ClockIsOff ? WallClocks.MaxOffsetMs / 2 : WallClocks.MaxOffsetMs);
        if (_clockOff.IsToBeSaid(off, ElapsedMs()))
        {
            Report(new NodeEvent(NodeEventKind.ClockOff, default, 0, 0, $"this node's clock is {-offset} ms off the others' median; set it"));
        }

        ClockIsOff = off;
        WarnOfGroupsAhead();
    }

    private KvReply RoutingAnswer(ulong sinceEpoch)
    {
        RoutingTable table = Routing;
        GroupLeader[] leaders =
            [.. Groups.Where(group => !group.Leader.IsNone).Select(group => new GroupLeader(group.Group, group.Leader, group.Term))];
        return new KvReply { Result = ClusterRouting.Of(table, sinceEpoch, Options.Addresses, leaders), Epoch = table.Epoch };
    }

    /// <summary>The answer from the local table, without a queue; null when the read must wait for a proof or an index.</summary>
    private static KvReply? TryAnswerHere(Replica replica, KvRequest request, int virtualNode)
    {
        try
        {
            if (replica.TryRead(request, virtualNode, ServedPath.Local, Freshness.Unknown, out KvReply reply))
            {
                return reply;
            }

            return replica.WhenUnmet(request.Read) switch
            {
                ReadStep.Serve => reply,
                ReadStep.Fail => replica.TooStale(request.Read, reply.Evidence!.Value),
                _ => null,
            };
        }
        catch (ObjectDisposedException) when (replica.HasLeft)
        {
            // It left this node between being found and being read.
            return null;
        }
    }

    internal ShardLoop LoopOf(GroupId group) => _loops[(int)(group.Value % (uint)_loops.Count)];

    private void DeliverByLoop(PeerMessages all)
    {
        for (int number = 0; number < _loops.Count; number++)
        {
            int count = 0;
            foreach (PeerMessage message in all.Messages)
            {
                count += LoopOf(message.Group).Number == number ? 1 : 0;
            }

            if (count == all.Messages.Count && count > 0)
            {
                Deliver(_loops[number], all);
                return;
            }

            if (count > 0)
            {
                PeerMessages part = _peerMessages.Take();
                (part.From, part.Head, part.Bytes) = (all.From, all.Head, all.Bytes);
                foreach (PeerMessage message in all.Messages)
                {
                    if (LoopOf(message.Group).Number == number)
                    {
                        part.Messages.Add(message);
                    }
                }

                Deliver(_loops[number], part);
            }
        }

        _peerMessages.GiveBack(all);
    }

    private void Deliver(ShardLoop loop, PeerMessages messages)
    {
        if (!loop.TryPostPeerMessages(messages))
        {
            _peerMessages.GiveBack(messages);
            Interlocked.Increment(ref _payloadsDropped);
        }
    }

    /// <summary>
    /// Which replica of a group this process starts with. The log knows; only a group it has never met, in a cluster whose
    /// placement has never changed, is at its first start and has its replica from the placement.
    /// </summary>
    private ReplicaRecord ReplicaAtStart(GroupId group)
    {
        var placed = new ReplicaRecord(new ReplicaId(Routing.ReplicaOn(group, Self)), RoutingTable.FirstEpoch);
        if (Log.Found.TryGetValue(group.Value, out ReplicaRecord found))
        {
            // Logs of earlier builds do not say whose they are; placements did not change then.
            return found == default ? placed : found;
        }

        return Routing.Epoch == RoutingTable.FirstEpoch ? placed : default;
    }

    private Replica OpenReplica(ShardLoop loop, GroupId group, ReplicaRecord record)
    {
        DurableDirectory.Create(_files, SnapshotDirectory(group));
        ConfState voters = ConfState.Of(Routing.ReplicasOf(group).Select(p => new ReplicaId(p.ReplicaId)));
        var startingMark = new SnapshotMetadata(FirstIndexBefore, FirstTerm, LastClock: 0, voters);
        GroupLog log = Log.OpenGroup(group.Value, startingMark, record);
        DeleteSnapshots(group, log.SnapshotFile);
        Replica replica = MakeReplica(loop, group, record.Replica, log);
        Report(new NodeEvent(
            NodeEventKind.Recovered, group, log.RecoveredHardState.Term, log.LastIndex,
            $"recovered: snapshot {log.Snapshot.Index}, log {log.FirstIndex} to {log.LastIndex}"));
        return replica;
    }

    /// <summary>A replica comes while the node runs: nothing in it, and known to the log from its first write on. On its loop.</summary>
    internal Replica NewReplica(ShardLoop loop, GroupId group, ReplicaRecord record)
    {
        Replica replica = MakeReplica(loop, group, record.Replica, Log.NewGroup(group.Value, record));
        replica.PublishStatus();
        Publish(replicas => replicas.Append(KeyValuePair.Create(group.Value, replica)));
        Report(new NodeEvent(NodeEventKind.ReplicaCame, group, 0, 0, $"replica {record.Replica} came, by placement {record.Epoch}"));
        return replica;
    }

    /// <summary>From here on nobody finds the replica.</summary>
    internal void Withdraw(Replica replica) => Publish(replicas => replicas.Where(r => r.Value != replica));

    private void Publish(Func<IReadOnlyDictionary<uint, Replica>, IEnumerable<KeyValuePair<uint, Replica>>> change)
    {
        IReadOnlyDictionary<uint, Replica> current = Replicas;
        while (true)
        {
            IReadOnlyDictionary<uint, Replica> seen = Interlocked.CompareExchange(ref _replicas, change(current).ToDictionary(), current);
            if (ReferenceEquals(seen, current))
            {
                return;
            }

            current = seen;
        }
    }

    private Replica MakeReplica(ShardLoop loop, GroupId group, ReplicaId id, GroupLog log)
    {
        KvStateMachine machine = log.SnapshotFile is { } file
            ? SnapshotRestore.Now(loop.Arena, _files, $"{SnapshotDirectory(group)}/{file}")
            : NewMachine(loop.Arena, group, log.Snapshot);
        Invariant.Check(machine.AppliedIndex == log.Snapshot.Index, "a group starts at its snapshot");
        return new Replica(loop, group, id, log, machine, SnapshotDirectory(group));
    }

    /// <summary>
    /// A group that has no snapshot yet, or a replica that has none of its group's: what the group owns stands in the placement alone.
    /// </summary>
    private KvStateMachine NewMachine(SlabArena arena, GroupId group, SnapshotMetadata start)
    {
        int[] virtualNodes = [.. Routing.VirtualNodesOf(group), SystemVirtualNode.Of(group)];
        return new KvStateMachine(new GroupTable(arena, virtualNodes), virtualNodes, start, startGroupTime: 0);
    }

    /// <summary>Files in a group's folder that are unfinished or replaced: the log refers to one file at most.</summary>
    private void DeleteSnapshots(GroupId group, string? except)
    {
        foreach (string name in _files.ListFiles(SnapshotDirectory(group)).Where(name => name != except))
        {
            _files.Delete($"{SnapshotDirectory(group)}/{name}");
        }
    }

    /// <summary>One snapshot file of each group that has any; unfinished ones do not count.</summary>
    private Dictionary<uint, string> SnapshotsFound()
    {
        var found = new Dictionary<uint, string>();
        for (uint g = 1; g <= Options.Routing.GroupCount; g++)
        {
            string directory = SnapshotDirectory(new GroupId(g));
            if (_files.ListFiles(directory).FirstOrDefault(name => SnapshotName.TryParse(name, out _, out _)) is { } name)
            {
                found.Add(g, $"{directory}/{name}");
            }
        }

        return found;
    }

    internal string SnapshotDirectory(GroupId group) => $"{Options.Directory}/snap/{group.Value}";

    /// <summary>Added to the 1,000 milliseconds of a second: a tenth of a percent.</summary>
    private const double ClockRateMargin = 1.0;

    /// <summary>Without a leader for so long a group is spoken of, and again each time as much has passed.</summary>
    private const long LeaderlessLimitMs = 10_000;


    /// <summary>Live entries of the log are moved to newer segments while they fit into this part of the purge trigger.</summary>
    private const int MaxRewriteShare = 4;

    /// <summary>State hashes being computed at one time.</summary>
    private const int MaxHashesUnderWay = 4;

    /// <summary>A new group's log starts behind a mark at index 5, term 5: a replica with nothing is told from one with a start.</summary>
    private const ulong FirstIndexBefore = 5;
    private const ulong FirstTerm = 5;
}
