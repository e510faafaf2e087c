using System.Buffers;
using KvStore.Protocol;
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
/// are directed, so a partition may be one-way, and reordering comes from independent delays.
/// </summary>
public sealed class SimulatedNetwork(Scheduler scheduler, SimulatedRandom random, NetworkOptions options, Func<NodeId, SimulatedNode> nodes)
{
    private readonly HashSet<(NodeId From, NodeId To)> _cut = [];
    private readonly Dictionary<(NodeId From, NodeId To), long> _cloggedUntil = [];
    private bool _quiet;

    public long Delivered { get; private set; }

    public long Lost { get; private set; }

    public long Duplicated { get; private set; }

    /// <summary>Sees every payload before it leaves.</summary>
    public Action<NodeId, NodeId, ReadOnlyMemory<byte>>? OnSend { get; set; }

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

    private bool Send(NodeId from, NodeId to, Lane lane, ReadOnlyMemory<byte> payload)
    {
        OnSend?.Invoke(from, to, payload);
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
                scheduler.After(Delay(from, to) + slower, "deliver", (int)to.Value, () => Deliver(from, to, payload));
            }
        }

        return true;
    }

    private void Deliver(NodeId from, NodeId to, ReadOnlyMemory<byte> payload)
    {
        if (IsCut(from, to) || nodes(to).Store is not { } store)
        {
            Lost++;
            return;
        }

        Delivered++;
        scheduler.Fold((ulong)payload.Length);
        if (!store.OnPeerPayload(from, payload))
        {
            throw new SafetyViolationException($"node {to} could not read what node {from} sent");
        }
    }

    private void Forward(NodeId from, NodeId to, KvRequest request, IForwardCompletion completion)
    {
        // A request and its answer cross the network as bytes, over a connection: they may be late or never come, but not twice.
        var bytes = new ArrayBufferWriter<byte>();
        KvRequestCodec.Encode(bytes, request);
        var call = new Call(this, from, to, nodes(from), request.Operation, completion);
        scheduler.After(Delay(from, to), "forward", (int)to.Value, () => call.Arrive(bytes.WrittenMemory));
    }

    /// <summary>One forwarded request. Its answer finds the process that asked: if that has crashed, nobody is there to be told.</summary>
    private sealed class Call(
        SimulatedNetwork network, NodeId from, NodeId to, SimulatedNode asker, Protocol.Operation asked, IForwardCompletion completion)
    {
        private readonly int _life = asker.Life;
        private bool _told;

        public void Arrive(ReadOnlyMemory<byte> bytes)
        {
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
                KvReplyCodec.Encode(bytes, reply);
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

    private sealed class Endpoint(SimulatedNetwork network, NodeId self) : ITransport
    {
        public bool Send(NodeId to, Lane lane, ReadOnlyMemory<byte> payload) => network.Send(self, to, lane, payload);

        public void Forward(NodeId to, KvRequest request, IForwardCompletion completion) => network.Forward(self, to, request, completion);
    }
}

/// <summary>A sink that calls back.</summary>
public sealed class ReplySink(Action<KvReply> completed) : IReplySink
{
    public void Complete(KvReply reply) => completed(reply);
}
