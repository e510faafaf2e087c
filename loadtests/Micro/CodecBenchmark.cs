using System.Buffers;
using BenchmarkDotNet.Attributes;
using KvStore.Protocol;
using PackageReader = MessagePack.MessagePackReader;

namespace KvStore.Micro;

/// <summary>
/// A put of 256 B with an id, and its reply: encoded and decoded as the node does it, and the fields of the put walked by our reader and by that
/// of the package MessagePack, bytes copied out in both. Then the same put without its last byte, refused by both.
/// </summary>
[MemoryDiagnoser]
public class CodecBenchmark
{
    private const int ValueBytes = 256;
    private const int IdField = 9;

    private static readonly KvRequest Put = new()
    {
        Operation = KvOperation.Put,
        Key = "key:000000000042"u8.ToArray(),
        Value = new byte[ValueBytes],
        ContentType = "application/octet-stream",
        Id = new RequestId(new UInt128(1, 2), 3_000, 1_700_000_000_000, 2_990, 0),
        Epoch = 1,
    };

    private static readonly KvReply Reply = new()
    {
        Outcome = Outcome.Applied,
        Revision = 117_691_379_690_700_800,
        Changed = true,
        Evidence = new Evidence(ReadLevel.Strong, 0, new GroupId(17), 9, 1_000_000, new NodeId(2), ServedRole.Leader, ServedPath.Local),
        Epoch = 1,
    };

    private readonly FrameWriter _output = new();
    private readonly byte[] _put = Bytes(output => KvRequestCodec.Encode(output, Put));
    private readonly byte[] _reply = Bytes(output => KvReplyCodec.Encode(output, Reply));
    private byte[] _cut = [];

    [GlobalSetup]
    public void Cut() => _cut = _put[..^1];

    [Benchmark]
    public int EncodePut()
    {
        _output.Clear();
        KvRequestCodec.Encode(_output, Put);
        return _output.WrittenBytes;
    }

    [Benchmark]
    public int EncodeReply()
    {
        _output.Clear();
        KvReplyCodec.Encode(_output, Reply);
        return _output.WrittenBytes;
    }

    [Benchmark]
    public KvRequest? DecodePut() => KvRequestCodec.TryDecode(_put, out var request) == DecodeResult.Ok ? request : null;

    [Benchmark]
    public KvReply? DecodeReply() => KvReplyCodec.TryDecode(_reply, out var reply) == DecodeResult.Ok ? reply : null;

    [Benchmark]
    public ulong WalkPut() => Walk(_put);

    [Benchmark]
    public ulong WalkPutByThePackage() => WalkByThePackage(_put);

    [Benchmark]
    public ulong RefuseACutPut() => Walk(_cut);

    [Benchmark]
    public ulong RefuseACutPutByThePackage() => WalkByThePackage(_cut);

    private static ulong Walk(byte[] bytes)
    {
        var reader = new MessagePackReader(bytes);
        if (!reader.TryReadArrayHeader(out int fields) || !reader.TryRead(out ulong sum) || !reader.TryReadBin(int.MaxValue, out var key)
            || !reader.TryReadBin(int.MaxValue, out var value) || !reader.TryReadOptionalString(Limits.MaxTextBytes, out string? type))
        {
            return 0;
        }

        for (int field = 4; field < fields; field++)
        {
            int inner = 1;
            if (field == IdField && (!reader.TryReadArrayHeader(out inner) || !reader.TryRead(out UInt128 _)))
            {
                return 0;
            }

            if (field == fields - 2)
            {
                if (!reader.TryReadArrayHeader(out _))
                {
                    return 0;
                }

                continue;
            }

            if (field == fields - 1)
            {
                return reader.TryReadNil(out _) ? sum + (ulong)(key.ToArray().Length + value.ToArray().Length + type!.Length) : 0;
            }

            for (int i = field == IdField ? 1 : 0; i < inner; i++)
            {
                if (!reader.TryRead(out ulong number))
                {
                    return 0;
                }

                sum += number;
            }
        }

        return sum;
    }

    private static ulong WalkByThePackage(byte[] bytes)
    {
        try
        {
            var reader = new PackageReader(bytes);
            int fields = reader.ReadArrayHeader();
            ulong sum = reader.ReadUInt64();
            byte[] key = reader.ReadBytes()!.Value.ToArray(), value = reader.ReadBytes()!.Value.ToArray();
            string? type = reader.ReadString();
            for (int field = 4; field < fields; field++)
            {
                int inner = 1;
                if (field == IdField)
                {
                    inner = reader.ReadArrayHeader();
                    reader.ReadBytes();
                }

                if (field == fields - 2)
                {
                    reader.ReadArrayHeader();
                    continue;
                }

                if (field == fields - 1)
                {
                    reader.ReadNil();
                    return sum + (ulong)(key.Length + value.Length + type!.Length);
                }

                for (int i = field == IdField ? 1 : 0; i < inner; i++)
                {
                    sum += reader.ReadUInt64();
                }
            }

            return sum;
        }
        catch (EndOfStreamException)
        {
            return 0;
        }
    }

    private static byte[] Bytes(Action<ArrayBufferWriter<byte>> encode)
    {
        var buffer = new ArrayBufferWriter<byte>();
        encode(buffer);
        return buffer.WrittenSpan.ToArray();
    }
}
