namespace KvStore.Protocol;

/// <summary>
/// Largest sizes taken, bytes; larger ones are refused as TooLarge. At most what the protocol allows (<see cref="Limits"/>). What was
/// written under larger limits stays and can be read.
/// </summary>
public sealed record RequestLimits
{
    public int KeyBytes { get; init; } = Limits.MaxKeyBytes;

    public int ValueBytes { get; init; } = Limits.MaxValueBytes;

    /// <summary>All keys and values of a batch.</summary>
    public int RequestBytes { get; init; } = Limits.MaxRequestBytes;
}
