using System.Buffers;

namespace KvStore.Protocol;

/// <summary>
/// Bodies of the handshake frames: MessagePack arrays with fields by position. A reader takes the fields it knows and passes
/// over what follows them, so that a newer node may add at the end. Builds of the first level end before it.
/// <code>
/// Hello of a peer    [1, min, max, clusterId, nodeName, nodeId, uuid bin16, incarnation, process, layoutHash bin, expectedPeer,
///                     features, credentials bin, level, starts, wallMs]
/// Hello of a client  [2, min, max, clusterId, clientName, features, credentials bin, level]
/// HelloAck           [protocol, clusterId, nodeName, nodeId, uuid bin16, incarnation, layoutHash bin, features, epoch, level, process,
///                     starts, wallMs]
/// HelloRefused       [reason, detail]
/// starts             [incarnation, process, incarnation, process…]
/// </code>
/// What follows the level is left out where there is nothing to say, and may be nil.
/// </summary>
public static class HelloCodec
{
    private const int PeerRole = 1;
    private const int ClientRole = 2;
    private const int PeerFields = 13;
    private const int ClientFields = 7;
    private const int AckFields = 9;
    private const int LevelFields = 1;
    private const int StartsFields = 1;
    private const int ProcessAndStartsFields = 2;
    private const int WallFields = 1;

    private const int RefusedFields = 2;

    public static void Encode(IBufferWriter<byte> output, PeerHello hello)
    {
        var writer = new MessagePackWriter(output);
        bool hasWall = hello.WallMs != 0;
        bool hasStarts = hasWall || hello.Starts.Count > 0;
        writer.WriteArrayHeader(PeerFields + LevelFields + (hasStarts ? StartsFields : 0) + (hasWall ? WallFields : 0));
        writer.Write(PeerRole);
        writer.Write(hello.ProtocolMin);
        writer.Write(hello.ProtocolMax);
        writer.Write(hello.ClusterId);
        writer.Write(hello.NodeName);
        writer.Write(hello.NodeId.Value);
        writer.Write(hello.Uuid);
        writer.Write(hello.Incarnation);
        writer.Write(hello.Process);
        writer.Write(hello.LayoutHash.Span);
        writer.Write(hello.ExpectedPeer);
        writer.Write((ulong)hello.Features);
        writer.Write(hello.Credentials.Span);
        writer.Write((uint)hello.Level);
        if (hasStarts)
        {
            WriteOrNil(ref writer, hello.Starts);
        }

        if (hasWall)
        {
            writer.Write(hello.WallMs);
        }

        writer.Flush();
    }

    public static void Encode(IBufferWriter<byte> output, ClientHello hello)
    {
        var writer = new MessagePackWriter(output);
        writer.WriteArrayHeader(ClientFields + LevelFields);
        writer.Write(ClientRole);
        writer.Write(hello.ProtocolMin);
        writer.Write(hello.ProtocolMax);
        writer.Write(hello.ClusterId);
        writer.Write(hello.ClientName);
        writer.Write((ulong)hello.Features);
        writer.Write(hello.Credentials.Span);
        writer.Write((uint)hello.Level);
        writer.Flush();
    }

    public static void Encode(IBufferWriter<byte> output, HelloAck ack)
    {
        var writer = new MessagePackWriter(output);
        bool hasWall = ack.WallMs != 0;
        bool hasProcess = hasWall || ack.Process != 0;
        writer.WriteArrayHeader(AckFields + LevelFields + (hasProcess ? ProcessAndStartsFields : 0) + (hasWall ? WallFields : 0));
        writer.Write(ack.Protocol);
        writer.Write(ack.ClusterId);
        writer.Write(ack.NodeName);
        writer.Write(ack.NodeId.Value);
        writer.Write(ack.Uuid);
        writer.Write(ack.Incarnation);
        writer.Write(ack.LayoutHash.Span);
        writer.Write((ulong)ack.Features);
        writer.Write(ack.Epoch);
        writer.Write((uint)ack.Level);
        if (hasProcess)
        {
            writer.Write(ack.Process);
            Write(ref writer, ack.Starts);
        }

        if (hasWall)
        {
            writer.Write(ack.WallMs);
        }

        writer.Flush();
    }

