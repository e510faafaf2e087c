using System.Buffers;
using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Replication;

namespace KvStore.Simulation;

/// <summary>What may go wrong on the way. Times in microseconds, probabilities per payload.</summary>
public sealed record NetworkOptions
{
    public long MinDelayMicros { get; init; } = 50;
    public long MaxDelayMicros { get; init; } = 2_000;
    public double Loss { get; init; }
    public double Duplication { get; init; }

    /// <summary>Chance that a payload comes very late (up to a second): an ancient frame.</summary>
    public double Straggling { get; init; }

    /// <summary>Appends to one node take this much longer, and nothing else does: what a slow link does to the big frames.</summary>
    public long AppendDelayMicros { get; init; }

    public NodeId AppendsDelayedTo { get; init; }

    /// <summary>How long a request waits for an answer from a machine that says nothing.</summary>
    public long ForwardGivesUpMicros { get; init; } = 2_000_000;
}

/// <summary>
/// Every link between the nodes of a cluster. Delivery is an event; what happens to a payload is drawn from the seed. Links
/// are directed, so a partition may be one-way, and reordering comes from independent delays. Who sends to a process it has not met says
/// hello first; what needs a feature level travels only over a connection whose other end said it, and ends with that process.
/// </summary>
public sealed class SimulatedNetwork(Scheduler scheduler, SimulatedRandom random, NetworkOptions options, Func<NodeId, SimulatedNode> nodes)
{
    private readonly HashSet<(NodeId From, NodeId To)> _cut = [];
    private readonly Dictionary<(NodeId From, NodeId To), long> _cloggedUntil = [];
    private readonly Dictionary<(NodeId From, NodeId To), Connection> _connections = [];
    private bool _quiet;

    public long Delivered { get; private set; }

    public long Lost { get; private set; }

    public long Duplicated { get; private set; }

    /// <summary>Told how every hello ended; null: both let each other in.</summary>
    public Action<NodeId, NodeId, HelloRefused?>? HelloEnded { get; set; }

    /// <summary>Sees every payload before it leaves.</summary>
    public Action<NodeId, NodeId, ReadOnlyMemory<byte>>? OnSend { get; set; }

    /// <summary>Sees every request that a node passes on.</summary>
    public Action<NodeId, KvRequest>? OnForward { get; set; }

    /// <summary>As <see cref="OnSend"/>, for a scenario.</summary>
    public Action<NodeId, NodeId, ReadOnlyMemory<byte>>? Sent { get; set; }

    /// <summary>As <see cref="OnForward"/>, for a scenario.</summary>
    public Action<NodeId, KvRequest>? PassedOn { get; set; }

    /// <summary>Every node keeps a connection to every other one up, whether it has something to say or not.</summary>
    public void KeepConnected(IReadOnlyList<SimulatedNode> all) => scheduler.After(DialPauseMicros, "dial", 0, () =>
    {
        foreach (SimulatedNode from in all)
        {
            foreach (SimulatedNode to in all.Where(n => n != from))
            {
                _ = ConnectionOf(from.Id, to.Id);
            }
        }

        KeepConnected(all);
    });

    /// <summary>Cuts one direction of one link.</summary>
    public void Cut(NodeId from, NodeId to) => _cut.Add((from, to));

    /// <summary>What is sent over one direction of one link arrives when the clog is over.</summary>
    public void Clog(NodeId from, NodeId to, long micros) => _cloggedUntil[(from, to)] = scheduler.NowMicros + micros;

    public void HealCuts() => _cut.Clear();

    /// <summary>Ends the cuts of one node's links.</summary>
    public void HealCuts(NodeId node) => _cut.RemoveWhere(link => link.From == node || link.To == node);

    /// <summary>From now on every link works and nothing is lost, repeated or late.</summary>
    public void HealForGood()
    {
        _quiet = true;
        _cut.Clear();
        _cloggedUntil.Clear();
    }

    public bool IsCut(NodeId from, NodeId to) => _cut.Contains((from, to));

    public ITransport TransportOf(NodeId from) => new Endpoint(this, from);

    private long Delay(NodeId from, NodeId to)
    {
        long delay = !_quiet && random.Chance(options.Straggling)
            ? random.Between(options.MaxDelayMicros, 1_000_000)
            : random.Between(options.MinDelayMicros, options.MaxDelayMicros);
        return Math.Max(delay, _cloggedUntil.GetValueOrDefault((from, to)) - scheduler.NowMicros);
    }

