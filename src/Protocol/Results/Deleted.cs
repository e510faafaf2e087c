namespace KvStore.Protocol;

/// <summary>The key is not there any more: <c>[3, revision, existed bool]</c>.</summary>
/// <param name="Revision">Of this write, whether there was something to delete or not.</param>
/// <param name="Existed">The key was there before.</param>
public sealed record Deleted(ulong Revision, bool Existed) : Result(Revision)
{
    internal override byte Kind => 3;

    internal override int Fields => 1;

    internal override void WriteFields(ref MessagePackWriter writer) => writer.Write(Existed);

    internal static bool TryReadFields(ref MessagePackReader reader, ulong revision, int fields, out Result? result)
    {
        result = null;
        if (fields < 1 || !reader.TryRead(out bool existed) || !reader.TrySkip(fields - 1))
        {
            return false;
        }

        result = new Deleted(revision, existed);
        return true;
    }
}