    public static void Encode(IBufferWriter<byte> output, HelloRefused refused)
    {
        var writer = new MessagePackWriter(output);
        writer.WriteArrayHeader(RefusedFields);
        writer.Write((int)refused.Reason);
        writer.Write(refused.Detail);
        writer.Flush();
    }

    /// <summary>Malformed also when the hello is a client's.</summary>
    public static DecodeResult TryDecode(ReadOnlySpan<byte> payload, out PeerHello? hello)
    {
        hello = null;
        var reader = new MessagePackReader(payload);
        if (!reader.TryReadArrayHeader(out int fields) || !reader.TryRead(out int role)
            || !reader.TryRead(out int min) || !reader.TryRead(out int max)
            || !reader.TryReadString(Limits.MaxHelloBytes, out string clusterId))
        {
            return reader.Result;
        }

        if (role != PeerRole || fields < PeerFields)
        {
            return DecodeResult.Malformed;
        }

        if (!reader.TryReadString(Limits.MaxHelloBytes, out string nodeName) || !reader.TryRead(out uint nodeId)
            || !reader.TryRead(out Guid uuid) || !reader.TryRead(out ulong incarnation) || !reader.TryRead(out ulong process)
            || !reader.TryReadBin(Limits.MaxHelloBytes, out var layoutHash)
            || !reader.TryReadString(Limits.MaxHelloBytes, out string expectedPeer) || !reader.TryRead(out ulong features)
            || !reader.TryReadBin(Limits.MaxHelloBytes, out var credentials)
            || !TryReadLevel(ref reader, fields - PeerFields, out ushort level, out int left)
            || !TryReadStarts(ref reader, ref left, out var starts) || !TryReadNumber(ref reader, ref left, out ulong wallMs) || !reader.TrySkip(left))
        {
            return reader.Result;
        }

        hello = new PeerHello
        {
            ProtocolMin = min,
            ProtocolMax = max,
            ClusterId = clusterId,
            NodeName = nodeName,
            NodeId = new NodeId(nodeId),
            Uuid = uuid,
            Incarnation = incarnation,
            Process = process,
            LayoutHash = layoutHash.ToArray(),
            ExpectedPeer = expectedPeer,
            Features = (FeatureBits)features,
            Credentials = credentials.ToArray(),
            Level = level,
            Starts = starts,
            WallMs = wallMs,
        };
        return DecodeResult.Ok;
    }

    /// <summary>Malformed also when the hello is a peer's.</summary>
    public static DecodeResult TryDecode(ReadOnlySpan<byte> payload, out ClientHello? hello)
    {
        hello = null;
        var reader = new MessagePackReader(payload);
        if (!reader.TryReadArrayHeader(out int fields) || !reader.TryRead(out int role)
            || !reader.TryRead(out int min) || !reader.TryRead(out int max)
            || !reader.TryReadString(Limits.MaxHelloBytes, out string clusterId))
        {
            return reader.Result;
        }

        if (role != ClientRole || fields < ClientFields)
        {
            return DecodeResult.Malformed;
        }

        if (!reader.TryReadString(Limits.MaxHelloBytes, out string clientName) || !reader.TryRead(out ulong features)
            || !reader.TryReadBin(Limits.MaxHelloBytes, out var credentials)
            || !TryReadLevel(ref reader, fields - ClientFields, out ushort level, out int left) || !reader.TrySkip(left))
        {
            return reader.Result;
        }

        hello = new ClientHello
        {
            ProtocolMin = min,
            ProtocolMax = max,
            ClusterId = clusterId,
            ClientName = clientName,
            Features = (FeatureBits)features,
            Credentials = credentials.ToArray(),
            Level = level,
        };
        return DecodeResult.Ok;
    }

