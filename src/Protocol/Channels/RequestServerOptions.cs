namespace KvStore.Protocol;

public sealed record RequestServerOptions
{
    /// <summary>
    /// Requests of one connection handed over and not answered. When reached, nothing more is read: TCP slows the client down.
    /// </summary>
    public int MaxInFlight { get; init; } = 1024;

    /// <summary>
    /// Encoded replies the transport has not taken yet. When reached, nothing more is read; at twice as much, values read for this
    /// connection are not kept either: those reads are answered Overloaded, and those of a transaction, which has been executed, Superseded.
    /// </summary>
    public int MaxWaitingBytes { get; init; } = 16 << 20;

    public int MaxFrameBytes { get; init; } = Limits.MaxRequestBytes;

    /// <summary>Both hellos had <see cref="FeatureBits.Streams"/>. Without it those frames are violations and none is sent.</summary>
    public bool Streams { get; init; }

    /// <summary>Answers in parts open on one connection, beside MaxInFlight. One more is answered Overloaded.</summary>
    public int MaxStreams { get; init; } = 64;

    /// <summary>
    /// Bytes of items of one connection that its transport has not taken. When reached, no source is asked for more. One item may
    /// pass it.
    /// </summary>
    public int MaxStreamBytes { get; init; } = 256 << 10;

    /// <summary>
    /// An answer in parts that the client could have had more of and has taken nothing of for so long is ended, with Timeout.
    /// </summary>
    public int StreamStallMs { get; init; } = 30_000;

    /// <summary>
    /// From the first to the last byte of a frame, while we read; of a large frame also while we do not because the client takes no
    /// replies. Longer: the connection is closed.
    /// </summary>
    public int FrameTimeoutMs { get; init; } = 10_000;

    /// <summary>How often stalled answers are looked for.</summary>
    public int ClockMs { get; init; } = 1_000;
}
