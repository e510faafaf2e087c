using System.Buffers.Binary;
using System.Numerics;

namespace KvStore.Storage;

/// <summary>
/// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), the checksum of every file of the store. RFC 3720 appendix B.4.
/// </summary>
public static class Crc32C
{
    /// <summary>
    /// Continues a checksum: <c>Append(Append(0, a), b)</c> equals <c>Append(0, ab)</c>. A seed other than 0 binds the bytes to
    /// where they belong, so that intact bytes in the wrong place do not pass.
    /// </summary>
    public static uint Append(uint seed, ReadOnlySpan<byte> data)
    {
        // The standard register starts and ends inverted; inverting here on both sides is what makes the calls chain.
        uint crc = ~seed;
        while (data.Length >= sizeof(ulong))
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(data));
            data = data[sizeof(ulong)..];
        }

        foreach (byte b in data)
        {
            crc = BitOperations.Crc32C(crc, b);
        }

        return ~crc;
    }
}