    private bool Send(NodeId from, NodeId to, Lane lane, ReadOnlyMemory<byte> payload, ushort level)
    {
        OnSend?.Invoke(from, to, payload);
        Sent?.Invoke(from, to, payload);
        Connection connection = ConnectionOf(from, to);
        bool met = connection.Lives == (nodes(from).Life, nodes(to).Life);
        bool unmet = !met && (nodes(from).IsOldCopy || nodes(to).IsOldCopy);
        if (unmet || (met && connection.IsRefused) || (level > FeatureLevel.First && !(met && connection.Level >= level)))
        {
            Lost++;
            return false;
        }

        int life = nodes(to).Life;
        long slower = lane == Lane.Append && to == options.AppendsDelayedTo && !_quiet ? options.AppendDelayMicros : 0;
        int copies = 1;
        if (!_quiet && random.Chance(options.Duplication))
        {
            Duplicated++;
            copies = 2;
        }

        for (int i = 0; i < copies; i++)
        {
            if (!_quiet && random.Chance(options.Loss))
            {
                Lost++;
            }
            else
            {
                scheduler.After(Delay(from, to) + slower, "deliver", (int)to.Value, () => Deliver(from, to, payload, level, life));
            }
        }

        return true;
    }

    private void Deliver(NodeId from, NodeId to, ReadOnlyMemory<byte> payload, ushort level, int life)
    {
        if (IsCut(from, to) || nodes(to).Store is not { } store || ((level > FeatureLevel.First || nodes(to).IsOldCopy) && nodes(to).Life != life))
        {
            Lost++;
            return;
        }

        Delivered++;
        scheduler.Fold((ulong)payload.Length);
        if (nodes(to).IsCapped)
        {
            CheckLevel(from, to, payload, store.Options.MaxLevel);
        }

        if (!store.OnPeerPayload(from, payload))
        {
            throw new SafetyViolationException($"node {to} could not read what node {from} sent");
        }
    }

    /// <summary>The connection that a payload would go over; dialled when there is none between the processes of now, or its word was lost.</summary>
    private Connection ConnectionOf(NodeId from, NodeId to)
    {
        if (!_connections.TryGetValue((from, to), out Connection? connection))
        {
            _connections.Add((from, to), connection = new Connection());
        }

        bool met = connection.Lives == (nodes(from).Life, nodes(to).Life) && !connection.IsRefused;
        if (!connection.IsDialling && scheduler.NowMicros >= connection.DialAgainMicros && nodes(from).Store is { } store
            && (!met || store.Shared.Peers.LevelOf(to) == 0))
        {
            Dial(connection, from, to, nodes(from).Life);
        }

        return connection;
    }

    private void Dial(Connection connection, NodeId from, NodeId to, int dialler)
    {
        connection.IsDialling = true;
        scheduler.After(Delay(from, to), "hello", (int)to.Value, () =>
        {
            if (IsCut(from, to) || nodes(to).Store is not { } other || nodes(from) is not { Store: { } self } node || node.Life != dialler)
            {
                connection.IsDialling = false;
                return;
            }

            int life = nodes(to).Life;
            HelloRefused? refused = nodes(to).Judge(node) ?? other.OnPeerHello(from, self.Options.Incarnation, self.Options.MaxLevel, self.Shared.Clock.WallMs());
            if (refused is not null && other.EndsBecauseOf(refused))
            {
                nodes(to).EndedByClocks(refused);
            }

            scheduler.After(Delay(to, from), "hello-answered", (int)from.Value, () =>
            {
                connection.IsDialling = false;
                if (IsCut(to, from) || nodes(from).Life != dialler)
                {
                    return;
                }

                if (refused is not null && self.EndsBecauseOf(refused))
                {
                    node.EndedByClocks(refused);
                    return;
                }

                if (nodes(to).Life != life)
                {
                    return;
                }

                SimulatedNode about = refused is null ? nodes(to) : node;
                if (refused is null)
                {
                    node.LetInBy(to);
                    refused = node.Store is null ? null : node.Judge(nodes(to));
                    if (node.Store is null)
                    {
                        return;
                    }
                }

                refused ??= self.OnPeerHello(to, other.Options.Incarnation, other.Options.MaxLevel, other.Shared.Clock.WallMs());
                if (refused is not null && self.EndsBecauseOf(refused))
                {
                    node.EndedByClocks(refused);
                    return;
                }

                (connection.Lives, connection.Level, connection.IsRefused) = ((dialler, life), other.Options.MaxLevel, refused is not null);
                connection.DialAgainMicros = refused is null ? 0 : scheduler.NowMicros + DialPauseMicros;
                HelloEnded?.Invoke(from, to, refused);
                if (refused?.Reason is HelloRefusal.UuidChanged or HelloRefusal.IncarnationTooOld)
                {
                    about.RefusedByCluster(refused);
                }
            });
        });
    }

    /// <summary>A node that stands for an older build is never sent what that build could not read.</summary>
    private static void CheckLevel(NodeId from, NodeId to, ReadOnlyMemory<byte> payload, ushort known)
    {
        var messages = new List<PeerMessage>();
        if (!PeerPayload.TryRead(payload.Span, out _, messages))
        {
            return;
        }

        foreach (PeerMessage message in messages)
        {
            if (message.Message is AppendEntries append && append.Entries.FirstOrDefault(e => e.NeededLevel > known) is { } entry)
            {
                throw new SafetyViolationException(
                    "above-level-sent",
                    $"node {from} sent node {to} an entry of group {message.Group} at index {entry.Index} that needs level {entry.NeededLevel}, not {known}");
            }
        }
    }

