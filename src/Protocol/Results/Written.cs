namespace KvStore.Protocol;

/// <summary>A value was written: <c>[2, revision, created bool]</c>.</summary>
/// <param name="Revision">Of this write.</param>
/// <param name="Created">The key was not there before.</param>
public sealed record Written(ulong Revision, bool Created) : Result(Revision)
{
    internal override byte Kind => 2;

    internal override int Fields => 1;

    internal override void WriteFields(ref MessagePackWriter writer) => writer.Write(Created);

    internal static bool TryReadFields(ref MessagePackReader reader, ulong revision, int fields, out Result? result)
    {
        result = null;
        if (fields < 1 || !reader.TryRead(out bool created) || !reader.TrySkip(fields - 1))
        {
            return false;
        }

        result = new Written(revision, created);
        return true;
    }
}
