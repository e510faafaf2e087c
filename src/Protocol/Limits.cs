namespace KvStore.Protocol;

/// <summary>Limits that both ends must agree on. Bytes unless said otherwise.</summary>
public static class Limits
{
    public const int MaxKeyBytes = 2048;
    public const int MaxValueBytes = 1 << 20;

    /// <summary>One client request or reply frame: value, key, batch items and envelope.</summary>
    public const int MaxRequestBytes = 4 << 20;

    /// <summary>One frame between peers. Entries above it are impossible: a batch entry is cut at 256 KiB or one request.</summary>
    public const int MaxPeerFrameBytes = 8 << 20;

    /// <summary>The frames before both sides know each other.</summary>
    public const int MaxHelloBytes = 4096;

    /// <summary>A text inside a request or reply (content type, detail). Longer: the body is malformed; writers shorten details.</summary>
    public const int MaxTextBytes = 4096;

    public const int MaxContentTypeBytes = 127;
    public const int MaxBatchItems = 512;

    /// <summary>
    /// The values that the appends of one batch lead to, together: each is kept until the batch is decided, and what leads to it may be
    /// one byte. The append that passes it fails as TooLarge. Part of what an entry means: the same on every replica, for ever.
    /// </summary>
    public const int MaxBatchAppendedBytes = 4 << 20;

    /// <summary>
    /// The values that the reads of one transaction return, together; the read that passes it fails as TooLarge, and nothing is written.
    /// Below the limit of a reply, and part of what an entry means.
    /// </summary>
    public const int MaxTransactionReadBytes = 3 << 20;

    public const int MaxTimeoutMs = 60_000;

    /// <summary>The largest age a bounded read may name: a day, in milliseconds. Who bears more wants the level eventual.</summary>
    public const int MaxStalenessMs = 86_400_000;

    /// <summary>Credit of one answer in parts that is not used up. More is a violation: a sum that overflows is no promise.</summary>
    public const long MaxStreamCreditBytes = int.MaxValue;

    public const int SlotCount = 16_384;
}
