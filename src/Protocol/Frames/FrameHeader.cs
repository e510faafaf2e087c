using System.Buffers.Binary;

namespace KvStore.Protocol;

/// <summary>What a frame is. Numbers are on the wire; an unknown kind ends the connection.</summary>
public enum FrameKind : byte
{
    /// <summary>First frame of the side that dialled: a <see cref="PeerHello"/> or a <see cref="ClientHello"/>.</summary>
    Hello = 1,
    HelloAck = 2,

    /// <summary>Last frame of the connection: the reason it was not accepted.</summary>
    HelloRefused = 3,

    /// <summary>A <see cref="KvRequest"/>; the sequence is the request id.</summary>
    Request = 4,

    /// <summary>A <see cref="KvReply"/>; the sequence echoes the request id.</summary>
    Reply = 5,

    /// <summary>Raft messages of many groups; opaque here. Sequence counts up from 1 within the connection.</summary>
    PeerBatch = 6,

    /// <summary>Asks for a <see cref="Pong"/> with the same sequence; empty payload.</summary>
    Ping = 7,
    Pong = 8,

    // From here on only where both hellos have FeatureBits.Streams.

    /// <summary>One part of an answer, any number before the Reply; the sequence is the request id, the payload the operation's own.</summary>
    Item = 9,

    /// <summary>A <see cref="StreamCodec"/> number of bytes: what more the client takes of the answer with this request id.</summary>
    Credit = 10,

    /// <summary>The client no longer wants the answer with this request id; the Reply comes all the same. Empty payload.</summary>
    Cancel = 11,

    /// <summary>A <see cref="Protocol.GoAway"/>: the node takes no new requests on this connection. Sequence 0.</summary>
    GoAway = 12,

    // From here on in the handshake of two nodes that have a cluster secret, and nowhere else.

    /// <summary>The random number of the side that accepted, to a hello that had one.</summary>
    HelloChallenge = 13,

    /// <summary>A <see cref="ClusterSecret"/>'s proof: of the side that dialled, after the challenge; of the other, after its answer.</summary>
    HelloProof = 14,
}

/// <summary>Bits a receiver may ignore when it does not know them.</summary>
[Flags]
public enum FrameFlags : ushort
{
    None = 0,

    /// <summary>A peer batch of the append lane; without it the control lane.</summary>
    AppendLane = 1,
}

/// <summary>Why bytes are not a frame. The connection is closed: there is no way to find the next frame.</summary>
public enum FrameError : byte
{
    None = 0,
    BadMagic = 1,
    UnsupportedVersion = 2,
    HeaderChecksum = 3,
    UnknownKind = 4,
    TooLarge = 5,
    PayloadChecksum = 6,
}

/// <summary>
/// The 24 bytes before every payload, on every port. All numbers are big-endian.
/// <code>
///  0        2         3      4        6           8               12                16                       24
///  | magic  | version | kind | flags  | headerCrc | payloadLength | payloadChecksum | sequence               |
///  | "KV"   | u8 = 1  | u8   | u16    | u16       | u32           | u32 CRC-32C     | u64                    |
/// </code>
/// headerCrc is the low half of the CRC-32C of the other 22 bytes (0…5 and 8…23). It is checked before the length is believed,
/// so that a flipped bit cannot make the receiver wait for four gigabytes. payloadChecksum covers the payload. The version
/// is that of this drawing: it changes when a receiver of the old one would cut the stream into other frames.
/// </summary>
public readonly record struct FrameHeader(FrameKind Kind, FrameFlags Flags, int PayloadLength, uint PayloadChecksum, ulong Sequence)
{
    public const int SizeBytes = 24;
    public const ushort Magic = 0x4B56;
    public const byte FormatVersion = 1;

    public void WriteTo(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt16BigEndian(destination, Magic);
        destination[2] = FormatVersion;
        destination[3] = (byte)Kind;
        BinaryPrimitives.WriteUInt16BigEndian(destination[4..], (ushort)Flags);
        BinaryPrimitives.WriteInt32BigEndian(destination[8..], PayloadLength);
        BinaryPrimitives.WriteUInt32BigEndian(destination[12..], PayloadChecksum);
        BinaryPrimitives.WriteUInt64BigEndian(destination[16..], Sequence);
        BinaryPrimitives.WriteUInt16BigEndian(destination[6..], HeaderCrc(destination));
    }

    /// <summary>Reads 24 bytes. The version is looked at before the checksum: another version may have another drawing.</summary>
    public static FrameError TryRead(ReadOnlySpan<byte> source, int maxPayloadBytes, out FrameHeader header)
    {
        header = default;
        if (BinaryPrimitives.ReadUInt16BigEndian(source) != Magic)
        {
            return FrameError.BadMagic;
        }

        if (source[2] != FormatVersion)
        {
            return FrameError.UnsupportedVersion;
        }

        if (BinaryPrimitives.ReadUInt16BigEndian(source[6..]) != HeaderCrc(source))
        {
            return FrameError.HeaderChecksum;
        }

        var kind = (FrameKind)source[3];
        if (kind is < FrameKind.Hello or > FrameKind.HelloProof)
        {
            return FrameError.UnknownKind;
        }

        uint length = BinaryPrimitives.ReadUInt32BigEndian(source[8..]);
        if (length > (uint)maxPayloadBytes)
        {
            return FrameError.TooLarge;
        }

        header = new FrameHeader(
            kind,
            (FrameFlags)BinaryPrimitives.ReadUInt16BigEndian(source[4..]),
            (int)length,
            BinaryPrimitives.ReadUInt32BigEndian(source[12..]),
            BinaryPrimitives.ReadUInt64BigEndian(source[16..]));
        return FrameError.None;
    }

    private static ushort HeaderCrc(ReadOnlySpan<byte> header)
    {
        Span<byte> covered = stackalloc byte[SizeBytes - 2];
        header[..6].CopyTo(covered);
        header[8..SizeBytes].CopyTo(covered[6..]);
        return (ushort)FrameChecksum.Of(covered);
    }
}
