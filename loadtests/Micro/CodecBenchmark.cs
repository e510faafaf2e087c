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

    /// <summary>Sequence, first sent, acknowledged below, algorithm, digest; timeout, hops, epoch.</summary>
    private const int NumbersBehindClient = 8;

    private static readonly KvRequest Put = new()
    {
        Operation = new Put("key:000000000042"u8, new byte[ValueBytes], "application/json"),
        Id = new RequestId(new UInt128(1, 2), 3_000, 1_700_000_000_000, 2_990),
        Epoch = 1,
    };

    private static readonly KvReply Reply = new()
    {
        Outcome = Outcome.Applied,
        Result = new Written(117_691_379_690_700_800, Created: true),
        Evidence = new Evidence(ReadLevel.Strong, 0, new GroupId(17), 9, 1_000_000, new NodeId(2), ServedRole.Leader, ServedPath.Local),
        Epoch = 1,
    };

    private readonly FrameWriter _output = new();
    private readonly byte[] _put = Bytes(output => KvRequestCodec.Encode(output, Put));
    private readonly byte[] _plainPut = Bytes(output => KvRequestCodec.Encode(output, new KvRequest { Operation = new Put("key:000000000042"u8, new byte[ValueBytes]) }));
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

    /// <summary>A client without ids, a value without a type.</summary>
    [Benchmark]
    public KvRequest? DecodePlainPut() => KvRequestCodec.TryDecode(_plainPut, out var request) == DecodeResult.Ok ? request : null;

    [Benchmark]
    public KvReply? DecodeReply() => KvReplyCodec.TryDecode(_reply, Put.Operation, out var reply) == DecodeResult.Ok ? reply : null;

    [Benchmark]
    public ulong WalkPut() => Walk(_put);

    [Benchmark]
    public ulong WalkPutByThePackage() => WalkByThePackage(_put);

    [Benchmark]
    public ulong RefuseACutPut() => Walk(_cut);

    [Benchmark]
    public ulong RefuseACutPutByThePackage() => WalkByThePackage(_cut);

    // [[code, [key, kind, revision, stored]], [client, sequence, firstSent, ackedBelow, algorithm, digest], timeout, hops, epoch, nil, ack, nil,
    // requires, nil, nil]: the body is a bin, and what it holds is read in its place.
    private static ulong Walk(byte[] bytes)
    {
        var reader = new MessagePackReader(bytes);
        if (!reader.TryReadArrayHeader(out _) || !reader.TryReadArrayHeader(out _) || !reader.TryRead(out ulong sum)
            || !reader.TryReadBin(int.MaxValue, out ReadOnlySpan<byte> body))
        {
            return 0;
        }

        var inner = new MessagePackReader(body);
        if (!inner.TryReadArrayHeader(out _) || !inner.TryReadBin(int.MaxValue, out ReadOnlySpan<byte> key) || !inner.TryRead(out ulong kind)
            || !inner.TryRead(out ulong revision) || !inner.TryReadBin(int.MaxValue, out ReadOnlySpan<byte> stored)
            || !reader.TryReadArrayHeader(out _) || !reader.TryRead(out UInt128 _))
        {
            return 0;
        }

        sum += kind + revision + (ulong)(key.ToArray().Length + stored.ToArray().Length);
        for (int field = 0; field < NumbersBehindClient; field++)
        {
            if (!reader.TryRead(out ulong number))
            {
                return 0;
            }

            sum += number;
        }

        return reader.TryReadNil(out _) && reader.TryRead(out ulong ack) && reader.TryReadNil(out _) && reader.TryRead(out ulong requires)
            && reader.TryReadNil(out _) && !reader.AtEnd && reader.TryReadNil(out _) ? sum + ack + requires : 0;
    }

    private static ulong WalkByThePackage(byte[] bytes)
    {
        try
        {
            var reader = new PackageReader(bytes);
            reader.ReadArrayHeader();
            reader.ReadArrayHeader();
            ulong sum = reader.ReadUInt64();
            var inner = new PackageReader(reader.ReadBytes()!.Value);
            inner.ReadArrayHeader();
            byte[] key = inner.ReadBytes()!.Value.ToArray();
            sum += inner.ReadUInt64() + inner.ReadUInt64();
            byte[] stored = inner.ReadBytes()!.Value.ToArray();
            reader.ReadArrayHeader();
            reader.ReadBytes();
            for (int field = 0; field < NumbersBehindClient; field++)
            {
                sum += reader.ReadUInt64();
            }

            reader.ReadNil();
            sum += reader.ReadUInt64();
            reader.ReadNil();
            sum += reader.ReadUInt64();
            reader.ReadNil();
            reader.ReadNil();
            return sum + (ulong)(key.Length + stored.Length);
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
