using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Testing;

/// <summary>The network between the nodes of a test: theirs, except that it can be cut between any two.</summary>
internal sealed class TestNetwork
{
    // Replaced as a whole: who sends takes no lock.
    private volatile IReadOnlySet<(NodeId From, NodeId To)> _cut = new HashSet<(NodeId, NodeId)>();

    /// <summary>Nothing gets through from one side to the other, in either direction; inside a side everything does.</summary>
    public void Cut(IReadOnlyCollection<NodeId> side, IReadOnlyCollection<NodeId> other)
    {
        var cut = new HashSet<(NodeId, NodeId)>(_cut);
        foreach (NodeId one in side)
        {
            foreach (NodeId two in other)
            {
                cut.Add((one, two));
                cut.Add((two, one));
            }
        }

        _cut = cut;
    }

    public void Heal() => _cut = new HashSet<(NodeId, NodeId)>();

    /// <summary>What a node sends through.</summary>
    public ITransport Of(NodeId self, ITransport real) => new Cuttable(this, self, real);

    private sealed class Cuttable(TestNetwork network, NodeId self, ITransport real) : ITransport
    {
        // A message into a cut is lost, as on a line that says nothing: the sender believes that it went.
        public bool Send(NodeId to, Lane lane, ReadOnlyMemory<byte> payload, ushort level) =>
            network._cut.Contains((self, to)) || real.Send(to, lane, payload, level);

        public void Forward(NodeId to, KvRequest request, IForwardCompletion completion)
        {
            if (network._cut.Contains((self, to)))
            {
                completion.Lost(notSent: true);
            }
            else
            {
                real.Forward(to, request, completion);
            }
        }
    }
}
