namespace KvStore.Protocol;

/// <summary>
/// What one connection can do, said in its hello; the ack holds the bits both sides have. A bit concerns the frames of the
/// connection only: what reaches a log goes by <see cref="FeatureLevel"/>.
/// </summary>
[Flags]
public enum FeatureBits : ulong
{
    None = 0,

    /// <summary>Replies in parts, with credit.</summary>
    Streams = 1 << 0,
}
