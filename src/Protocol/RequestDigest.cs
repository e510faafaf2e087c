using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace KvStore.Protocol;

/// <summary>How a <see cref="RequestDigest"/> was computed. Numbers are on the wire, in logs and in snapshots.</summary>
public enum DigestAlgorithm : byte
{
    /// <summary>There is no digest: whoever chose the id vouches for what it stands for.</summary>
    None = 0,

    /// <summary>Over the fields of the flat form, as feature level 1 did; a batch's items are not among them.</summary>
    Fields = 1,

    /// <summary>Over the operation's number and body, so over everything that is asked.</summary>
    Body = 2,
}

/// <summary>
/// A short name for what a request asks, kept with its result. Two digests of different algorithms say nothing about each other by
/// themselves, and a retry through a node of another build has another one than the first copy: they are compared by way of the request,
/// whose digest of either kind whoever has it can compute (<see cref="Contradicts"/>).
/// </summary>
/// <param name="Algorithm">None: Value is 0.</param>
/// <param name="Value">The first 8 bytes of SHA-256, big-endian.</param>
public readonly record struct RequestDigest(DigestAlgorithm Algorithm, ulong Value)
{
    public static RequestDigest OfBody(Operation operation)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData([operation.Code]);
        hash.AppendData(operation.Body.Span);
        return new RequestDigest(DigestAlgorithm.Body, First8(hash));
    }

    /// <summary>
    /// The request that came under an id with this digest is another one than that on record. Of an algorithm that this build does not know
    /// nothing can be said unless both are of it.
    /// </summary>
    /// <param name="recorded">Of the first copy, as its entry had it.</param>
    /// <param name="copy">What is asked now.</param>
    public bool Contradicts(RequestDigest recorded, WriteOperation copy)
    {
        if (this == recorded)
        {
            return false;
        }

        return IsNone || recorded.IsNone || recorded.Algorithm switch
        {
            DigestAlgorithm.Fields => copy.Flat is not { } flat || !recorded.IsOfFields(copy, flat)
                || (Algorithm == DigestAlgorithm.Fields && !IsOfFields(copy, flat)),
            DigestAlgorithm.Body => Algorithm == DigestAlgorithm.Body || OfBody(copy) != recorded,
            _ => Algorithm == recorded.Algorithm,
        };
    }

    private bool IsNone => Algorithm == DigestAlgorithm.None;

    // The default content type may have been spelled out, and what the first copy's door was told is not in the operation.
    private bool IsOfFields(WriteOperation copy, in FlatOperation flat) =>
        this == OfBody(copy).AtLevel1(flat)
        || (flat.Items.Count == 0 && StoredValue.ContentTypeOf(flat.Stored.Span) is null && this == OfFields(flat, StoredValue.OctetStream));

    /// <summary>What a node of feature level 1 stores for this operation; its 0 means none, so a digest of 0 became 1.</summary>
    internal static RequestDigest OfFields(in FlatOperation flat) => OfFields(flat, StoredValue.ContentTypeOf(flat.Stored.Span));

    internal static RequestDigest OfFields(in FlatOperation flat, string? contentType)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> numbers = stackalloc byte[26];
        numbers[0] = flat.Code;
        numbers[1] = (byte)flat.Condition.Kind;
        BinaryPrimitives.WriteUInt64BigEndian(numbers[2..], flat.Condition.Revision);
        BinaryPrimitives.WriteInt64BigEndian(numbers[10..], flat.Delta);
        BinaryPrimitives.WriteInt64BigEndian(numbers[18..], flat.Initial);
        hash.AppendData(numbers);
        Append(hash, Encoding.ASCII.GetBytes(contentType ?? ""));
        Append(hash, StoredValue.ValueOf(flat.Stored).Span);
        ulong value = First8(hash);
        return new RequestDigest(DigestAlgorithm.Fields, value == 0 ? 1 : value);
    }

    /// <summary>
    /// This digest, said to whoever knows only the algorithm of feature level 1. Of what has items the fields are not computed, for none of its items
    /// is among them: no door of that level makes a digest of one, and what its client sent tells two batches apart.
    /// </summary>
    internal RequestDigest AtLevel1(in FlatOperation flat) =>
        Algorithm is DigestAlgorithm.None or DigestAlgorithm.Fields ? this
        : flat.Items.Count > 0 ? new RequestDigest(DigestAlgorithm.Fields, Math.Max(1, Value))
        : OfFields(flat);

    /// <summary>As a node of feature level 1 wrote it.</summary>
    internal static RequestDigest OfFlat(ulong value) => value == 0 ? default : new RequestDigest(DigestAlgorithm.Fields, value);

    private static ulong First8(IncrementalHash hash)
    {
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        hash.GetHashAndReset(digest);
        return BinaryPrimitives.ReadUInt64BigEndian(digest);
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