    private void Forward(NodeId from, NodeId to, KvRequest request, IForwardCompletion completion)
    {
        PassedOn?.Invoke(from, request);
        OnForward?.Invoke(from, request);

        // A request and its answer cross the network as bytes, over a connection: they may be late or never come, but not twice.
        var bytes = new ArrayBufferWriter<byte>();
        ushort level = Math.Min(LevelOf(from), LevelOf(to));
        if (!KvRequestCodec.TryEncode(bytes, request, level))
        {
            scheduler.After(Delay(from, to), "forward-unsupported", (int)from.Value, () => completion.Replied(
                new KvReply { Code = ErrorCode.Unsupported, Outcome = Outcome.NotApplied, Detail = $"node {to} is of level {level}" }));
            return;
        }

        var call = new Call(this, from, to, nodes(from), request.Operation, completion);
        scheduler.After(Delay(from, to), "forward", (int)to.Value, () => call.Arrive(bytes.WrittenMemory));
    }

    // As its ack would say; to a node that is down nothing is sent, whatever it knows.
    private ushort LevelOf(NodeId node) => nodes(node).Store?.Options.MaxLevel ?? nodes(node).MaxLevel;

    /// <summary>One forwarded request. Its answer finds the process that asked: if that has crashed, nobody is there to be told.</summary>
    private sealed class Call(
        SimulatedNetwork network, NodeId from, NodeId to, SimulatedNode asker, Protocol.Operation asked, IForwardCompletion completion)
    {
        private readonly int _life = asker.Life;
        private bool _told;
        private bool _isFlat;

        public void Arrive(ReadOnlyMemory<byte> bytes)
        {
            _isFlat = KvRequestCodec.IsFlat(bytes.Span);
            if (KvRequestCodec.TryDecode(bytes.Span, out KvRequest? request) != DecodeResult.Ok)
            {
                throw new SafetyViolationException("encoding", $"node {to} could not read the request node {from} passed on");
            }

            SimulatedNode receiver = network.Node(to);
            if (network.IsCut(from, to))
            {
                Silence();
            }
            else if (receiver.Store is not { } store)
            {
                Tell(c => c.Lost(notSent: true));
            }
            else
            {
                receiver.OnCrash(() => Later("forward-broken", c => c.Lost(notSent: false)));
                store.Submit(request!, new ReplySink(Answered));
            }
        }

        private void Answered(KvReply reply)
        {
            if (network.IsCut(to, from))
            {
                Silence();
            }
            else
            {
                var bytes = new ArrayBufferWriter<byte>();
                KvReplyCodec.Encode(bytes, reply, _isFlat);
                if (KvReplyCodec.TryDecode(bytes.WrittenSpan, asked, out KvReply? read) != DecodeResult.Ok)
                {
                    throw new SafetyViolationException("encoding", $"node {from} could not read what node {to} answered");
                }

                Later("forward-reply", c => c.Replied(read!));
            }
        }

        private void Silence() =>
            network.After(network.GivesUpMicros, "forward-silence", from, () => Tell(c => c.Lost(notSent: false)));

        private void Later(string name, Action<IForwardCompletion> how) =>
            network.After(network.Delay(to, from), name, from, () => Tell(how));

        private void Tell(Action<IForwardCompletion> how)
        {
            if (!_told && asker.Life == _life)
            {
                _told = true;
                how(completion);
            }
        }
    }

    private long GivesUpMicros => options.ForwardGivesUpMicros;

    private SimulatedNode Node(NodeId id) => nodes(id);

    private void After(long micros, string name, NodeId subject, Action run) => scheduler.After(micros, name, (int)subject.Value, run);

    /// <summary>One direction of a pair, as the sender's side of it knows it.</summary>
    private sealed class Connection
    {
        public (int From, int To) Lives { get; set; }
        public ushort Level { get; set; }
        public bool IsRefused { get; set; }
        public bool IsDialling { get; set; }
        public long DialAgainMicros { get; set; }
    }

    private const long DialPauseMicros = 200_000;

    private sealed class Endpoint(SimulatedNetwork network, NodeId self) : ITransport
    {
        public bool Send(NodeId to, Lane lane, ReadOnlyMemory<byte> payload, ushort level) => network.Send(self, to, lane, payload, level);

        public void Forward(NodeId to, KvRequest request, IForwardCompletion completion) => network.Forward(self, to, request, completion);
    }
}

/// <summary>A sink that calls back.</summary>
public sealed class ReplySink(Action<KvReply> completed) : IReplySink
{
    public void Complete(KvReply reply) => completed(reply);
}
