namespace KvStore.Protocol;

/// <summary>Nothing was written, and this is what the key has: <c>[6, revision]</c>.</summary>
/// <param name="Revision">The key's current one; 0 when it is absent.</param>
public sealed record Current(ulong Revision) : Result(Revision)
{
    internal override byte Kind => 6;

    internal override int Fields => 0;

    internal override void WriteFields(ref MessagePackWriter writer)
    {
    }

    internal static bool TryReadFields(ref MessagePackReader reader, ulong revision, int fields, out Result? result)
    {
        result = new Current(revision);
        return reader.TrySkip(fields);
    }
}
