using System.Buffers;
using System.Buffers.Text;
using System.Text;

namespace KvStore.Node.Http;

internal enum KeyForm : byte
{
    /// <summary>/v1/kv/{key}: the rest of the path, percent-decoded once.</summary>
    Text,

    /// <summary>/v1/b64/{key}: base64url without padding; addresses any key.</summary>
    Base64Url,
}

/// <summary>
/// The key bytes of a request, taken from the raw target and never from the route value: routing decodes %2F differently from
/// %252F, collapses dot segments and gives up on bytes that are not UTF-8, so two keys would share one address.
/// </summary>
internal static class KeyInUrl
{
    private const string HexDigits = "0123456789abcdefABCDEF";

    private static readonly SearchValues<char> Base64UrlAlphabet =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

    private static readonly SearchValues<char> Hex = SearchValues.Create(HexDigits);

    /// <summary>The path of a request target, without the query.</summary>
    public static ReadOnlySpan<char> PathOf(string rawTarget)
    {
        ReadOnlySpan<char> path = PathAndQueryOf(rawTarget);
        int query = path.IndexOf('?');
        return query < 0 ? path : path[..query];
    }

    /// <summary>Without scheme and authority, which are there when the target came in absolute form (proxies send it so).</summary>
    public static ReadOnlySpan<char> PathAndQueryOf(string rawTarget)
    {
        ReadOnlySpan<char> target = rawTarget;
        if (target.StartsWith("/"))
        {
            return target;
        }

        int authority = target.IndexOf("://");
        int slash = authority < 0 ? -1 : target[(authority + 3)..].IndexOf('/');
        return slash < 0 ? default : target[(authority + 3 + slash)..];
    }

    /// <summary>
    /// A segment that is "." or "..", plain or percent-encoded. Clients, proxies and servers collapse such paths before anybody
    /// sees them, so a key that needs one has no reliable text address.
    /// </summary>
    public static bool HasDotSegment(ReadOnlySpan<char> path)
    {
        // Most paths have no dot at the start of a segment: find out without walking the segments.
        if (path.IndexOf("/.") < 0 && path.IndexOf("/%2", StringComparison.Ordinal) < 0)
        {
            return false;
        }

        foreach (Range range in path.Split('/'))
        {
            ReadOnlySpan<char> segment = path[range];
            int dots = 0;
            while (segment.Length > 0 && dots <= 2)
            {
                if (segment[0] == '.')
                {
                    segment = segment[1..];
                }
                else if (segment.StartsWith("%2e", StringComparison.OrdinalIgnoreCase))
                {
                    segment = segment[3..];
                }
                else
                {
                    break;
                }

                dots++;
            }

            if (segment.Length == 0 && dots is 1 or 2)
            {
                return true;
            }
        }

        return false;
    }

    /// <param name="rawTarget">The request target as it came over the wire.</param>
    /// <param name="prefixSegments">Segments before the key: 2 for /v1/kv/.</param>
    /// <param name="form">How the key is written.</param>
    /// <param name="maxKeyBytes">Longest key taken.</param>
    /// <param name="key">The key, 1…maxKeyBytes bytes, when null is returned.</param>
    public static Problem? Read(string rawTarget, int prefixSegments, KeyForm form, int maxKeyBytes, out byte[] key)
    {
        key = [];
        ReadOnlySpan<char> text = PathOf(rawTarget);
        if (HasDotSegment(text))
        {
            return Problem.DotSegment();
        }

        // Counting slashes instead of comparing the prefix: routing matches "/V1/kv" and "/v1/%6Bv", too.
        for (int slashes = 0; slashes <= prefixSegments; slashes++)
        {
            int slash = text.IndexOf('/');
            if (slash < 0)
            {
                text = default;
                break;
            }

            text = text[(slash + 1)..];
        }

        if (text.IsEmpty)
        {
            return Problem.Invalid("The key is empty: keys have 1 to " + maxKeyBytes + " bytes.");
        }

        return form == KeyForm.Text ? PercentDecode(text, maxKeyBytes, out key) : Base64UrlDecode(text, maxKeyBytes, out key);
    }

    private static Problem? PercentDecode(ReadOnlySpan<char> text, int maxKeyBytes, out byte[] key)
    {
        key = [];
        if (!Ascii.IsValid(text))
        {
            return Problem.Invalid("The key in the URL has characters outside ASCII: percent-encode its UTF-8 bytes.");
        }

        int percents = text.Count('%');
        int length = text.Length - (2 * percents);
        if (length > maxKeyBytes)
        {
            return Problem.KeyTooLong(length, maxKeyBytes);
        }

        if (percents == 0)
        {
            key = new byte[length];
            Encoding.ASCII.GetBytes(text, key);
            return null;
        }

        // Malformed escapes can make the length above too small, even negative; nothing is allocated before all are known to be good.
        for (int i = text.IndexOf('%'), from = i; i >= 0;)
        {
            if (from + 2 >= text.Length || text.Slice(from + 1, 2).ContainsAnyExcept(Hex))
            {
                return Problem.Invalid($"Bad percent-encoding at character {from} of the key: '%' takes two hexadecimal digits.");
            }

            i = text[(from + 3)..].IndexOf('%');
            from += 3 + i;
        }

        byte[] bytes = new byte[length];
        for (int from = 0, to = 0; from < text.Length; to++)
        {
            if (text[from] == '%')
            {
                bytes[to] = (byte)((HexValue(text[from + 1]) << 4) | HexValue(text[from + 2]));
                from += 3;
            }
            else
            {
                bytes[to] = (byte)text[from];
                from++;
            }
        }

        key = bytes;
        return null;
    }

    private static Problem? Base64UrlDecode(ReadOnlySpan<char> text, int maxKeyBytes, out byte[] key)
    {
        key = [];
        if (text.ContainsAnyExcept(Base64UrlAlphabet))
        {
            return Problem.Invalid("The key after /b64/ is not base64url without padding (A-Z a-z 0-9 - _).");
        }

        int length = text.Length / 4 * 3 + (text.Length % 4) switch { 2 => 1, 3 => 2, _ => 0 };
        if (length > maxKeyBytes)
        {
            return Problem.KeyTooLong(length, maxKeyBytes);
        }

        byte[] bytes = new byte[length];
        if (text.Length % 4 == 1
            || Base64Url.DecodeFromChars(text, bytes, out _, out int written) != OperationStatus.Done
            || written != length
            || !IsCanonical(text, bytes))
        {
            return Problem.Invalid("The key after /b64/ is cut short or has stray bits in its last character.");
        }

        key = bytes;
        return null;
    }

    // Two spellings of one key would be harmless here, but a cache or an access rule in front of us could tell them apart.
    private static bool IsCanonical(ReadOnlySpan<char> text, byte[] bytes)
    {
        Span<char> again = stackalloc char[4];
        int tail = text.Length % 4;
        if (tail == 0)
        {
            return true;
        }

        int written = Base64Url.EncodeToChars(bytes.AsSpan(bytes.Length - (tail - 1)), again);
        return again[..written].SequenceEqual(text[^tail..]);
    }

    private static int HexValue(char c) => c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}
