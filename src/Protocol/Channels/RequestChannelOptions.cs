namespace KvStore.Protocol;

public sealed record RequestChannelOptions
{
    /// <summary>Requests sent and not answered. When full, a send ends with Full at once.</summary>
    public int MaxInFlight { get; init; } = 4096;

    /// <summary>Encoded bytes the transport has not taken yet. When full, a send ends with Full at once.</summary>
    public int MaxWaitingBytes { get; init; } = 16 << 20;

    public int MaxFrameBytes { get; init; } = Limits.MaxRequestBytes;

    /// <summary>Both hellos had <see cref="FeatureBits.Streams"/>. Without it those frames are violations and none is sent.</summary>
    public bool Streams { get; init; }

    /// <summary>Answers in parts open at once, beside MaxInFlight. When full, opening one more ends with Full at once.</summary>
    public int MaxStreams { get; init; } = 64;

    /// <summary>
    /// Waited beyond the request's own time: the server counts that time itself and then answers with a reason, which is worth
    /// more than our silence.
    /// </summary>
    public int ReplyGraceMs { get; init; } = 250;

    /// <summary>A request whose caller gave up keeps its id; after this long without a reply the connection is closed.</summary>
    public int UnresponsiveAfterMs { get; init; } = 30_000;

    /// <summary>
    /// Nothing has come for so long: the other side is asked for a sign of life. 0: never, and a link that swallows everything is
    /// noticed only by the requests that are lost on it.
    /// </summary>
    public int PingAfterMs { get; init; }

    /// <summary>The time for that sign. Without one the connection is closed as Unresponsive.</summary>
    public int PongWithinMs { get; init; } = 1500;

    /// <summary>
    /// Who awaits a reply goes on, on the thread that has read it, before the next one is read: for callers that pass it on and wait for nothing.
    /// </summary>
    public bool CallersContinueHere { get; init; }

    /// <summary>How often deadlines are looked at.</summary>
    public int DeadlineResolutionMs { get; init; } = 20;

    /// <summary>Feature level the other side said in its ack: what is sent must not need a higher one.</summary>
    public ushort PeerLevel { get; init; } = FeatureLevel.First;
}
