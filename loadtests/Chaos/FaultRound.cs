namespace KvStore.LoadTests.Chaos;

/// <summary>One fault: who was struck, when, and when each group took a write again.</summary>
/// <param name="number">Counts from 1.</param>
/// <param name="nodes">Who is struck.</param>
/// <param name="groups">Groups that are probed for.</param>
internal sealed class FaultRound(int number, IReadOnlyList<string> nodes, int groups)
{
    private const long NotYet = 0;
    private readonly long[] _firstAckNs = new long[groups];

    public int Number { get; } = number;

    public IReadOnlyList<string> Nodes { get; } = nodes;

    /// <summary>The last moment at which the struck nodes were seen to be well: the outage is counted from here.</summary>
    public long LastWellNs { get; set; }

    /// <summary>The fault was there. Only writes sent after this moment end the outage of a group.</summary>
    public long StruckNs { get; set; } = long.MaxValue;

    /// <summary>From the end of the fault until all struck nodes were ready; null when they never were.</summary>
    public TimeSpan? Recovery { get; set; }

    /// <summary>Promises of the scenario that were broken in this round, a sentence each.</summary>
    public List<string> Broken { get; } = [];

    /// <summary>Groups that were led by a struck node, as far as their last answer before the fault told.</summary>
    public IReadOnlySet<int> LeaderlessGroups { get; set; } = new HashSet<int>();

    public bool AllAcknowledged => _firstAckNs.All(first => first != NotYet);

    /// <param name="group">Index of the group, from 0.</param>
    /// <param name="callNs">When the write was sent.</param>
    /// <param name="returnNs">When it was acknowledged.</param>
    public void Acknowledged(int group, long callNs, long returnNs)
    {
        if (callNs >= StruckNs)
        {
            Interlocked.CompareExchange(ref _firstAckNs[group], returnNs, NotYet);
        }
    }

    /// <summary>The outage begins anew: what was acknowledged before ends none.</summary>
    public void ForgetAcknowledged()
    {
        for (int group = 0; group < _firstAckNs.Length; group++)
        {
            Interlocked.Exchange(ref _firstAckNs[group], NotYet);
        }
    }

    /// <summary>Fault to first acknowledged write; null when there was none.</summary>
    public TimeSpan? OutageOf(int group) => Interlocked.Read(ref _firstAckNs[group]) is not NotYet and var first
        ? TimeSpan.FromMicroseconds((first - LastWellNs) / 1000.0)
        : null;
}
