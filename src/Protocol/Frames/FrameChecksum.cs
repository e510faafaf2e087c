using System.Buffers;
using System.Buffers.Binary;
using System.Numerics;

namespace KvStore.Protocol;

/// <summary>CRC-32C (Castagnoli, as in iSCSI, RFC 3720): start and end inverted. "123456789" gives 0xE3069283.</summary>
internal static class FrameChecksum
{
    public static uint Of(ReadOnlySpan<byte> bytes) => ~Continue(uint.MaxValue, bytes);

    public static uint Of(in ReadOnlySequence<byte> bytes)
    {
        uint register = uint.MaxValue;
        foreach (var segment in bytes)
        {
            register = Continue(register, segment.Span);
        }

        return ~register;
    }

    private static uint Continue(uint register, ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length >= sizeof(ulong))
        {
            register = BitOperations.Crc32C(register, BinaryPrimitives.ReadUInt64LittleEndian(bytes));
            bytes = bytes[sizeof(ulong)..];
        }

        foreach (byte b in bytes)
        {
            register = BitOperations.Crc32C(register, b);
        }

        return register;
    }
}
