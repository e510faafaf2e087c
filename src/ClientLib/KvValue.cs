using System.Globalization;
using System.Text;

namespace KvStore.Client;

/// <summary>
/// A value and its content type, at most 1 MiB. Text is <c>text/plain</c> in UTF-8, a number the decimal text that counters are made of,
/// bytes are <c>application/octet-stream</c>.
/// </summary>
/// <param name="bytes">Not copied: they must not change while a call uses the value.</param>
/// <param name="contentType">Printable ASCII, at most 127 bytes; null is application/octet-stream.</param>
public readonly struct KvValue(ReadOnlyMemory<byte> bytes, string? contentType = null) : IEquatable<KvValue>
{
    /// <summary>Content type of text and of numbers.</summary>
    public const string TextType = "text/plain";

    public ReadOnlyMemory<byte> Bytes { get; } = bytes;

    /// <summary>Null is application/octet-stream.</summary>
    public string? ContentType { get; } = contentType;

    public static implicit operator KvValue(string text) => new(Encoding.UTF8.GetBytes(text), TextType);

    public static implicit operator KvValue(byte[] bytes) => new(bytes);

    public static implicit operator KvValue(ReadOnlyMemory<byte> bytes) => new(bytes);

    public static implicit operator KvValue(long number) => new(Encoding.ASCII.GetBytes(number.ToString(CultureInfo.InvariantCulture)), TextType);

    public static bool operator ==(KvValue left, KvValue right) => left.Equals(right);

    public static bool operator !=(KvValue left, KvValue right) => !left.Equals(right);

    /// <summary>The bytes as UTF-8 text, whatever the content type says.</summary>
    public string AsText() => Encoding.UTF8.GetString(Bytes.Span);

    /// <summary>The bytes as a decimal 64-bit integer.</summary>
    /// <exception cref="FormatException">They are none.</exception>
    public long AsInt64() => long.Parse(Bytes.Span, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);

    public bool Equals(KvValue other) => ContentType == other.ContentType && Bytes.Span.SequenceEqual(other.Bytes.Span);

    public override bool Equals(object? obj) => obj is KvValue other && Equals(other);

    public override int GetHashCode()
    {
        var hash = new HashCode();
        hash.AddBytes(Bytes.Span);
        return hash.ToHashCode();
    }

    /// <summary>As <see cref="AsText"/>.</summary>
    public override string ToString() => AsText();
}
