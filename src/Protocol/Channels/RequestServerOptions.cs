namespace KvStore.Protocol;

public sealed record RequestServerOptions
{
    /// <summary>
    /// Requests of one connection handed over and not answered. When reached, nothing more is read: TCP slows the client down.
    /// </summary>
    public int MaxInFlight { get; init; } = 1024;

    /// <summary>
    /// Encoded replies the transport has not taken yet. When reached, nothing more is read; at twice as much, values read for this
    /// connection are not kept either: those reads are answered Overloaded.
    /// </summary>
    public int MaxWaitingBytes { get; init; } = 16 << 20;

    public int MaxFrameBytes { get; init; } = Limits.MaxRequestBytes;
}
