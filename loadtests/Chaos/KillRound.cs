namespace KvStore.LoadTests.Chaos;

/// <summary>One kill and what came after it. Times are the recorder's.</summary>
/// <param name="number">1, 2, 3 …</param>
/// <param name="nodes">Who was killed.</param>
/// <param name="groups">How many groups are waited for.</param>
internal sealed class KillRound(int number, IReadOnlyList<string> nodes, int groups)
{
    private const long NotYet = 0;
    private readonly long[] _firstAckNs = new long[groups];

    public int Number { get; } = number;

    public IReadOnlyList<string> Nodes { get; } = nodes;

    /// <summary>The last moment at which a process to be killed was seen alive: the outage is counted from here.</summary>
    public long LastAliveNs { get; set; }

    /// <summary>All of them were seen dead. Only writes sent after this moment end the outage of a group.</summary>
    public long DeadNs { get; set; } = long.MaxValue;

    /// <summary>From the start of the restart until all killed nodes were ready; null when they never were.</summary>
    public TimeSpan? Restart { get; set; }

    /// <summary>Groups that were led by a killed node, as far as their last answer before the kill told.</summary>
    public IReadOnlySet<int> LeaderlessGroups { get; set; } = new HashSet<int>();

    public bool AllAcknowledged => _firstAckNs.All(first => first != NotYet);

    /// <param name="group">Index of the group, from 0.</param>
    /// <param name="callNs">When the write was sent.</param>
    /// <param name="returnNs">When it was acknowledged.</param>
    public void Acknowledged(int group, long callNs, long returnNs)
    {
        if (callNs >= DeadNs)
        {
            Interlocked.CompareExchange(ref _firstAckNs[group], returnNs, NotYet);
        }
    }

    /// <summary>Kill to first acknowledged write; null when there was none.</summary>
    public TimeSpan? OutageOf(int group) => Interlocked.Read(ref _firstAckNs[group]) is not NotYet and var first
        ? TimeSpan.FromMicroseconds((first - LastAliveNs) / 1000.0)
        : null;
}
