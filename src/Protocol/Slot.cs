namespace KvStore.Protocol;

/// <summary>STUB. Slot of a key: CRC16/XMODEM of its hash tag, or of the whole key, mod 16,384: the Redis Cluster rule.</summary>
public static class Slot
{
    public static int Of(ReadOnlySpan<byte> key) => throw new NotSupportedException();
}
