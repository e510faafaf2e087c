using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace KvStore.Protocol;

/// <summary>
/// What the nodes of a cluster know and nobody else does. Two of them prove it to each other with HMAC-SHA256 over everything that was said
/// in the handshake, the random numbers of both included: a proof that somebody has recorded is worth nothing in another
/// handshake, and that of one side nothing on the other. The bytes are never shown.
/// </summary>
public sealed class ClusterSecret
{
    /// <summary>Shorter ones could be guessed by trying.</summary>
    public const int MinBytes = 16;
    public const int MaxBytes = 1024;

    /// <summary>Length of the random number of each side.</summary>
    public const int NonceBytes = 32;
    public const int ProofBytes = HMACSHA256.HashSizeInBytes;

    private readonly byte[] _key;

    /// <exception cref="ArgumentException">Too short or too long.</exception>
    public ClusterSecret(ReadOnlySpan<byte> key)
    {
        if (key.Length is < MinBytes or > MaxBytes)
        {
            throw new ArgumentException($"a cluster secret is {MinBytes} to {MaxBytes} bytes");
        }

        _key = key.ToArray();
    }

    public static byte[] NewNonce() => RandomNumberGenerator.GetBytes(NonceBytes);

    /// <summary>Nothing of it, wherever it is printed by mistake.</summary>
    public override string ToString() => "(secret)";

    /// <summary>Of the side that dialled: over its hello, which holds its random number, and the other side's.</summary>
    internal byte[] ProofOfDialler(ReadOnlySpan<byte> hello, ReadOnlySpan<byte> challenge) => Proof("kvstore dial 1", hello, challenge, []);

    /// <summary>Of the side that accepted: the same, and what it answers in the end.</summary>
    internal byte[] ProofOfAcceptor(ReadOnlySpan<byte> hello, ReadOnlySpan<byte> challenge, ReadOnlySpan<byte> answer) =>
        Proof("kvstore accept 1", hello, challenge, answer);

    /// <summary>Takes the same time wherever the first difference is.</summary>
    internal static bool AreEqual(ReadOnlySpan<byte> proof, ReadOnlySpan<byte> expected) => CryptographicOperations.FixedTimeEquals(proof, expected);

    private byte[] Proof(string side, ReadOnlySpan<byte> hello, ReadOnlySpan<byte> challenge, ReadOnlySpan<byte> answer)
    {
        using var hash = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, _key);
        Append(hash, Encoding.ASCII.GetBytes(side));
        Append(hash, hello);
        Append(hash, challenge);
        Append(hash, answer);
        return hash.GetHashAndReset();
    }

    // With its length, so that no byte can move from one part to the next.
    private static void Append(IncrementalHash hash, ReadOnlySpan<byte> part)
    {
        Span<byte> length = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32BigEndian(length, part.Length);
        hash.AppendData(length);
        hash.AppendData(part);
    }
}

/// <summary>A handshake in which the side that dialled has proved that it knows the secret; the answer is proved with it.</summary>
public sealed class HandshakeProof
{
    private readonly ClusterSecret _secret;
    private readonly byte[] _hello;
    private readonly byte[] _challenge;

    internal HandshakeProof(ClusterSecret secret, byte[] hello, byte[] challenge) =>
        (_secret, _hello, _challenge) = (secret, hello, challenge);

    internal byte[] Of(ReadOnlySpan<byte> answer) => _secret.ProofOfAcceptor(_hello, _challenge, answer);
}
