namespace KvStore.Protocol;

/// <summary>Bits of a hello. What a bit stands for is used on a connection when both sides have said it.</summary>
public static class FeatureBits
{
    public const ulong None = 0;

    /// <summary>Answers in parts, cancelling, going away: the frame kinds from <see cref="FrameKind.Item"/> on.</summary>
    public const ulong Streams = 1 << 0;

    /// <summary>Everything this version has.</summary>
    public const ulong Supported = Streams;
}
