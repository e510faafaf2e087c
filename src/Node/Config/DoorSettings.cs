namespace KvStore.Node.Config;

/// <summary>Who may be connected at one time, and for how long without saying anything.</summary>
public sealed record DoorSettings
{
    /// <summary>Connections of clients on the REST port, and as many on the binary port.</summary>
    public int Connections { get; init; } = MostConnections;

    /// <summary>Of these, connections from one address (an IPv4 address, or a network of IPv6 with a prefix of 64 bits).</summary>
    public int ConnectionsPerAddress { get; init; } = MostConnections / 2;

    /// <summary>From accept to a complete hello, on the binary and the peer port.</summary>
    public int HelloMs { get; init; } = 5000;

    /// <summary>A connection on which nothing has been asked for so long is closed, on the REST and the binary port.</summary>
    public int IdleSeconds { get; init; } = 300;

    /// <summary>
    /// Places, on each of the two ports, for connections that are told why they are not let in, and, on the REST port, for questions about
    /// the node's health.
    /// </summary>
    public int PlacesForRefusals { get; init; } = MostPlacesForRefusals;

    /// <summary>Connections to the peer port that have not proved to be a node's.</summary>
    public const int StrangersAtPeerPort = 64;

    /// <summary>Connections on the binary port that a node which has proved the cluster secret may have beside those of clients.</summary>
    public const int ConnectionsPerNode = 4;

    public const int MostConnections = 8192;

    private const int MostPlacesForRefusals = 64;

    /// <summary>Descriptors that a process needs whatever it runs: the runtime, its libraries, the log.</summary>
    private const int OfProcess = 256;

    /// <summary>Segments of the log, snapshots that are written, read and fetched, and small files.</summary>
    private const int OfFiles = 64;

    /// <summary>Both directions, peer and binary port, and one of each that takes the place of a broken one.</summary>
    private const int PerOtherNode = 8 + ConnectionsPerNode;

    /// <summary>With fewer a node would serve nobody.</summary>
    private const int LeastConnections = 16;

    /// <summary>
    /// What the descriptors of a process leave for clients when its nodes have kept what they need themselves; null: not enough to serve
    /// anybody.
    /// </summary>
    /// <param name="descriptors">That the process may have open.</param>
    /// <param name="nodesHere">That share them.</param>
    /// <param name="nodes">Of the cluster.</param>
    /// <param name="connections">As configured; 0: as many as there is room for.</param>
    /// <param name="perAddress">As configured; 0: half of the connections.</param>
    public static DoorSettings? Within(long descriptors, int nodesHere, int nodes, int connections, int perAddress)
    {
        long free = ((descriptors - OfProcess) / nodesHere) - OfFiles - StrangersAtPeerPort - (PerOtherNode * (nodes - 1));

        // Twice the places for refusals on both ports: who has to go has not gone the moment it is told to.
        int refusals = (int)Math.Clamp(free / 32, 4, MostPlacesForRefusals);
        long most = (free - (4 * refusals)) / 2;
        int places = connections == 0 ? (int)Math.Min(most, MostConnections) : connections;
        return places > most || most < LeastConnections
            ? null
            : new DoorSettings
            {
                Connections = places,
                ConnectionsPerAddress = perAddress == 0 ? Math.Max(1, places / 2) : perAddress,
                PlacesForRefusals = refusals,
            };
    }

    /// <summary>The least that would do; see <see cref="Within"/>.</summary>
    public static long DescriptorsNeeded(int nodesHere, int nodes, int connections) =>
        OfProcess + (nodesHere * (OfFiles + StrangersAtPeerPort + (PerOtherNode * (nodes - 1L)) + (4L * MostPlacesForRefusals)
            + (2L * Math.Max(connections, LeastConnections))));
}
