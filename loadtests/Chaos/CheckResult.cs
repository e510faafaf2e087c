namespace KvStore.LoadTests.Chaos;

/// <param name="Rule">Which promise was broken.</param>
/// <param name="Key">Where.</param>
/// <param name="Story">The operations that show it.</param>
internal sealed record Violation(string Rule, string Key, string Story);

/// <summary>What a history shows.</summary>
internal sealed record CheckResult
{
    public required int AcknowledgedWrites { get; init; }

    /// <summary>Puts that may have been applied.</summary>
    public required int UnknownWrites { get; init; }

    /// <summary>Puts that certainly were not applied.</summary>
    public required int RefusedWrites { get; init; }

    public required int Reads { get; init; }
    public required int FinalReads { get; init; }

    /// <summary>Answered reads by the level they met, final ones left out.</summary>
    public required IReadOnlyDictionary<string, int> ReadsByLevel { get; init; }

    /// <summary>Reads that allowed less than the level they asked for, and got less.</summary>
    public required int ServedWeaker { get; init; }

    /// <summary>By level, ascending: the ages that were shown, in milliseconds; strong reads have none.</summary>
    public required IReadOnlyDictionary<string, IReadOnlyList<long>> Ages { get; init; }

    /// <summary>Terms seen in a group beyond its first one, summed over the groups.</summary>
    public required int LeaderChanges { get; init; }

    /// <summary>Empty when every promise was kept.</summary>
    public required IReadOnlyList<Violation> Violations { get; init; }
}
