namespace KvStore.LoadTests.Levels;

/// <summary>Who served the reads of one point, and how.</summary>
internal sealed record LevelResult
{
    /// <summary>Of a uniform load over three nodes.</summary>
    public const double LeastNodeShare = 0.25;
    public const double LargestNodeShare = 0.40;

    public required LevelPoint Point { get; init; }
    public required TimeSpan During { get; init; }

    /// <summary>Answered reads by the node that served them, in the order of the cluster file.</summary>
    public required IReadOnlyList<long> ByNode { get; init; }

    /// <summary>Answered at once by the node that was asked, from its own replica.</summary>
    public required long Local { get; init; }

    /// <summary>By the node that was asked, after it had waited for data or for a proof of the leader.</summary>
    public required long Waited { get; init; }

    public required long Forwarded { get; init; }
    public required long Failed { get; init; }

    /// <summary>Rounds all nodes started meanwhile, those of heartbeats included; null when /metrics could not be read.</summary>
    public required double? Rounds { get; init; }

    public long Answers => Local + Waited + Forwarded;

    public double LocalShare => (double)Local / Answers;

    public double? RoundsPerRead => Rounds / Answers;

    public IEnumerable<string> Failures()
    {
        if (Answers == 0)
        {
            yield return $"{Point}: nothing was answered";
            yield break;
        }

        if (LocalShare < Point.LeastLocalShare)
        {
            yield return $"{Point}: {LocalShare:P1} were served without asking the leader; {Point.LeastLocalShare:P0} are promised";
        }

        if (Point.IsServedByAll && ByNode.Any(reads => (double)reads / Answers is < LeastNodeShare or > LargestNodeShare))
        {
            yield return $"{Point}: a node served less than {LeastNodeShare:P0} or more than {LargestNodeShare:P0}";
        }
    }
}
