using System.Text;

namespace KvStore.Client;

/// <summary>A key: 1 to 2,048 bytes, of any value. Text becomes its UTF-8 bytes. Keys with the same <c>{tag}</c> live in one group.</summary>
public readonly struct KvKey(ReadOnlyMemory<byte> bytes) : IEquatable<KvKey>, IComparable<KvKey>
{
    /// <summary>The bytes; not copied, so they must not change while a call uses the key.</summary>
    public ReadOnlyMemory<byte> Bytes { get; } = bytes;

    public static implicit operator KvKey(string utf8Text) => new(Encoding.UTF8.GetBytes(utf8Text));

    public static implicit operator KvKey(byte[] bytes) => new(bytes);

    public static implicit operator KvKey(ReadOnlyMemory<byte> bytes) => new(bytes);

    public static bool operator ==(KvKey left, KvKey right) => left.Equals(right);

    public static bool operator !=(KvKey left, KvKey right) => !left.Equals(right);

    public bool Equals(KvKey other) => Bytes.Span.SequenceEqual(other.Bytes.Span);

    public override bool Equals(object? obj) => obj is KvKey other && Equals(other);

    public override int GetHashCode()
    {
        var hash = new HashCode();
        hash.AddBytes(Bytes.Span);
        return hash.ToHashCode();
    }

    /// <summary>Byte by byte, unsigned, as the store orders keys.</summary>
    public int CompareTo(KvKey other) => Bytes.Span.SequenceCompareTo(other.Bytes.Span);

    /// <summary>The text, or base64 behind <c>base64:</c> where the bytes are none.</summary>
    public override string ToString() => KvText.TryDecode(Bytes.Span, out string text) ? text : "base64:" + Convert.ToBase64String(Bytes.Span);

    internal KvKey Under(ReadOnlySpan<byte> prefix) => prefix.IsEmpty ? this : new KvKey((byte[])[.. prefix, .. Bytes.Span]);
}

internal static class KvText
{
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    public static bool TryDecode(ReadOnlySpan<byte> bytes, out string text)
    {
        bool valid = System.Text.Unicode.Utf8.IsValid(bytes);
        text = valid ? Strict.GetString(bytes) : "";
        return valid;
    }
}
