using System.Security.Cryptography;
using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Node.Peers;

/// <summary>
/// Decides about hellos. A node is let in when it is the one it claims to be, of the same cluster and layout, and not a
/// forgetful copy of a node we knew.
/// </summary>
internal sealed class PeerGate(NodeIdentity self, PeerBook book, RoutingTable routing, ushort level = FeatureLevel.Max)
{
    private readonly Lock _bookGate = new();
    private readonly byte[] _layoutHash = SHA256.HashData([.. self.Layout.Hash(), .. RoutingFile.Hash(routing)]);

    /// <summary>Random per process: with it peers tell our reconnects from another process on a copy of our directory.</summary>
    private readonly ulong _process = (ulong)Random.Shared.NextInt64(1, long.MaxValue);

    public PeerHello HelloTo(string peer) => new()
    {
        ClusterId = self.Layout.ClusterId,
        NodeName = self.Name,
        NodeId = self.Number,
        Uuid = self.Uuid,
        Incarnation = self.Incarnation,
        Process = _process,
        LayoutHash = _layoutHash,
        ExpectedPeer = peer,
        Level = level,
    };

    /// <summary>For the connection on which we forward requests of our clients.</summary>
    public ClientHello ClientHello() => new() { ClusterId = self.Layout.ClusterId, ClientName = self.Name, Level = level };

    public HelloAck AckTo(PeerHello hello) => new()
    {
        Protocol = ProtocolVersion.Choose(hello.ProtocolMin, hello.ProtocolMax),
        ClusterId = self.Layout.ClusterId,
        NodeName = self.Name,
        NodeId = self.Number,
        Uuid = self.Uuid,
        Incarnation = self.Incarnation,
        LayoutHash = _layoutHash,
        Epoch = routing.Epoch,
        Level = level,
    };

    /// <summary>Null: let in, and what the peer said about itself is durable.</summary>
    public HelloRefused? Judge(PeerHello hello)
    {
        var names = self.Layout.NodeNames;
        var place = (int)hello.NodeId.Value - 1;
        if (ProtocolVersion.Choose(hello.ProtocolMin, hello.ProtocolMax) == 0)
        {
            return Refuse(HelloRefusal.ProtocolVersion,
                $"{self.Name} speaks protocol {ProtocolVersion.Min} to {ProtocolVersion.Max}, "
                + $"{hello.NodeName} {hello.ProtocolMin} to {hello.ProtocolMax}; upgrade the older one");
        }

        if (hello.ClusterId != self.Layout.ClusterId)
        {
            return Refuse(HelloRefusal.WrongCluster, $"{self.Name} belongs to cluster {self.Layout.ClusterId}, not {hello.ClusterId}; "
                + "check clusterId and the peer addresses");
        }

        if (hello.ExpectedPeer != self.Name)
        {
            return Refuse(HelloRefusal.WrongNode, $"this is {self.Name}, not {hello.ExpectedPeer}; check the peer addresses");
        }

        if (!hello.LayoutHash.Span.SequenceEqual(_layoutHash))
        {
            return Refuse(HelloRefusal.LayoutMismatch,
                $"{hello.NodeName} was first started with other virtualNodes, groups, replicationFactor, node names, zones or weights than "
                + $"{self.Name}; give all nodes the same cluster.json from their first start on");
        }

        if (place < 0 || place >= names.Count || names[place] != hello.NodeName || hello.NodeId == self.Number)
        {
            return Refuse(HelloRefusal.UnknownNode, $"{hello.NodeName} with number {hello.NodeId} is not another node of this cluster");
        }

        lock (_bookGate)
        {
            return book.Admit(new PeerIdentity(hello.NodeId, hello.Uuid, hello.Incarnation, hello.Process)) switch
            {
                null => null,
                HelloRefusal.UuidChanged => Refuse(HelloRefusal.UuidChanged, $"{hello.NodeName} has lost its data directory; "
                    + "remove and rejoin it"),
                var reason => Refuse(reason.Value,
                    $"the data directory of {hello.NodeName} is an old copy (or two processes run as {hello.NodeName}); "
                    + $"stop the other process, or remove {hello.NodeName} and rejoin it"),
            };
        }

        static HelloRefused Refuse(HelloRefusal reason, string detail) => new(reason, detail);
    }
}
