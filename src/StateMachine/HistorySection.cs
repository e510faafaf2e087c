using System.Buffers.Binary;
using KvStore.Storage;

namespace KvStore.StateMachine;

/// <summary>
/// The snapshot section that keeps a group's history: <c>[version 1][history u32 little-endian]</c>, with the group's first
/// virtual node.
/// </summary>
internal static class HistorySection
{
    public const byte Kind = 3;

    private const byte Version = 1;
    private const int Bytes = 1 + sizeof(uint);

    /// <summary>Never 0. The clock of a first entry is milliseconds and a counter: two lives of a group do not share it.</summary>
    public static uint Of(ulong firstClock)
    {
        var hash = new StableHash();
        hash.Add(firstClock);
        uint folded = (uint)(hash.Value ^ (hash.Value >> 32));
        return folded == 0 ? 1 : folded;
    }

    public static SnapshotSection Capture(int virtualNode, uint history)
    {
        byte[] data = new byte[Bytes];
        data[0] = Version;
        BinaryPrimitives.WriteUInt32LittleEndian(data.AsSpan(1), history);
        return new SnapshotSection(virtualNode, Kind, data);
    }

    /// <exception cref="CorruptStorageException">Another version, or not of its length.</exception>
    public static uint Restore(SnapshotSection section) => section.Data.Length == Bytes && section.Data.Span[0] == Version
        ? BinaryPrimitives.ReadUInt32LittleEndian(section.Data.Span[1..])
        : throw new CorruptStorageException("History section has an unknown version or another length.");
}
