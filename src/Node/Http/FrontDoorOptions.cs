using System.Net;
using KvStore.Node.Config;
using KvStore.Node.Peers;

namespace KvStore.Node.Http;

/// <summary>What the front doors of one node are told. Http is listened on first, Binary second; a port may be 0.</summary>
public sealed record FrontDoorOptions(ClusterConfig Config, string NodeName, IPEndPoint Http, IPEndPoint Binary)
{
    /// <summary>What the peer port has counted.</summary>
    public Func<PeerCounters> Peers { get; init; } = static () => default;
}
