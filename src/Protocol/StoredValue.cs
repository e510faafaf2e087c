using System.Buffers;
using System.Collections.Frozen;
using System.Text;

namespace KvStore.Protocol;

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
    internal const string OctetStream = "application/octet-stream";

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
        ReadOnlySpan<char> type = TypeToStore(contentType);
        Span<byte> header = output.GetSpan(1 + type.Length);
        header[0] = (byte)type.Length;
        Ascii.FromUtf16(type, header[1..], out _);
        output.Advance(1 + type.Length);
        output.Write(value);
    }

    /// <summary>
    /// The stored form in an array of its own. A content type that cannot be stored gives bytes that are none
    /// (<see cref="Violation"/> says so to whoever sent it).
    /// </summary>
    internal static ReadOnlyMemory<byte> Of(string? contentType, ReadOnlySpan<byte> value)
    {
        ReadOnlySpan<char> type = contentType is null or OctetStream ? [] : contentType;
        if (type.Length > Limits.MaxContentTypeBytes || !Ascii.IsValid(type))
        {
            return new byte[] { byte.MaxValue };
        }

        byte[] stored = new byte[1 + type.Length + value.Length];
        stored[0] = (byte)type.Length;
        Ascii.FromUtf16(type, stored.AsSpan(1), out _);
        value.CopyTo(stored.AsSpan(1 + type.Length));
        return stored;
    }

    /// <summary>Bytes of the stored form.</summary>
    public static int LengthOf(string? contentType, ReadOnlySpan<byte> value) =>
        1 + (contentType is null or OctetStream ? 0 : contentType.Length) + value.Length;

    /// <summary>The value in these bytes, which are a stored value; empty when they are not.</summary>
    public static ReadOnlyMemory<byte> ValueOf(ReadOnlyMemory<byte> stored) =>
        TrySplit(stored.Span, out _, out ReadOnlySpan<byte> value) ? stored[^value.Length..] : default;

    /// <summary>The content type of these bytes, which are a stored value; null for application/octet-stream.</summary>
    public static string? ContentTypeOf(ReadOnlySpan<byte> stored) =>
        TrySplit(stored, out ReadOnlySpan<byte> type, out _) ? TextOf(type) : null;

    /// <summary>The content type alone.</summary>
    public static ReadOnlyMemory<byte> WithoutValue(ReadOnlyMemory<byte> stored) => stored[..(1 + stored.Span[0])];

    /// <summary>Valid, and the one form of what it says: application/octet-stream is never spelled out.</summary>
    public static bool IsCanonical(ReadOnlySpan<byte> stored) =>
        (stored.Length > 0 && stored[0] == 0)
        || (TrySplit(stored, out ReadOnlySpan<byte> type, out _) && !type.SequenceEqual("application/octet-stream"u8));

    public static bool IsValid(ReadOnlySpan<byte> stored) => TrySplit(stored, out _, out _);

    /// <summary>
    /// The rule of every door: a value within its limit, and a content type that an HTTP header can carry. Null when it holds.
    /// </summary>
    public static Refusal? Violation(ReadOnlySpan<byte> stored, RequestLimits limits)
    {
        if (!TrySplit(stored, out ReadOnlySpan<byte> type, out ReadOnlySpan<byte> value))
        {
            return Refusal.Invalid($"The content type must be printable ASCII of at most {Limits.MaxContentTypeBytes} bytes.");
        }

        if (value.Length > limits.ValueBytes)
        {
            return Refusal.TooLarge("value", value.Length, "valueBytes", limits.ValueBytes);
        }

        return IsPrintable(type) ? null : Refusal.Invalid("The content type must be printable ASCII.");
    }

    /// <summary>What an HTTP header can carry as it is: a line break or NUL in it would be somebody else's header.</summary>
    public static bool IsPrintable(ReadOnlySpan<byte> contentType) => !contentType.ContainsAnyExceptInRange((byte)' ', (byte)'~');

    /// <summary>The stored form as one bin.</summary>
    internal static void WriteBin(ref MessagePackWriter writer, string? contentType, ReadOnlySpan<byte> value)
    {
        Span<byte> header = stackalloc byte[1 + Limits.MaxContentTypeBytes];
        ReadOnlySpan<char> type = TypeToStore(contentType);
        header[0] = (byte)type.Length;
        Ascii.FromUtf16(type, header[1..], out _);
        writer.Write(header[..(1 + type.Length)], value);
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

        contentType = TextOf(type);
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
    public static bool TrySplit(ReadOnlySpan<byte> stored, out ReadOnlySpan<byte> contentType, out ReadOnlySpan<byte> value)
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

    private static ReadOnlySpan<char> TypeToStore(string? contentType)
    {
        ReadOnlySpan<char> type = contentType is null or OctetStream ? [] : contentType;
        return type.Length <= Limits.MaxContentTypeBytes && Ascii.IsValid(type)
            ? type
            : throw new ArgumentException($"A content type is ASCII and at most {Limits.MaxContentTypeBytes} bytes.", nameof(contentType));
    }

    private static string? TextOf(ReadOnlySpan<byte> type)
    {
        if (type.IsEmpty)
        {
            return null;
        }

        Span<char> text = stackalloc char[Limits.MaxContentTypeBytes];
        text = text[..Encoding.ASCII.GetChars(type, text)];
        return CommonContentTypes.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(text, out string? common) ? common : text.ToString();
    }
}