    public static DecodeResult TryDecode(ReadOnlySpan<byte> payload, out HelloAck? ack)
    {
        ack = null;
        var reader = new MessagePackReader(payload);
        if (!reader.TryReadArrayHeader(out int fields))
        {
            return reader.Result;
        }

        if (fields < AckFields)
        {
            return DecodeResult.Malformed;
        }

        if (!reader.TryRead(out int protocol) || !reader.TryReadString(Limits.MaxHelloBytes, out string clusterId)
            || !reader.TryReadString(Limits.MaxHelloBytes, out string nodeName) || !reader.TryRead(out uint nodeId)
            || !reader.TryRead(out Guid uuid) || !reader.TryRead(out ulong incarnation)
            || !reader.TryReadBin(Limits.MaxHelloBytes, out var layoutHash) || !reader.TryRead(out ulong features)
            || !reader.TryRead(out ulong epoch) || !TryReadLevel(ref reader, fields - AckFields, out ushort level, out int left)
            || !TryReadNumber(ref reader, ref left, out ulong process) || !TryReadStarts(ref reader, ref left, out var starts)
            || !TryReadNumber(ref reader, ref left, out ulong wallMs) || !reader.TrySkip(left))
        {
            return reader.Result;
        }

        ack = new HelloAck
        {
            Protocol = protocol,
            ClusterId = clusterId,
            NodeName = nodeName,
            NodeId = new NodeId(nodeId),
            Uuid = uuid,
            Incarnation = incarnation,
            LayoutHash = layoutHash.ToArray(),
            Features = (FeatureBits)features,
            Epoch = epoch,
            Level = level,
            Process = process,
            Starts = starts,
            WallMs = wallMs,
        };
        return DecodeResult.Ok;
    }

    /// <summary>A reason this version does not know is kept as its number: the sentence still says it.</summary>
    public static DecodeResult TryDecode(ReadOnlySpan<byte> payload, out HelloRefused? refused)
    {
        refused = null;
        var reader = new MessagePackReader(payload);
        if (!reader.TryReadArrayHeader(out int fields))
        {
            return reader.Result;
        }

        if (fields < RefusedFields)
        {
            return DecodeResult.Malformed;
        }

        if (!reader.TryRead(out byte reason) || !reader.TryReadString(Limits.MaxHelloBytes, out string detail)
            || !reader.TrySkip(fields - RefusedFields))
        {
            return reader.Result;
        }

        refused = new HelloRefused((HelloRefusal)reason, detail);
        return DecodeResult.Ok;
    }

    private static void WriteOrNil(ref MessagePackWriter writer, IReadOnlyList<FolderStart> starts)
    {
        if (starts.Count == 0)
        {
            writer.WriteNil();
        }
        else
        {
            Write(ref writer, starts);
        }
    }

    private static void Write(ref MessagePackWriter writer, IReadOnlyList<FolderStart> starts)
    {
        writer.WriteArrayHeader(2 * starts.Count);
        foreach (var start in starts)
        {
            writer.Write(start.Incarnation);
            writer.Write(start.Process);
        }
    }

    /// <summary>The level behind the fields of the first version, if it is there; left: the fields behind it.</summary>
    private static bool TryReadLevel(ref MessagePackReader reader, int fieldsLeft, out ushort level, out int left)
    {
        level = FeatureLevel.First;
        left = Math.Max(0, fieldsLeft - LevelFields);
        if (fieldsLeft == 0)
        {
            return true;
        }

        if (!reader.TryRead(out level))
        {
            return false;
        }

        level = Math.Max(level, FeatureLevel.First);
        return true;
    }

    /// <summary>0 where it is left out, or nil.</summary>
    private static bool TryReadNumber(ref MessagePackReader reader, ref int left, out ulong number)
    {
        number = 0;
        return left == 0 || (left-- > 0 && reader.TryReadNil(out bool wasNil) && (wasNil || reader.TryRead(out number)));
    }

    private static bool TryReadStarts(ref MessagePackReader reader, ref int left, out FolderStart[] starts)
    {
        starts = [];
        if (left == 0)
        {
            return true;
        }

        left--;
        if (!reader.TryReadNil(out bool wasNil))
        {
            return false;
        }

        if (wasNil)
        {
            return true;
        }

        if (!reader.TryReadArrayHeader(out int numbers))
        {
            return false;
        }

        // As many as fit into a hello.
        var read = new FolderStart[numbers / 2];
        for (int i = 0; i < read.Length; i++)
        {
            if (!reader.TryRead(out ulong incarnation) || !reader.TryRead(out ulong process))
            {
                return false;
            }

            read[i] = new FolderStart(incarnation, process);
        }

        starts = read;
        return reader.TrySkip(numbers % 2);
    }
}
