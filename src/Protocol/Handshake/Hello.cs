namespace KvStore.Protocol;

/// <summary>Numbers of the protocol above the frames. Both sides say the range they speak; the highest common one is used.</summary>
public static class ProtocolVersion
{
    public const int Min = 1;
    public const int Max = 1;

    /// <summary>The highest version both ranges hold, or 0 when there is none.</summary>
    public static int Choose(int min, int max)
    {
        int chosen = Math.Min(max, Max);
        return chosen >= Math.Max(min, Min) ? chosen : 0;
    }
}

/// <summary>What a node says first when it dials another node's peer port.</summary>
public sealed record PeerHello
{
    public int ProtocolMin { get; init; } = ProtocolVersion.Min;
    public int ProtocolMax { get; init; } = ProtocolVersion.Max;
    public required string ClusterId { get; init; }
    public required string NodeName { get; init; }
    public required NodeId NodeId { get; init; }

    /// <summary>Identity of the data directory: another uuid under a known name means that the node has lost its data.</summary>
    public required Guid Uuid { get; init; }

    /// <summary>Raised at every start; a lower one is an old process or a restored copy.</summary>
    public required ulong Incarnation { get; init; }

    /// <summary>
    /// Random per process: tells a reconnect from a second process that claims the same incarnation (a copied directory).
    /// </summary>
    public required ulong Process { get; init; }

    /// <summary>Hash of cluster id, virtual nodes, groups, replication factor and names; see the cluster layout.</summary>
    public required ReadOnlyMemory<byte> LayoutHash { get; init; }

    /// <summary>Whom the dialler believes to reach: an address may have been given to another node since.</summary>
    public required string ExpectedPeer { get; init; }

    public FeatureBits Features { get; init; }

    /// <summary>A random number where the cluster has a secret, otherwise empty.</summary>
    public ReadOnlyMemory<byte> Credentials { get; init; }

    /// <summary>Highest feature level of this process; a hello without one comes from a build of the first.</summary>
    public ushort Level { get; init; } = FeatureLevel.Max;

    /// <summary>The starts that the data directory remembers, this one included; empty: a build that keeps no record of them.</summary>
    public IReadOnlyList<FolderStart> Starts { get; init; } = [];

    /// <summary>What its wall clock shows, unix milliseconds; 0: a build that does not say it.</summary>
    public ulong WallMs { get; init; }
}

/// <summary>What a client, or a node that forwards a request, says first on the binary port.</summary>
public sealed record ClientHello
{
    public int ProtocolMin { get; init; } = ProtocolVersion.Min;
    public int ProtocolMax { get; init; } = ProtocolVersion.Max;

    /// <summary>Empty: any cluster will do.</summary>
    public string ClusterId { get; init; } = string.Empty;

    /// <summary>For logs and lists of connections.</summary>
    public string ClientName { get; init; } = string.Empty;

    public FeatureBits Features { get; init; }

    /// <summary>Of a node that forwards and has a cluster secret a random number, otherwise empty.</summary>
    public ReadOnlyMemory<byte> Credentials { get; init; }

    /// <summary>Highest feature level of this process; a hello without one comes from a build of the first.</summary>
    public ushort Level { get; init; } = FeatureLevel.Max;
}

/// <summary>The connection is accepted; who answers.</summary>
public sealed record HelloAck
{
    public required int Protocol { get; init; }
    public required string ClusterId { get; init; }
    public required string NodeName { get; init; }
    public required NodeId NodeId { get; init; }
    public required Guid Uuid { get; init; }
    public required ulong Incarnation { get; init; }
    public required ReadOnlyMemory<byte> LayoutHash { get; init; }

    /// <summary>Bits both sides have.</summary>
    public FeatureBits Features { get; init; }

    /// <summary>Routing epoch of the answering node.</summary>
    public ulong Epoch { get; init; }

    /// <summary>Highest feature level of this process; a hello without one comes from a build of the first.</summary>
    public ushort Level { get; init; } = FeatureLevel.Max;

    /// <summary>On the peer port: random per process, as in a hello; 0: a build that does not say it.</summary>
    public ulong Process { get; init; }

    /// <summary>On the peer port: the starts that the data directory remembers, as in a hello.</summary>
    public IReadOnlyList<FolderStart> Starts { get; init; } = [];

    /// <summary>On the peer port: what its wall clock shows, as in a hello.</summary>
    public ulong WallMs { get; init; }
}

/// <summary>Why a hello was not accepted. Numbers are on the wire.</summary>
public enum HelloRefusal : byte
{
    Malformed = 1,

    /// <summary>No protocol version in common.</summary>
    ProtocolVersion = 2,
    WrongCluster = 3,

    /// <summary>The dialler expected another node at this address.</summary>
    WrongNode = 4,

    /// <summary>The dialler is not a node of this cluster.</summary>
    UnknownNode = 5,

    /// <summary>Same cluster id, other virtual nodes, groups, replication factor or names.</summary>
    LayoutMismatch = 6,

    /// <summary>A known name with another data directory: it has lost its data and must be removed and rejoined.</summary>
    UuidChanged = 7,

    /// <summary>An incarnation already passed, or the same one from another process: the data directory is an old copy.</summary>
    IncarnationTooOld = 8,
    Unauthenticated = 9,

    /// <summary>Not ready to accept; try again later.</summary>
    Starting = 10,
    TooManyConnections = 11,

    /// <summary>So many more starts than were known are not believed: somebody else speaks for the node.</summary>
    IncarnationTooHigh = 12,

    /// <summary>A new cluster takes its time from its nodes' wall clocks, and two of them differ by more than a minute.</summary>
    ClocksApart = 13,
}

/// <summary>A reason for programs and a sentence, with the remedy, for people.</summary>
public sealed record HelloRefused(HelloRefusal Reason, string Detail)
{
    /// <summary>
    /// A sentence repeats what it refuses, and that a stranger chose: what is longer is cut, so that a refusal always fits into its frame, and
    /// characters that end a line or direct a terminal are replaced, so that it is one line wherever it is shown.
    /// </summary>
    public const int MaxDetailLength = 1000;

    public string Detail { get; } = OneLine(Detail);

    private static string OneLine(string text)
    {
        int length = Math.Min(text.Length, MaxDetailLength);

        // Half a pair is no text, and could not be sent.
        length -= length < text.Length && char.IsHighSurrogate(text[length - 1]) ? 1 : 0;
        return string.Concat(text[..length].EnumerateRunes().Select(rune => Excerpt.IsPlain(rune) ? rune.ToString() : "?"));
    }
}
