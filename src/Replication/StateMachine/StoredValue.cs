using System.Buffers;
using System.Collections.Frozen;
using System.Text;
using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// How a value and its content type lie in the table, in a command and in a snapshot: one layout, so that applying a put copies
/// the bytes of the entry as they are.
/// <code>
/// +--------+----------------------+------------------+
/// | n (1B) | content type, n ASCII | value, the rest  |      n = 0…127; 0 means application/octet-stream
/// +--------+----------------------+------------------+
/// </code>
/// </summary>
public static class StoredValue
{
    private const string OctetStream = "application/octet-stream";

    /// <summary>The types nearly every value has: reading one of them gives the same string and allocates nothing.</summary>
    private static readonly FrozenSet<string> CommonContentTypes = FrozenSet.Create(
        StringComparer.Ordinal,
        "text/plain", "text/plain; charset=utf-8", "text/html", "text/html; charset=utf-8", "text/csv", "text/xml",
        "application/json", "application/json; charset=utf-8", "application/xml", "application/x-www-form-urlencoded",
        "application/msgpack", "application/protobuf", "application/x-protobuf", "application/cbor", "application/gzip",
        "image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml");

    /// <param name="output">Receives the stored form.</param>
    /// <param name="contentType">ASCII, at most 127 bytes; null is application/octet-stream.</param>
    /// <param name="value">The value itself.</param>
    public static void Write(IBufferWriter<byte> output, string? contentType, ReadOnlySpan<byte> value)
    {
        ReadOnlySpan<char> type = contentType is null or OctetStream ? [] : contentType;
        if (type.Length > Limits.MaxContentTypeBytes || !Ascii.IsValid(type))
        {
            throw new ArgumentException($"A content type is ASCII and at most {Limits.MaxContentTypeBytes} bytes.", nameof(contentType));
        }

        Span<byte> header = output.GetSpan(1 + type.Length);
        header[0] = (byte)type.Length;
        Ascii.FromUtf16(type, header[1..], out _);
        output.Advance(1 + type.Length);
        output.Write(value);
    }

    /// <summary>False: these bytes are no stored value. The content type is null for application/octet-stream.</summary>
    public static bool TryRead(ReadOnlySpan<byte> stored, out ReadOnlySpan<byte> value, out string? contentType)
    {
        value = default;
        contentType = null;
        if (!TrySplit(stored, out ReadOnlySpan<byte> type, out value))
        {
            return false;
        }

        if (type.Length > 0)
        {
            Span<char> text = stackalloc char[Limits.MaxContentTypeBytes];
            text = text[..Encoding.ASCII.GetChars(type, text)];
            contentType = CommonContentTypes.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(text, out string? common)
                ? common
                : text.ToString();
        }

        return true;
    }

    /// <inheritdoc cref="TryRead(ReadOnlySpan{byte}, out ReadOnlySpan{byte}, out string?)"/>
    public static bool TryRead(ReadOnlyMemory<byte> stored, out ReadOnlyMemory<byte> value, out string? contentType)
    {
        bool valid = TryRead(stored.Span, out ReadOnlySpan<byte> span, out contentType);
        value = valid ? stored[(stored.Length - span.Length)..] : default;
        return valid;
    }

    /// <summary>As TryRead, with the content type left in its bytes.</summary>
    internal static bool TrySplit(ReadOnlySpan<byte> stored, out ReadOnlySpan<byte> contentType, out ReadOnlySpan<byte> value)
    {
        contentType = default;
        value = default;
        if (stored.IsEmpty || stored[0] > Limits.MaxContentTypeBytes || stored[0] >= stored.Length)
        {
            return false;
        }

        contentType = stored.Slice(1, stored[0]);
        value = stored[(1 + stored[0])..];
        return Ascii.IsValid(contentType);
    }
}
