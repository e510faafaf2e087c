using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>What a node is short of.</summary>
[Flags]
internal enum Shortage : uint
{
    None = 0,

    /// <summary>Its disk has room for deletes and snapshots, and for nothing that grows.</summary>
    Disk = 1,

    /// <summary>Its disk takes no entries.</summary>
    DiskFull = 2,
    Memory = 4,
}

/// <summary>
/// What a node says of its room, behind <see cref="DiskReport"/> in payloads of answers, and behind the items of payloads of messages that
/// are no appends, votes among them:
/// <code>
/// room = [shortage]      shortage u32: a bit for each Shortage; bits that are not known count for nothing
/// </code>
/// Fields may be added at the end. A node of feature level 1 is not sent it, and never says it.
/// </summary>
internal readonly record struct RoomReport(Shortage Shortage)
{
    public const ushort Since = 2;

    private const int Fields = 1;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(Fields);
        writer.Write((uint)Shortage);
    }

    /// <summary>False: not this; whatever it is may be passed over.</summary>
    public static bool TryRead(ref MessagePackReader reader, out RoomReport report)
    {
        report = default;
        if (!reader.TryReadArrayHeader(out int fields) || fields < Fields || !reader.TryRead(out uint shortage) || !reader.TrySkip(fields - Fields))
        {
            return false;
        }

        report = new RoomReport((Shortage)shortage);
        return true;
    }
}
