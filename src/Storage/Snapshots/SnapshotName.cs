using System.Globalization;

namespace KvStore.Storage;

/// <summary>
/// File names in a group's snapshot directory: <c>[index: 16 hex digits]-[term: hex].snap</c>, so that names sort by index.
/// Anything else there, above all the temporary file of a writer that did not finish, is no snapshot and may be deleted.
/// </summary>
public static class SnapshotName
{
    public const string TemporarySuffix = ".tmp";

    private const string Suffix = ".snap";

    public static string Of(ulong index, ulong term) => $"{index:x16}-{term:x}{Suffix}";

    public static bool TryParse(string name, out ulong index, out ulong term)
    {
        index = 0;
        term = 0;
        ReadOnlySpan<char> rest = name;
        return rest.EndsWith(Suffix, StringComparison.Ordinal)
            && rest.Length > 17 + Suffix.Length
            && ulong.TryParse(rest[..16], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out index)
            && ulong.TryParse(rest[17..^Suffix.Length], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out term)
            && name == Of(index, term);
    }
}
