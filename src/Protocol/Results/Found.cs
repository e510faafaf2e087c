namespace KvStore.Protocol;

/// <summary>The key has a value: <c>[1, revision, stored value bin]</c>. Revision is that of the value.</summary>
/// <param name="Revision">Of the write that put the value there.</param>
/// <param name="Stored">Value and content type in the layout of <see cref="StoredValue"/>; the value is empty where none was asked for.</param>
public sealed record Found(ulong Revision, ReadOnlyMemory<byte> Stored) : Result(Revision)
{
    internal override byte Kind => 1;

    internal override int Fields => 1;

    public override int HeldBytes => Value.Length;

    public ReadOnlyMemory<byte> Value => StoredValue.ValueOf(Stored);

    /// <summary>Null for application/octet-stream.</summary>
    public string? ContentType => StoredValue.ContentTypeOf(Stored.Span);

    internal override void WriteFields(ref MessagePackWriter writer) => writer.Write(Stored.Span);

    internal static bool TryReadFields(ref MessagePackReader reader, ulong revision, int fields, out Result? result)
    {
        result = null;
        if (fields < 1 || !reader.TryReadBin(int.MaxValue, out ReadOnlySpan<byte> stored) || !StoredValue.IsValid(stored)
            || !reader.TrySkip(fields - 1))
        {
            return false;
        }

        result = new Found(revision, stored.ToArray());
        return true;
    }
}
