using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Simulation;
using KvStore.Storage;

namespace KvStore.Replication.Tests;

/// <summary>A replica without a node and without a loop: its turns are made here, one call after the other.</summary>
public sealed class ReplicaAloneTests : ITransport
{
    private static readonly GroupId Group = new(1);
    private readonly Scheduler _scheduler = new();
    private readonly List<NodeEvent> _events = [];
    private readonly WriteAheadLog _log;
    private readonly Admission _admission = new(maxRequests: 16, maxBytes: 1 << 20);
    private readonly Turn _turn;
    private readonly Replica _replica;

    public ReplicaAloneTests()
    {
        var options = new StoreNodeOptions
        {
            ClusterId = "test",
            Self = new NodeId(1),
            NodeNames = ["n1"],
            Routing = new RoutingTable(1, [Group], [[], [new ReplicaPlacement(7, new NodeId(1))]]),
            Directory = "/data",
            Incarnation = 1,
            Uuid = new Guid(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
            Seed = 1,
            Writer = 77,
        };
        var files = new MemoryFileSystem(seed: 1);
        DurableDirectory.Create(files, "/data");
        DurableDirectory.Create(files, "/data/wal");
        _log = WriteAheadLog.Open(
            files, "/data/wal", new LogIdentity("test", 1, options.Uuid), options.Wal, new Dictionary<uint, string>(), opensForFirstBuilds: true);
        var clock = new NodeClock(new SimulatedClock(_scheduler) { OriginMicros = 1_000_000 });
        var peers = new PeerLevels(options, clock);
        var events = new NodeEvents(_events.Add);
        var snapshots = new Inbox<SnapshotItem>();
        LoopFront[] fronts = [new LoopFront(options.TableChunkBytes)];
        var node = new SharedState(
            options, clock, new CurrentRouting(options.Routing), peers, new Fitness(options, clock, peers, events),
            new NodeRoom(options, events, _log, _admission, fronts), new FolderMarks(options, _log, snapshots, events), events);
        _turn = new Turn(
            fronts[0],
            new LoopWrites(options, _log, snapshots, fronts[0].Inbox, fronts),
            new LoopPeers(node, this),
            new LoopRequests(options, fronts[0], this, new ForwardPlaces(1, 16), options.Writer),
            options.Seed);
        var opener = new ReplicaOpener(node, files, _log, new ReplicaDirectory());
        _replica = opener.Open(_turn, Group, opener.AtStart(Group));
    }

    [Fact]
    public void A_replica_elects_itself_and_answers_a_write_once_it_is_durable()
    {
        for (int tick = 0; tick < 100 && !_replica.IsLeader; tick++)
        {
            _turn.TickNumber++;
            _replica.OnTick(_turn.NowMs += 50);
            TakeTurn();
            Durable();
            TakeTurn();
        }

        Assert.True(_replica.IsLeader);
        Assert.Contains(_events, e => e.Kind == NodeEventKind.BecameLeader);
        Durable();
        TakeTurn();

        var client = new WaitingClient();
        var request = new KvRequest { Operation = new Put("k"u8, new byte[] { 1 }), TimeoutMs = 1000 };
        Assert.Null(_admission.Begin(request, source: null));
        _replica.Accept(new RequestItem(request, client, Group, virtualNode: 0, _turn.NowMs + 1000, _admission));
        Assert.True(_replica.WantsTurn);
        TakeTurn();
        Assert.Null(client.Reply);

        Durable();
        TakeTurn();
        Assert.Equal((ErrorCode.None, Outcome.Applied), (client.Reply!.Code, client.Reply.Outcome));
        Assert.Equal(1, _replica.Table.KeyCount);
        Assert.Equal(0, _admission.Requests);
    }

    bool ITransport.Send(NodeId to, Lane lane, ReadOnlyMemory<byte> payload, ushort level) => throw new InvalidOperationException("there is nobody to send to");

    void ITransport.Forward(NodeId to, KvRequest request, IForwardCompletion completion) => throw new InvalidOperationException("there is nobody to ask");

    private void TakeTurn()
    {
        _turn.Writes.StartTurn(watchedMs: 0);
        Assert.False(_replica.FlushRequests(mayPropose: true));
        for (bool more = _replica.HasReady; more; more = _replica.HasReady)
        {
            Ready ready = _replica.TakeReady(Replica.MaxApplyBytesPerTurn);
            _replica.SendAll(ready.Messages);
            _replica.Persist(ready);
            Assert.True(_turn.Writes.TrySubmit());
            _replica.Apply(ready.Committed, Replica.MaxMovedBytesPerTurn);
            _replica.ServeProvedReads(ready.Reads);
        }
    }

    private void Durable()
    {
        while (_log.Gather())
        {
            _log.Write();
            _log.Sync();
            _log.Complete();
        }

        for (LoopItem? item = _turn.Loop.Inbox.TakeAll(); item is not null; item = item.Next)
        {
            var write = Assert.IsType<TurnWrite>(item);
            _turn.Writes.Completed(write);
            Assert.All(write.Parts, part => Assert.True(_replica.OnDurable(write.Submission, part)));
            _turn.Writes.Ended(write);
        }
    }
}
