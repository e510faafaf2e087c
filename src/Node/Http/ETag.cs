using System.Globalization;

namespace KvStore.Node.Http;

/// <summary>
/// Entity tags (RFC 9110 8.8.3) of keys: strong, and the revision in quotes. Clients must treat them as opaque; we recognise only
/// exactly what we hand out, so "007" is nobody's tag.
/// </summary>
internal static class ETag
{
    /// <summary>A well-formed tag that we never gave out matches nothing: no write ever gets this revision.</summary>
    public const ulong NoRevision = ulong.MaxValue;

    public static string Of(ulong revision) => $"\"{revision}\"";

    /// <summary>Revision of one strong tag.</summary>
    public static ulong RevisionOf(ReadOnlySpan<char> tag)
    {
        ReadOnlySpan<char> digits = tag[1..^1];
        return digits.Length > 0 && digits[0] is >= '1' and <= '9'
            && ulong.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out ulong revision)
            ? revision
            : NoRevision;
    }

    public static bool IsStrongOrAny(ReadOnlySpan<char> value) => value is "*" || (TryTakeTag(ref value, out _) && value.IsEmpty);

    /// <summary>"*", or tags separated by commas, weak ones allowed: what If-None-Match of a read takes.</summary>
    public static bool IsList(ReadOnlySpan<char> value) => TryMatch(value, NoRevision, out _);

    /// <summary>Whether a list from <see cref="IsList"/> names this revision, by weak comparison (RFC 9110 13.1.2).</summary>
    public static bool Matches(ReadOnlySpan<char> list, ulong revision) => TryMatch(list, revision, out bool matches) && matches;

    private static bool TryMatch(ReadOnlySpan<char> list, ulong revision, out bool matches)
    {
        matches = list is "*";
        if (matches)
        {
            return true;
        }

        while (true)
        {
            list = list.TrimStart(" \t");
            if (list.StartsWith("W/", StringComparison.Ordinal))
            {
                list = list[2..];
            }

            if (!TryTakeTag(ref list, out ReadOnlySpan<char> tag))
            {
                return false;
            }

            matches |= RevisionOf(tag) == revision;
            list = list.TrimStart(" \t");
            if (list.IsEmpty)
            {
                return true;
            }

            if (list[0] != ',')
            {
                return false;
            }

            list = list[1..];
        }
    }

    // opaque-tag = DQUOTE *( %x21 / %x23-7E / obs-text ) DQUOTE
    private static bool TryTakeTag(ref ReadOnlySpan<char> text, out ReadOnlySpan<char> tag)
    {
        tag = default;
        if (text.Length < 2 || text[0] != '"')
        {
            return false;
        }

        int end = text[1..].IndexOf('"') + 1;
        if (end < 1 || text[1..end].ContainsAnyInRange('\0', ' ') || text[1..end].Contains('\u007F'))
        {
            return false;
        }

        tag = text[..(end + 1)];
        text = text[(end + 1)..];
        return true;
    }
}
