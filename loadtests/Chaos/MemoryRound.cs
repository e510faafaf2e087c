namespace KvStore.LoadTests.Chaos;

/// <summary>What one filling and emptying of the memory came to.</summary>
internal sealed record MemoryRound
{
    /// <summary>Writes that were acknowledged, and the bytes of their values.</summary>
    public required long Taken { get; init; }

    public required long TakenBytes { get; init; }

    /// <summary>Writes that were refused for want of memory.</summary>
    public required long Refused { get; init; }

    /// <summary>Refused, and not said to be certainly not applied.</summary>
    public required long RefusedUnsure { get; init; }

    /// <summary>Reads of what was acknowledged, while it was full.</summary>
    public required long Read { get; init; }

    public required long Deleted { get; init; }

    /// <summary>Of all nodes, when the round was over; null when one was not there.</summary>
    public required long? ResidentBytes { get; init; }
}
