using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// Feature levels between nodes: whom this node will not listen to.
/// </summary>
public sealed partial class StoreNode
{
    /// <summary>
    /// The other side of a connection that is being made has said its hello, or acknowledged ours. Null: welcome. Otherwise the
    /// connection is refused or given up with these words: the two nodes share a group that is written at a level which the peer
    /// does not know. By the group's own members: a table may give a node a place in it long before it is a member, or still after, and the
    /// peer may be a voter in good standing of other groups. The connection is one for all of them, so whoever is a member
    /// and went back behind the level of one is away from all that it shares with this node, as if it were down. Any thread.
    /// </summary>
    /// <param name="peer">Who.</param>
    /// <param name="incarnation">Which start of its folder.</param>
    /// <param name="level">Highest feature level of its process.</param>
    /// <param name="wallMs">What its wall clock shows, unix milliseconds; 0 when it does not say.</param>
    public HelloRefused? OnPeerHello(NodeId peer, ulong incarnation, ushort level, ulong wallMs = 0)
    {
        if (ClocksApart(peer, wallMs) is { } apart)
        {
            return apart;
        }

        Shared.Peers.Said(peer, incarnation, level);
        foreach (ReplicaReader replica in _replicas.InOrder)
        {
            if (replica.RaisedTo > level && replica.HasMemberOn(peer))
            {
                return new HelloRefused(
                    HelloRefusal.ProtocolVersion,
                    $"group {replica.Address.Group} is written at feature level {replica.RaisedTo} and {NameOf(peer)} knows {level}; upgrade {NameOf(peer)}");
            }
        }

        return null;
    }
}
