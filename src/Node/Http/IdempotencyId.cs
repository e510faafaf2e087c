using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>
/// The identity of a write that carries an Idempotency-Key. Its scope is (principal, method, first key): the same text on
/// another key is another request.
/// </summary>
internal static class IdempotencyId
{
    /// <summary>Until requests are authenticated everybody is the same, nameless principal.</summary>
    private const string Anonymous = "";

    /// <param name="operation">What is asked: the digest covers all of it.</param>
    /// <param name="method">HTTP method.</param>
    /// <param name="idempotencyKey">The key without the quotes of its structured form.</param>
    /// <param name="firstSentMs">Kv-First-Sent; 0 when absent.</param>
    /// <param name="contentType">As the request said it; null when it said none.</param>
    public static RequestId Of(WriteOperation operation, string method, string idempotencyKey, ulong firstSentMs, string? contentType) => new(
        Client: BinaryPrimitives.ReadUInt128BigEndian(Name(method, operation.Key.Span, idempotencyKey)),
        Sequence: 0,
        FirstSentMs: firstSentMs != 0 ? firstSentMs : TimeOfUuid7(idempotencyKey),
        AckedBelow: 0,
        Digest: operation.DigestAsSaid(contentType));

    /// <summary>Milliseconds inside a version 7 UUID (RFC 9562 5.7): the first 48 bits. 0 for anything else.</summary>
    public static ulong TimeOfUuid7(string text) =>
        Guid.TryParseExact(text, "D", out Guid uuid) && uuid.Version == 7
            ? Convert.ToUInt64(string.Concat(text.AsSpan(0, 8), text.AsSpan(9, 4)), 16)
            : 0;

    private static byte[] Name(string method, ReadOnlySpan<byte> key, string idempotencyKey)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Append(hash, Encoding.ASCII.GetBytes(Anonymous));
        Append(hash, Encoding.ASCII.GetBytes(method));
        Append(hash, key);
        Append(hash, Encoding.ASCII.GetBytes(idempotencyKey));
        return hash.GetHashAndReset();
    }

    // Each part behind its length: ("a", "bc") and ("ab", "c") must not meet.
    private static void Append(IncrementalHash hash, ReadOnlySpan<byte> part)
    {
        Span<byte> length = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(length, part.Length);
        hash.AppendData(length);
        hash.AppendData(part);
    }
}
