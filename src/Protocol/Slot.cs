using System.Runtime.CompilerServices;

namespace KvStore.Protocol;

/// <summary>
/// Slot of a key: CRC16/XMODEM of its hash tag, or of the whole key, mod 16,384. This is the Redis Cluster rule to the bit, so a
/// cluster-aware Redis client computes the same number.
/// </summary>
public static class Slot
{
    // CRC16/XMODEM: polynomial 0x1021, start 0, nothing reflected, nothing inverted.
    private const ushort Polynomial = 0x1021;
    private static readonly ushort[] Table = BuildTable();

    /// <summary>Slot 0…16,383 of a key. Keys with the same hash tag have the same slot.</summary>
    public static int Of(ReadOnlySpan<byte> key) => Crc16(HashTag(key)) & (Limits.SlotCount - 1);

    /// <summary>CRC16/XMODEM; the published check value for "123456789" is 0x31C3.</summary>
    // Without the attribute the loop runs its first thousands of calls unoptimised, and every request passes here.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ushort Crc16(ReadOnlySpan<byte> bytes)
    {
        var table = Table;
        uint crc = 0;
        foreach (byte b in bytes)
        {
            crc = ((crc << 8) & 0xFFFF) ^ table[(byte)(crc >> 8) ^ b];
        }

        return (ushort)crc;
    }

    /// <summary>
    /// What is hashed: the bytes between the first '{' and the next '}' after it; the whole key when either is missing or
    /// nothing lies between them. A second pair is never looked at.
    /// </summary>
    public static ReadOnlySpan<byte> HashTag(ReadOnlySpan<byte> key)
    {
        int open = key.IndexOf((byte)'{');
        if (open < 0)
        {
            return key;
        }

        var rest = key[(open + 1)..];
        int length = rest.IndexOf((byte)'}');
        return length > 0 ? rest[..length] : key;
    }

    private static ushort[] BuildTable()
    {
        var table = new ushort[256];
        for (int i = 0; i < table.Length; i++)
        {
            int crc = i << 8;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc & 0x8000) != 0 ? (crc << 1) ^ Polynomial : crc << 1;
            }

            table[i] = (ushort)crc;
        }

        return table;
    }
}
