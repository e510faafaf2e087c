using System.Security.Cryptography;
using KvStore.Protocol;
using KvStore.Replication;
using KvStore.Storage;

namespace KvStore.Node.Peers;

/// <summary>
/// Decides about hellos. A node is let in when it is the one it claims to be, of the same cluster and layout, and not a
/// forgetful copy of a node we knew.
/// </summary>
internal sealed class PeerGate(NodeIdentity self, PeerBook book, RoutingTable routing, ushort level = FeatureLevel.Max, ClusterSecret? secret = null, TimeProvider? time = null)
{
    private readonly Lock _bookGate = new();
    private readonly byte[] _layoutHash = SHA256.HashData([.. self.Layout.Hash(), .. RoutingFile.Hash(routing)]);

    /// <summary>What the nodes of the cluster know; null where it has no secret.</summary>
    public ClusterSecret? Secret => secret;

    public string Self => self.Name;

    /// <summary>What this node's wall clock shows, unix milliseconds.</summary>
    public ulong WallMs => (ulong)Math.Max(0, (time ?? TimeProvider.System).GetUtcNow().ToUnixTimeMilliseconds());

    /// <summary>Hellos and answers to ours whose number of starts was not believed.</summary>
    public long IncarnationsRefused
    {
        get
        {
            lock (_bookGate)
            {
                return book.IncarnationsRefused;
            }
        }
    }

    public PeerHello HelloTo(string peer) => new()
    {
        ClusterId = self.Layout.ClusterId,
        NodeName = self.Name,
        NodeId = self.Number,
        Uuid = self.Uuid,
        Incarnation = self.Incarnation,
        Process = self.Process,
        LayoutHash = _layoutHash,
        ExpectedPeer = peer,
        Level = level,
        Starts = Starts(),
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
        Process = self.Process,
        Starts = Starts(),
        WallMs = WallMs,
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
                + $"{Excerpt.Of(hello.NodeName)} {hello.ProtocolMin} to {hello.ProtocolMax}; upgrade the older one");
        }

        if (hello.ClusterId != self.Layout.ClusterId)
        {
            return Refuse(HelloRefusal.WrongCluster, $"{self.Name} belongs to cluster {self.Layout.ClusterId}, not {Excerpt.Of(hello.ClusterId)}; "
                + "check clusterId and the peer addresses");
        }

        if (hello.ExpectedPeer != self.Name)
        {
            return Refuse(HelloRefusal.WrongNode, $"this is {self.Name}, not {Excerpt.Of(hello.ExpectedPeer)}; check the peer addresses");
        }

        if (!hello.LayoutHash.Span.SequenceEqual(_layoutHash))
        {
            return Refuse(HelloRefusal.LayoutMismatch,
                $"{Excerpt.Of(hello.NodeName)} was first started with other virtualNodes, groups, replicationFactor, node names, zones or weights than "
                + $"{self.Name}; give all nodes the same cluster.json from their first start on");
        }

        if (place < 0 || place >= names.Count || names[place] != hello.NodeName || hello.NodeId == self.Number)
        {
            return Refuse(HelloRefusal.UnknownNode, $"{Excerpt.Of(hello.NodeName)} with number {hello.NodeId} is not another node of this cluster");
        }

        return Explain(
            hello.NodeName, hello.Incarnation, Admit(new PeerIdentity(hello.NodeId, hello.Uuid, hello.Incarnation, hello.Process), hello.Starts));
    }

    /// <summary>
    /// The same for who answers a hello of ours: a node that lost its data and can reach nobody would otherwise pass for the one we
    /// knew. Null: it is the one, and that is durable. Otherwise nothing may be sent to it.
    /// </summary>
    public HelloRefused? Judge(NodeId peer, HelloAck ack)
    {
        if (ack.ClusterId != self.Layout.ClusterId || ack.NodeId != peer)
        {
            return Refuse(HelloRefusal.WrongNode, $"{Excerpt.Of(ack.NodeName)} of cluster {Excerpt.Of(ack.ClusterId)} with number {ack.NodeId} answers there; "
                + "check the peer addresses");
        }

        return Explain(
            ack.NodeName, ack.Incarnation,
            ack.Process == 0
                ? Recognize(peer, ack.Uuid, ack.Incarnation)
                : Admit(new PeerIdentity(peer, ack.Uuid, ack.Incarnation, ack.Process), ack.Starts));
    }

    /// <summary>A peer has let us in. On a full disk that is not written down before the next time.</summary>
    public void LetInBy(NodeId peer)
    {
        try
        {
            lock (_bookGate)
            {
                self.LetInBy(peer);
            }
        }
        catch (StorageException full) when (full.IsFull)
        {
            // Our last starts are remembered in any case, and this is one of them.
        }
    }

    /// <summary>Starting: what the peer says of itself cannot be written down now, so it is let in when there is room.</summary>
    private HelloRefusal? Admit(PeerIdentity peer, IReadOnlyList<FolderStart> starts)
    {
        try
        {
            lock (_bookGate)
            {
                return book.Admit(peer, starts);
            }
        }
        catch (StorageException full) when (full.IsFull)
        {
            return HelloRefusal.Starting;
        }
    }

    private HelloRefusal? Recognize(NodeId peer, Guid uuid, ulong incarnation)
    {
        lock (_bookGate)
        {
            return book.Recognize(peer, uuid, incarnation);
        }
    }

    private IReadOnlyList<FolderStart> Starts()
    {
        lock (_bookGate)
        {
            return self.Starts;
        }
    }

    private HelloRefused? Explain(string node, ulong incarnation, HelloRefusal? reason) => reason switch
    {
        null => null,
        HelloRefusal.Starting => Refuse(reason.Value,
            $"the disk of {self.Name} is full, it cannot write down which start of {node} this is; it lets {node} in when there is room"),
        HelloRefusal.IncarnationTooHigh => Refuse(reason.Value,
            $"{node} says that it was started {incarnation} times, over {PeerBook.MaxIncarnationJump} more than {self.Name} knows of: somebody else speaks for it; "
            + "see who can reach the peer ports, and give all nodes a cluster secret (security.clusterSecretFile)"),
        HelloRefusal.UuidChanged => Refuse(reason.Value,
            $"{node} has lost its data directory; put its newest folder back, or remove and rejoin it"),
        _ => Refuse(reason.Value,
            $"the data directory of {node} is an old copy (or two processes run as {node}); "
            + $"stop the other process, put the newest folder back, or remove {node} and rejoin it"),
    };

    private static HelloRefused Refuse(HelloRefusal reason, string detail) => new(reason, detail);
}
