using System.Buffers;
using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Simulation;

namespace KvStore.Replication.Tests;

/// <summary>
/// One real node whose peers are the test: it hears what the test says and its cranks are turned by hand, so that events fall in
/// exactly the order that matters. Node 2 of three by default, the only group is 1, its replica ids are the node numbers (of
/// a second group: ten more).
/// </summary>
internal sealed class LoneNode : ITransport
{
    private readonly Scheduler _scheduler = new();

    public LoneNode(uint self = 2, int nodes = 3, int groups = 1, Func<StoreNodeOptions, StoreNodeOptions>? adjust = null)
    {
        var options = new StoreNodeOptions
        {
            ClusterId = "test",
            Self = new NodeId(self),
            NodeNames = [.. Enumerable.Range(1, nodes).Select(n => $"n{n}")],
            Routing = new RoutingTable(
                1, [.. Enumerable.Range(1, groups).Select(g => new GroupId((uint)g))],
                [[], .. Enumerable.Range(0, groups).Select(ReplicasOf)]),
            Directory = "/data",
            Incarnation = 1,
            Uuid = new Guid(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
            Seed = 1,
            Writer = 77,
        };
        Options = adjust is null ? options : adjust(options);
        Store = Open();
    }

    public StoreNodeOptions Options { get; private set; }

    public MemoryFileSystem Disk { get; } = new(seed: 1);

    public StoreNode Store { get; private set; }

    public Replica Replica => ReplicaOf(1);

    public Replica SecondReplica => ReplicaOf(2);

    public List<ReadOnlyMemory<byte>> Sent { get; } = [];

    /// <summary>The feature level that the receiver of each payload in <see cref="Sent"/> has to know.</summary>
    public List<ushort> SentLevels { get; } = [];

    public List<NodeEvent> Events { get; } = [];

    /// <summary>What the others say they lack, with every message, where their hello says that they can; null: they say nothing.</summary>
    public Shortage? PeersLack { get; set; } = Shortage.None;

    public List<(NodeId To, KvRequest Request, IForwardCompletion Completion)> Forwarded { get; } = [];

    public static Entry NoOp(ulong term, ulong index) => new(term, index, EntryKind.NoOp, 0, index << 16, 1, default);

    public bool Send(NodeId to, Lane lane, ReadOnlyMemory<byte> payload, ushort level)
    {
        Sent.Add(payload);
        SentLevels.Add(level);
        return true;
    }

    public void Forward(NodeId to, KvRequest request, IForwardCompletion completion) => Forwarded.Add((to, request, completion));

    /// <summary>The replica of a group on a node.</summary>
    public static ReplicaId IdOf(uint node, uint group = 1) => new((10 * (group - 1)) + node);

    public Replica ReplicaOf(uint group) => Store.LocalReplica(new GroupId(group))!;

    public void Restart(Func<StoreNodeOptions, StoreNodeOptions>? adjust = null)
    {
        Disk.CrashProcess();
        Options = adjust is null ? Options : adjust(Options);
        Store = Open();
    }

    /// <summary>A message from the node of the replica it says it is from.</summary>
    public void Hear(Message message, uint group = 1)
    {
        var items = new ArrayBufferWriter<byte>();
        PeerPayload.WriteMessage(items, new GroupId(group), epoch: 1, message);
        HearItem(PeerPayload.MessagesKind, [], items, (uint)(message.From.Value % 10));
    }

    /// <summary>The same from a node whose wall clock is ahead of ours.</summary>
    public void Hear(Message message, uint from, int aheadMs)
    {
        var items = new ArrayBufferWriter<byte>();
        PeerPayload.WriteMessage(items, new GroupId(1), epoch: 1, message);
        HearPayload(Payload(PeerPayload.MessagesKind, Store.Shared.Clock.WallMs() + (ulong)aheadMs, [], items), from);
    }

    public void HearHeartbeat(ulong term, ulong round, ulong lowestMatch, uint group = 1)
    {
        var items = new ArrayBufferWriter<byte>();
        var heartbeat = new Heartbeat(IdOf(1, group), ReplicaOf(group).Id, term, Commit: 0, round);
        PeerPayload.WriteHeartbeat(items, new GroupId(group), epoch: 1, heartbeat, lowestMatch);
        HearItem(PeerPayload.HeartbeatsKind, [round], items);
    }

    public void HearAnswer(ulong term, ulong round, ulong stampTicks = 1, uint group = 1, uint from = 1)
    {
        var items = new ArrayBufferWriter<byte>();
        var answer = new HeartbeatResponse(IdOf(from, group), ReplicaOf(group).Id, term, round);
        PeerPayload.WriteAnswer(items, new GroupId(group), epoch: 1, answer);
        HearItem(PeerPayload.AnswersKind, [1, stampTicks], items, from);
    }

    /// <summary>Node 1 votes for whatever it is asked, until we lead the group; the answer is the term.</summary>
    public ulong LeadWithVotesOfNode1(uint group = 1)
    {
        Replica replica = ReplicaOf(group);
        ReplicaId peer = IdOf(1, group);
        for (int tick = 0; tick < 100 && !replica.IsLeader; tick++)
        {
            Pass(50);
            Turn();
            if (replica.View.Role == Role.PreCandidate)
            {
                Hear(new PreVoteGranted(peer, replica.Id, replica.View.Term + 1), group);
                Turn();
                Hear(new VoteGranted(peer, replica.Id, replica.View.Term), group);
                Turn();
            }
        }

        Assert.True(replica.IsLeader);
        return replica.View.Term;
    }

    /// <summary>Node 1 acknowledges all that we have of a group we lead.</summary>
    public void HearAcknowledgement(uint group = 1)
    {
        Replica replica = ReplicaOf(group);
        Hear(new AppendAccepted(IdOf(1, group), replica.Id, replica.View.Term, replica.DurableLastIndex), group);
        Turn();
    }

    /// <summary>Everything sent so far, decoded.</summary>
    public List<Message> SentMessages()
    {
        var heard = new List<PeerMessage>();
        foreach (ReadOnlyMemory<byte> payload in Sent)
        {
            // Requests for snapshots have an encoding of their own.
            _ = PeerPayload.TryRead(payload.Span, out _, heard);
        }

        return [.. heard.Select(m => m.Message)];
    }

    /// <summary>0 before the first.</summary>
    public ulong LastRoundSent() => SentMessages().OfType<Heartbeat>().LastOrDefault()?.Round ?? 0;

    public void HearPayload(ReadOnlyMemory<byte> payload, uint from = 1) => Assert.True(Store.OnPeerPayload(new NodeId(from), payload));

    public void Pass(int milliseconds)
    {
        _scheduler.After(milliseconds * 1000L, "time", 0, () => { });
        _scheduler.RunFor(milliseconds * 1000L);
    }

    /// <summary>Turns loop and log until both have nothing to do; the snapshot thread is not turned.</summary>
    public void Turn()
    {
        for (bool more = true; more;)
        {
            more = Store.Loops[0].RunOnce();
            while (Store.Log.Gather())
            {
                Store.Log.Write();
                Store.Log.Sync();
                Store.Log.Complete();
                more = true;
            }
        }
    }

    public void TurnSnapshots()
    {
        while (Store.Snapshots.RunOnce(1 << 20))
        {
        }
    }

    /// <summary>The loop hears of what was fetched, its table is built, and takes the place of the old one.</summary>
    public void InstallFetched()
    {
        Turn();
        TurnSnapshots();
        Turn();
    }

    /// <summary>A payload with one item.</summary>
    public static byte[] Payload(byte kind, ulong wallMs, ReadOnlySpan<ulong> extra, ArrayBufferWriter<byte> item)
    {
        var payload = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(payload);
        writer.WriteArrayHeader(4 + extra.Length);
        writer.Write((uint)PeerPayload.Version);
        writer.Write((uint)kind);
        writer.Write(wallMs);
        foreach (ulong field in extra)
        {
            writer.Write(field);
        }

        writer.WriteArrayHeader(1);
        writer.Flush();
        payload.Write(item.WrittenSpan);
        return payload.WrittenSpan.ToArray();
    }

    private static ReplicaPlacement[] ReplicasOf(int group) =>
        [.. Enumerable.Range(1, 3).Select(n => new ReplicaPlacement((ulong)((10 * group) + n), new NodeId((uint)n)))];

    private StoreNode Open() =>
        StoreNode.Open(Options, Disk, this, new SimulatedClock(_scheduler) { OriginMicros = 1_000_000 }, Events.Add);

    private void HearItem(byte kind, ReadOnlySpan<ulong> extra, ArrayBufferWriter<byte> item, uint from = 1)
    {
        byte[] payload = Payload(kind, Store.Shared.Clock.WallMs(), extra, item);
        if (kind == PeerPayload.MessagesKind && PeersLack is { } lacks && Store.Shared.Peers.LevelOf(new NodeId(from)) >= RoomReport.Since)
        {
            var end = new ArrayBufferWriter<byte>();
            var writer = new MessagePackWriter(end);
            new RoomReport(lacks).Write(ref writer);
            writer.Flush();
            payload = [(byte)(payload[0] + 1), .. payload[1..], .. end.WrittenSpan];
        }

        HearPayload(payload, from);
    }
}
