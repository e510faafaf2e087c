using System.Globalization;

namespace KvStore.Client;

/// <summary>
/// Which write a value comes from. Higher is later within a group of keys; equal means unchanged. It is the number that REST gives as ETag
/// and <c>Kv-Revision</c>.
/// </summary>
public readonly record struct KvRevision(ulong Value) : IComparable<KvRevision>
{
    /// <summary>Of a key that is not there.</summary>
    public static readonly KvRevision Absent;

    public bool IsAbsent => Value == 0;

    public int CompareTo(KvRevision other) => Value.CompareTo(other.Value);

    public override string ToString() => Value.ToString(CultureInfo.InvariantCulture);
}
