using System.Buffers.Binary;
using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.StateMachine;

/// <summary>
/// The snapshot section that keeps a group's feature level: <c>[version 1][level u16 little-endian]</c>, with the group's first
/// virtual node. Written from the second level on: builds of the first know neither it nor anything else that would follow.
/// </summary>
internal static class LevelSection
{
    public const byte Kind = 4;

    private const byte Version = 1;
    private const int Bytes = 1 + sizeof(ushort);

    public static SnapshotSection Capture(int virtualNode, ushort level)
    {
        byte[] data = new byte[Bytes];
        data[0] = Version;
        BinaryPrimitives.WriteUInt16LittleEndian(data.AsSpan(1), level);
        return new SnapshotSection(virtualNode, Kind, data);
    }

    /// <exception cref="CorruptStorageException">Another version, not of its length, or a level that is not written.</exception>
    public static ushort Restore(SnapshotSection section)
    {
        if (section.Data.Length != Bytes || section.Data.Span[0] != Version)
        {
            throw new CorruptStorageException("Level section has an unknown version or another length.");
        }

        ushort level = BinaryPrimitives.ReadUInt16LittleEndian(section.Data.Span[1..]);
        return level is > FeatureLevel.First and <= FeatureLevel.Max
            ? level
            : throw new CorruptStorageException($"Level section says {level}; this program writes 2 to {FeatureLevel.Max}.");
    }
}
