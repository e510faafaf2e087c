namespace KvStore.Protocol;

/// <summary>A counter was changed: <c>[4, revision, number]</c>.</summary>
/// <param name="Revision">Of this write.</param>
/// <param name="Number">The counter after it.</param>
public sealed record Counted(ulong Revision, long Number) : Result(Revision)
{
    internal override byte Kind => 4;

    internal override int Fields => 1;

    internal override void WriteFields(ref MessagePackWriter writer) => writer.Write(Number);

    internal static bool TryReadFields(ref MessagePackReader reader, ulong revision, int fields, out Result? result)
    {
        result = null;
        if (fields < 1 || !reader.TryRead(out long number) || !reader.TrySkip(fields - 1))
        {
            return false;
        }

        result = new Counted(revision, number);
        return true;
    }
}
