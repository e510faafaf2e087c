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

    /// <summary>How long a request waits for an answer from a machine that says nothing.</summary>
    public long ForwardGivesUpMicros { get; init; } = 2_000_000;
}

/// <summary>Every link between the nodes of a cluster. Delivery is an event; what happens to a payload is drawn from the seed.</summary>
public sealed class SimulatedNetwork(Scheduler scheduler, SimulatedRandom random, NetworkOptions options, Func<NodeId, SimulatedNode> nodes)
{
    private readonly HashSet<(NodeId From, NodeId To)> _cut = [];

    public long Delivered { get; private set; }

    public long Lost { get; private set; }

    /// <summary>Cuts one direction of one link.</summary>
    public void Cut(NodeId from, NodeId to) => _cut.Add((from, to));

    public void Heal() => _cut.Clear();

    public bool IsCut(NodeId from, NodeId to) => _cut.Contains((from, to));

    public ITransport TransportOf(NodeId from) => new Endpoint(this, from);

    private long Delay() => random.Between(options.MinDelayMicros, options.MaxDelayMicros);

    private bool Send(NodeId from, NodeId to, ReadOnlyMemory<byte> payload)
    {
        int copies = random.Chance(options.Duplication) ? 2 : 1;
        for (int i = 0; i < copies; i++)
        {
            if (random.Chance(options.Loss))
            {
                Lost++;
                continue;
            }

            scheduler.After(Delay(), "deliver", (int)to.Value, () => Deliver(from, to, payload));
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
            throw new InvalidOperationException($"node {to} could not read what node {from} sent");
        }
    }

    private void Forward(NodeId from, NodeId to, KvRequest request, IForwardCompletion completion)
    {
        // Answers find the process that asked: if it has crashed meanwhile, nobody is there to be told.
        SimulatedNode asker = nodes(from);
        int life = asker.Life;
        bool told = false;
        scheduler.After(Delay(), "forward", (int)to.Value, () =>
        {
            if (asker.Life != life)
            {
                return;
            }

            if (IsCut(from, to))
            {
                scheduler.After(options.ForwardGivesUpMicros, "forward-silence", (int)from.Value, () => Tell(c => c.Lost(notSent: false)));
            }
            else if (nodes(to).Store is { } store)
            {
                nodes(to).OnCrash(() => scheduler.After(Delay(), "forward-broken", (int)from.Value, () => Tell(c => c.Lost(notSent: false))));
                store.Submit(request, new ReplySink(reply => scheduler.After(Delay(), "forward-reply", (int)from.Value, () =>
                {
                    if (!IsCut(to, from))
                    {
                        Tell(c => c.Replied(reply));
                    }
                    else
                    {
                        scheduler.After(
                            options.ForwardGivesUpMicros, "forward-silence", (int)from.Value, () => Tell(c => c.Lost(notSent: false)));
                    }
                })));
            }
            else
            {
                Tell(c => c.Lost(notSent: true));
            }
        });

        void Tell(Action<IForwardCompletion> how)
        {
            if (!told && asker.Life == life)
            {
                told = true;
                how(completion);
            }
        }
    }

    private sealed class Endpoint(SimulatedNetwork network, NodeId self) : ITransport
    {
        public bool Send(NodeId to, Lane lane, ReadOnlyMemory<byte> payload) => network.Send(self, to, payload);

        public void Forward(NodeId to, KvRequest request, IForwardCompletion completion) => network.Forward(self, to, request, completion);
    }
}

/// <summary>A sink that calls back.</summary>
public sealed class ReplySink(Action<KvReply> completed) : IReplySink
{
    public void Complete(KvReply reply) => completed(reply);
}
