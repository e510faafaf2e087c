using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// What a node says of its disk, behind the items of every payload of answers:
/// <code>
/// disk = [ageMs]      ageMs u32: age of the oldest write that is not durable
/// </code>
/// Fields may be added at the end. A node of feature level 1 cannot read a payload that has it, and never sends one.
/// </summary>
/// <param name="AgeMs">At least <see cref="DiskWatch.SickAfterMs"/> while the disk is sick.</param>
internal readonly record struct DiskReport(uint AgeMs)
{
    /// <summary>From this feature level on a node sends it, and passes over what it does not know.</summary>
    public const ushort Since = 2;

    private const int Fields = 1;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(Fields);
        writer.Write(AgeMs);
    }

    /// <summary>False: not this; whatever it is may be passed over.</summary>
    public static bool TryRead(ref MessagePackReader reader, out DiskReport report)
    {
        report = default;
        if (!reader.TryReadArrayHeader(out int fields) || fields < Fields || !reader.TryRead(out uint ageMs) || !reader.TrySkip(fields - Fields))
        {
            return false;
        }

        report = new DiskReport(ageMs);
        return true;
    }
}
