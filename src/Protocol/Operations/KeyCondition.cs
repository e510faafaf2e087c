namespace KvStore.Protocol;

/// <summary>What a transaction may ask of a key. Numbers are on the wire and in logs.</summary>
public enum KeyConditionKind : byte
{
    RevisionIs = 1,
    Exists = 2,
    Absent = 3,

    /// <summary>It has these bytes, whatever their content type.</summary>
    ValueIs = 4,

    /// <summary>It has these bytes under this content type.</summary>
    StoredIs = 5,
}

/// <summary>
/// A condition of a transaction: <c>[kind, key bin]</c>, and behind it the revision or the value bin of kinds that have one; a value is
/// compared byte by byte.
/// </summary>
/// <param name="Key">1 to 2,048 bytes.</param>
/// <param name="Kind">What is asked.</param>
/// <param name="Revision">0 for kinds without one.</param>
/// <param name="Value">Empty for kinds without one; in the layout of <see cref="StoredValue"/> when the content type counts.</param>
public readonly record struct KeyCondition(ReadOnlyMemory<byte> Key, KeyConditionKind Kind, ulong Revision, ReadOnlyMemory<byte> Value)
{
    public static KeyCondition RevisionIs(ReadOnlyMemory<byte> key, ulong revision) => new(key, KeyConditionKind.RevisionIs, revision, default);

    public static KeyCondition Exists(ReadOnlyMemory<byte> key) => new(key, KeyConditionKind.Exists, 0, default);

    public static KeyCondition Absent(ReadOnlyMemory<byte> key) => new(key, KeyConditionKind.Absent, 0, default);

    public static KeyCondition ValueIs(ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> value) => new(key, KeyConditionKind.ValueIs, 0, value);

    /// <param name="key">1 to 2,048 bytes.</param>
    /// <param name="value">At most 1 MiB.</param>
    /// <param name="contentType">Null means application/octet-stream.</param>
    public static KeyCondition StoredIs(ReadOnlyMemory<byte> key, ReadOnlySpan<byte> value, string? contentType) =>
        new(key, KeyConditionKind.StoredIs, 0, StoredValue.Of(contentType, value));

    internal void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(FieldsOf(Kind));
        writer.Write((uint)Kind);
        writer.Write(Key.Span);
        if (Kind == KeyConditionKind.RevisionIs)
        {
            writer.Write(Revision);
        }
        else if (HasValue(Kind))
        {
            writer.Write(Value.Span);
        }
    }

    internal static bool TryRead(ref BodyReader reader, out KeyCondition condition)
    {
        condition = default;
        ulong revision = 0;
        ReadOnlyMemory<byte> value = default;
        if (!reader.TryReadCount(3, out int fields) || !reader.TryRead(out byte number)
            || number is < (byte)KeyConditionKind.RevisionIs or > (byte)KeyConditionKind.StoredIs)
        {
            return false;
        }

        var kind = (KeyConditionKind)number;
        if (fields != FieldsOf(kind) || !reader.TryReadBin(out ReadOnlyMemory<byte> key)
            || (kind == KeyConditionKind.RevisionIs && !reader.TryRead(out revision)) || (HasValue(kind) && !reader.TryReadBin(out value))
            || (kind == KeyConditionKind.StoredIs && !StoredValue.IsCanonical(value.Span)))
        {
            return false;
        }

        condition = new KeyCondition(key, kind, revision, value);
        return true;
    }

    private static int FieldsOf(KeyConditionKind kind) => kind is KeyConditionKind.Exists or KeyConditionKind.Absent ? 2 : 3;

    private static bool HasValue(KeyConditionKind kind) => kind is KeyConditionKind.ValueIs or KeyConditionKind.StoredIs;
}
