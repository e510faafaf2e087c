using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Testing;

/// <summary>What a test says about its cluster. The defaults make one that starts fast and elects fast.</summary>
public sealed record KvTestClusterOptions
{
    /// <summary>1 to 9. They are called n1, n2, …</summary>
    public int Nodes { get; init; } = 3;

    /// <summary>Replicas of each group; 0 means three, or one where there are fewer than three nodes.</summary>
    public int ReplicationFactor { get; init; }

    /// <summary>Raft groups, 1 to 64.</summary>
    public int Groups { get; init; } = 4;

    /// <summary>Where the nodes keep their data; null means in memory, where it goes with the cluster.</summary>
    public string? Folder { get; init; }

    /// <summary>Of each disk that is memory, in bytes.</summary>
    public long DiskBytes { get; init; } = 1L << 30;

    /// <summary>
    /// Without word from a leader for so long (and up to twice as long), a node asks for votes; a heartbeat is a sixth of it. Longer where the
    /// machine is busy and elections are none of the test's business.
    /// </summary>
    public TimeSpan ElectionTimeout { get; init; } = TimeSpan.FromMilliseconds(480);

    /// <summary>How long <see cref="KvTestCluster.StartAsync(KvTestClusterOptions, CancellationToken)"/> and the other calls wait for the nodes.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Where the nodes log to; nowhere unless said otherwise.</summary>
    public ILoggerFactory Logs { get; init; } = NullLoggerFactory.Instance;
}
