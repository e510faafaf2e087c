using System.Buffers.Binary;

namespace KvStore.Raft;

/// <summary>
/// The payload of a no-op that raises the feature level its group may write, from the entry behind it on. A no-op, because builds that
/// know no levels apply one whatever it carries: a log that has gone through such a build is still a log.
/// <code>
/// byte 0       version = 1; raised when the layout changes, old ones stay readable
/// byte 1-2     level, little-endian
/// </code>
/// </summary>
public static class LevelRaise
{
    private const byte Version = 1;
    private const int Bytes = 1 + sizeof(ushort);

    public static byte[] Encode(ushort level)
    {
        byte[] bytes = new byte[Bytes];
        bytes[0] = Version;
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(1), level);
        return bytes;
    }

    /// <summary>False: no raise (the no-op that begins a term), or not written by a version this one knows.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> payload, out ushort level)
    {
        level = 0;
        if (payload.Length != Bytes || payload[0] != Version)
        {
            return false;
        }

        level = BinaryPrimitives.ReadUInt16LittleEndian(payload[1..]);
        return true;
    }
}
