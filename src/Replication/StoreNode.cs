using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// Everything a node is, put together over the seams: files, network, clock and a seed come from outside, threads too. Node
/// hosts it on an operating system, the simulator on nothing; neither decides anything.
/// </summary>
public sealed partial class StoreNode : IDisposable
{
    private readonly IReadOnlyList<LoopFront> _fronts;
    private readonly IReadOnlyList<ShardLoop> _loops;
    private readonly ReplicaDirectory _replicas = new();
    private readonly GroupWatch _watch;
    private readonly RequestRules _rules;
    private readonly Admission _admission;
    private readonly ITransport _transport;
    private readonly PeerMessagesPool _payloads = new();
    private long _itemsSkipped;
    private long _localReads;
    private long _payloadsDropped;
    private int _hashesUnderWay;

    private StoreNode(StoreNodeOptions options, IFileSystem files, ITransport transport, TimeProvider time, Action<NodeEvent> events)
    {
        var clock = new NodeClock(time);
        DurableDirectory.Create(files, options.Directory);
        options = options.WithinMemory().WithinDisk(files.SpaceOf(options.Directory).TotalBytes);
        _transport = transport;
        _rules = new RequestRules(options.Limits, options.Routing);
        _admission = new Admission(options.MaxInFlightRequests, options.MaxInFlightBytes);
        _fronts = [.. Enumerable.Range(0, options.Workers).Select(_ => new LoopFront(options.TableChunkBytes))];
        var nodeEvents = new NodeEvents(events);
        string walDirectory = $"{options.Directory}/wal";
        DurableDirectory.Create(files, walDirectory);
        Log = WriteAheadLog.Open(
            files, walDirectory, new LogIdentity(options.ClusterId, options.Self.Value, options.Uuid), options.Wal, SnapshotsFound(options, files),
            opensForFirstBuilds: options.LevelAtStart <= FeatureLevel.First);
        if (Log.CutTornTail)
        {
            nodeEvents.Report(new NodeEvent(
                NodeEventKind.TornTailCut, default, 0, 0, "the log ended in the middle of a write that nobody was told of; cut there"));
        }

        var peers = new PeerLevels(options, clock);
        var snapshots = new Inbox<SnapshotItem>();
        Shared = new SharedState(
            options, clock, new CurrentRouting(options.Routing), peers, new Fitness(options, clock, peers, nodeEvents),
            new NodeRoom(options, nodeEvents, Log, _admission, _fronts), new FolderMarks(options, Log, snapshots, nodeEvents), nodeEvents);
        Snapshots = new SnapshotQueue(
            files, Shared, Log, _replicas, snapshots, new SnapshotTransfer(files, Shared, transport, _replicas, _fronts));
        _watch = new GroupWatch(Shared, _replicas);
        var opener = new ReplicaOpener(Shared, files, Log, _replicas);
        var places = new ForwardPlaces(options.NodeNames.Count, options.MaxForwardsPerNode);
        Turn[] turns = [.. _fronts.Select((front, number) => new Turn(
            front,
            new LoopWrites(options, Log, snapshots, front.Inbox, _fronts),
            new LoopPeers(Shared, transport),
            new LoopRequests(options, front, transport, places, WriterId(number)),
            options.Seed + (ulong)number))];
        _loops = [.. turns.Select((turn, number) => new ShardLoop(Shared, number, turn, _payloads, opener, _replicas, _watch))];
        for (uint g = 1; g <= options.Routing.GroupCount; g++)
        {
            var group = new GroupId(g);
            int number = LoopFront.NumberOf(_loops.Count, group);
            ReplicaRecord record = opener.AtStart(group);
            if (!record.IsVacant)
            {
                Replica replica = opener.Open(turns[number], group, record);
                _loops[number].Add(replica);
                replica.PublishStatus();
            }
            else
            {
                _loops[number].Add(new RemoteGroup(turns[number], Shared, group) { VacantSince = record.Epoch });
                opener.DeleteSnapshots(group, except: null);
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

    public StoreNodeOptions Options => Shared.Options;

    public NodeId Self => Options.Self;

    public IReadOnlyList<ShardLoop> Loops => _loops;

    public WriteAheadLog Log { get; }

    /// <summary>Snapshot work: RunOnce is called by Node's snapshot thread.</summary>
    public SnapshotQueue Snapshots { get; }

    public RoutingTable Routing => Shared.Routing.Table;

    /// <summary>What its loops share.</summary>
    internal SharedState Shared { get; }

    /// <summary>See <see cref="Readiness"/>.</summary>
    public bool IsReady => Readiness.IsReady;

    /// <summary>Whether the node should be sent requests, and why not. Any thread.</summary>
    public Readiness Readiness => _watch.Readiness;

    /// <summary>What this node has room for now.</summary>
    public RoomStatus Room => Shared.Room.Status;

    /// <summary>How old the oldest write is that is not durable yet, milliseconds, and whether this makes the disk a sick one.</summary>
    public DiskStatus DiskStatus => new(Shared.Fitness.Disk.AgeMs, Shared.Fitness.Disk.IsSick);

    /// <summary>Requests submitted and not answered yet.</summary>
    public int InFlight => _admission.Requests;

    /// <summary>One line per local group, ascending; each a consistent copy, at most a tick old.</summary>
    public IReadOnlyList<GroupStatus> Groups => [.. Replicas.OrderBy(r => r.Key).Select(r => r.Value.Status!)];

    public NodeCounters Counters
    {
        get
        {
            long Sum(Func<LoopCounters, long> counter) => _fronts.Sum(l => counter(l.Counters));
            return new NodeCounters(
                Sum(c => c.Requests), Sum(c => c.Forwards), Sum(c => c.Proposals), Sum(c => c.EntriesApplied), Sum(c => c.CommandsApplied),
                Sum(c => c.ReadRounds), Sum(c => c.StrongReads), Interlocked.Read(ref _localReads), Sum(c => c.UnmetReads), Sum(c => c.Elections),
                Sum(c => c.Overloaded) + _admission.Refused, Interlocked.Read(ref _payloadsDropped),
                _fronts.Sum(l => l.Arena.ReservedBytes), _fronts.Sum(l => l.Arena.LiveBytes),
                Replicas.Values.Sum(r => r.Status!.EntriesHeldBack),
                new SnapshotCounters(Sum(c => c.SnapshotsTaken), Sum(c => c.SnapshotsInstalled), Snapshots.BytesReceived), Log.Counters,
                Interlocked.Read(ref _itemsSkipped), Shared.Folder.Refusals)
            {
                TermsRefused = Sum(c => c.RefusedTerms),
                GrowthRefused = Sum(c => c.GrowthRefused),
            };
        }
    }

    /// <summary>With everything in them that belongs to their loops: for whoever turns these.</summary>
    internal IEnumerable<Replica> LocalReplicas => _loops.SelectMany(loop => loop.Replicas).OrderBy(r => r.Group);

    /// <summary>Null when the group has no replica here.</summary>
    internal Replica? LocalReplica(GroupId group)
    {
        foreach (Replica replica in LoopOf(group).Replicas)
        {
            if (replica.Group == group)
            {
                return replica;
            }
        }

        return null;
    }

    private IReadOnlyDictionary<uint, ReplicaReader> Replicas => _replicas.All;

    /// <summary>
    /// The front door behind every front door. Any thread. The sink is completed exactly once, here or later: a read whose level the
    /// local replica proves by itself at once from the table, without a queue; anything else by the loop that owns the group.
    /// </summary>
    public void Submit(KvRequest request, IReplySink sink)
    {
        if (Shared.Fitness.IsDraining)
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
        if (request is { IsWrite: false, Read.Level: not ReadLevel.Strong } && Replicas.TryGetValue(group.Value, out ReplicaReader? replica)
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

        Front(group).Inbox.Post(new RequestItem(request, sink, group, virtualNode, Shared.Clock.ElapsedMs() + request.TimeoutMs, _admission));
    }

    /// <summary>
    /// Hashes everything the local replica of a group holds at the index it has applied by now. Any thread; completed is called
    /// later, on the snapshot thread. False: as many are being computed as may be, each of them keeps overwritten rows in memory.
    /// </summary>
    /// <param name="group">One with a replica here.</param>
    /// <param name="completed">Must not block. Not called when the node stops before.</param>
    public bool TryHashState(GroupId group, Action<StateHash> completed)
    {
        ReplicaReader replica = Replicas[group.Value];
        if (Interlocked.Increment(ref _hashesUnderWay) > MaxHashesUnderWay)
        {
            Interlocked.Decrement(ref _hashesUnderWay);
            return false;
        }

        Front(group).Inbox.Post(new StateHashRequest(replica.Address, hash =>
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
            _transport.Forward(node, request with { HopsLeft = 0 }, new DirectAnswer(NameOf(node), sink));
        }
    }

    /// <summary>What a session that has seen all local replicas as they are now has seen.</summary>
    public IEnumerable<KeyValuePair<GroupId, SessionPoint>> SessionPoints => _replicas.InOrder
        .Select(r => new KeyValuePair<GroupId, SessionPoint>(r.Address.Group, r.SessionPoint))
        .Where(p => !p.Value.IsNone);

    /// <summary>
    /// The newest word on where replicas live: the node comes to what it says, as often as it is told. A table that is not newer
    /// than the one in force changes nothing. A replica may leave a table only once the group has committed a configuration
    /// without it; its id never comes back. Any thread.
    /// </summary>
    public void UseRouting(RoutingTable table)
    {
        if (!Shared.Routing.TryReplace(table))
        {
            return;
        }

        foreach (LoopFront loop in _fronts)
        {
            loop.Inbox.Post(new PlacementChanged());
        }
    }

    /// <summary>
    /// Proposes a change of a group's configuration, at the node that leads it. Any thread; completed is called on the group's
    /// loop, and must not block. Not called when the node stops before: look at the configuration, and propose again. The change says
    /// which table it follows (<see cref="ConfChange.Epoch"/>): below that of an earlier one it is refused.
    /// </summary>
    public void ProposeConfChange(GroupId group, ConfChange change, Action<ConfChangeReply> completed) =>
        Front(group).Inbox.Post(new ConfChangeRequest(group, change, completed));

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

        PeerMessages messages = _payloads.Take();
        if (!PeerPayload.TryRead(ref reader, fields, kind, out PeerPayloadHead head, messages.Messages))
        {
            _payloads.GiveBack(messages);
            return false;
        }

        if (head.Disk is { } disk)
        {
            Shared.Fitness.Hear(from, disk);
        }

        if (head.Room is not null || !Shared.Peers.Speaks(from, RoomReport.Since))
        {
            // A build that cannot say what it lacks is taken to have room, as it always was; so is every node by one that is held at such a level
            // itself, and is not told.
            Shared.Room.Hear(from, head.Room ?? default, Shared.Clock.ElapsedMs());
        }

        Shared.Peers.Heard(from);
        Interlocked.Add(ref _itemsSkipped, head.SkippedItems);
        (messages.From, messages.Head, messages.Bytes) = (from, head, payload.Length);
        if (_fronts.Count == 1)
        {
            Deliver(_fronts[0], messages);
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
        Shared.Peers.Lost(peer);
        Shared.Room.Lost(peer);
        Shared.Events.Report(new NodeEvent(NodeEventKind.PeerLost, default, 0, 0, $"lost {NameOf(peer)}"));
        foreach (LoopFront loop in _fronts)
        {
            loop.Inbox.Post(new PeerLost(peer));
        }
    }

    /// <summary>Refuses new requests with Draining; what is in flight is answered or fails honestly.</summary>
    /// <param name="handOver">Also hands leadership over. Pointless when all nodes stop together.</param>
    public void BeginDrain(bool handOver)
    {
        Shared.Fitness.BeginDrain(loopsToHandOver: handOver ? _loops.Count : 0);
        if (!handOver)
        {
            return;
        }

        foreach (LoopFront loop in _fronts)
        {
            loop.Inbox.Post(new HandOver());
        }
    }

    /// <summary>Nothing is in flight and no leadership is being handed over: the node may stop.</summary>
    public bool IsDrained =>
        InFlight == 0 && !Shared.Fitness.IsHandingOver && !Replicas.Values.Any(r => r.IsHandingOver);

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

    internal string NameOf(NodeId node) => Options.NameOf(node);

    /// <summary>
    /// The client id of a loop's own writes: new in every process, so that sequences can start again at 1, and known to nobody who could
    /// write under it.
    /// </summary>
    internal UInt128 WriterId(int loop) => Options.Writer + (uint)loop;

    private KvReply RoutingAnswer(ulong sinceEpoch)
    {
        RoutingTable table = Routing;
        GroupLeader[] leaders =
            [.. Groups.Where(group => !group.Leader.IsNone).Select(group => new GroupLeader(group.Group, group.Leader, group.Term))];
        return new KvReply { Result = ClusterRouting.Of(table, sinceEpoch, Options.Addresses, leaders), Epoch = table.Epoch };
    }

    /// <summary>The answer from the local table, without a queue; null when the read must wait for a proof or an index.</summary>
    private static KvReply? TryAnswerHere(ReplicaReader replica, KvRequest request, int virtualNode)
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

    internal ShardLoop LoopOf(GroupId group) => _loops[LoopFront.NumberOf(_loops.Count, group)];

    private LoopFront Front(GroupId group) => LoopFront.Of(_fronts, group);

    private void DeliverByLoop(PeerMessages all)
    {
        for (int number = 0; number < _fronts.Count; number++)
        {
            int count = 0;
            foreach (PeerMessage message in all.Messages)
            {
                count += LoopFront.NumberOf(_fronts.Count, message.Group) == number ? 1 : 0;
            }

            if (count == all.Messages.Count && count > 0)
            {
                Deliver(_fronts[number], all);
                return;
            }

            if (count > 0)
            {
                PeerMessages part = _payloads.Take();
                (part.From, part.Head, part.Bytes) = (all.From, all.Head, all.Bytes);
                foreach (PeerMessage message in all.Messages)
                {
                    if (LoopFront.NumberOf(_fronts.Count, message.Group) == number)
                    {
                        part.Messages.Add(message);
                    }
                }

                Deliver(_fronts[number], part);
            }
        }

        _payloads.GiveBack(all);
    }

    private void Deliver(LoopFront loop, PeerMessages messages)
    {
        if (!loop.TryPost(messages, Options.MaxPeerInboxBytes))
        {
            _payloads.GiveBack(messages);
            Interlocked.Increment(ref _payloadsDropped);
        }
    }

    /// <summary>One snapshot file of each group that has any; unfinished ones do not count.</summary>
    private static Dictionary<uint, string> SnapshotsFound(StoreNodeOptions options, IFileSystem files)
    {
        var found = new Dictionary<uint, string>();
        for (uint g = 1; g <= options.Routing.GroupCount; g++)
        {
            string directory = options.SnapshotDirectory(new GroupId(g));
            if (files.ListFiles(directory).FirstOrDefault(name => SnapshotName.TryParse(name, out _, out _)) is { } name)
            {
                found.Add(g, $"{directory}/{name}");
            }
        }

        return found;
    }

    /// <summary>State hashes being computed at one time.</summary>
    private const int MaxHashesUnderWay = 4;
}
