using System.Buffers;
using static KvStore.Protocol.Tests.BodyRule;

namespace KvStore.Protocol.Tests;

/// <summary>
/// One kind of body: samples with their fields as docs/wire-protocol.md lists them, and its rule. Fields are written down here by
/// hand and not taken from the codec, so the codec has no say in what is right.
/// </summary>
/// <param name="Name">As in the document.</param>
/// <param name="Rule">What a reader accepts.</param>
/// <param name="Decode">The codec's verdict.</param>
/// <param name="Random">Bytes of a random valid body.</param>
/// <param name="Samples">Bytes by the codec, and the fields they must hold.</param>
internal sealed record SampleBody(
    string Name, BodyRule Rule, Func<byte[], DecodeResult> Decode, Func<Random, byte[]> Random, params (byte[] Bytes, object?[] Fields)[] Samples);

/// <summary>Every body of the protocol. A new one is a new entry: rule, samples, fields.</summary>
internal static class SampleBodies
{
    private static readonly BodyRule Id = Fields(Bin16, U64, U64, U64, U64);
    private static readonly BodyRule Terms = Fields(I32, OrNil(U64), U64, U32, Within(0, 2), Within(0, 1), Bool);
    private static readonly BodyRule Evidence = Fields(Within(0, 3), U32, U32, U64, U64, U32, Within(1, 3), Within(0, 2));
    private static readonly BodyRule Lag = Fields(U64, U32);

    public static IReadOnlyList<SampleBody> All { get; } =
    [
        new(
            "Request",
            Request(items: Limits.MaxBatchItems),
            input => KvRequestCodec.TryDecode(input, out _),
            random => CodecTests.Encode(Samples.RandomRequest(random)),
            Sample(Samples.Put("k", "v") with { Operation = KvOperation.Get, Value = default }),
            Sample(Samples.Put("k", "") with { Operation = KvOperation.Get, Level = ReadLevel.Bounded, MaxStalenessMs = 500, MaxLag = 70_000 }),
            Sample(Samples.Put("k", "v") with { Condition = new KvCondition(ConditionKind.Absent), ContentType = "text/plain" }),
            Sample(Samples.Put("k", "") with { Operation = KvOperation.Delete, Condition = new KvCondition(ConditionKind.RevisionIs, 1UL << 40) }),
            Sample(Samples.Put("k", "") with { Operation = KvOperation.Increment, Delta = long.MinValue, Initial = -129 }),
            Sample(Samples.Put("{b}", "") with { Operation = KvOperation.Batch, Items = [Samples.Put("{b}1", "1"), Samples.Put("{b}2", "2")] }),
            Sample(Samples.Put("k", new string('v', 70_000))),
            Sample(Samples.FullRequest)),
        new(
            "Reply",
            Reply(items: Limits.MaxBatchItems),
            input => KvReplyCodec.TryDecode(input, out _),
            random => CodecTests.Encode(Samples.RandomReply(random)),
            Sample(new KvReply { Code = ErrorCode.KeyNotFound, Evidence = Samples.LargestEvidence }),
            Sample(new KvReply { Revision = 300, Changed = true, Epoch = 1 }),
            Sample(new KvReply { Value = new byte[300], ContentType = "text/plain", Lag = new ReplicaLag(1 << 20, 5) }),
            Sample(Samples.FullReply)),
        new(
            "Hello of a peer",
            Fields(Within(1, 1), I32, I32, Str(Limits.MaxHelloBytes), Str(Limits.MaxHelloBytes), U32, Bin16, U64, U64,
                Bin(Limits.MaxHelloBytes), Str(Limits.MaxHelloBytes), U64, Bin(Limits.MaxHelloBytes)),
            input => HelloCodec.TryDecode(input, out PeerHello? _),
            _ => FuzzTests.PeerHello(),
            Sample(new PeerHello
            {
                ClusterId = "local",
                NodeName = "n1",
                NodeId = new NodeId(1),
                Uuid = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"),
                Incarnation = 70_000,
                Process = ulong.MaxValue,
                LayoutHash = new byte[32],
                ExpectedPeer = "n2",
                Features = 5,
            })),
        new(
            "Hello of a client",
            Fields(Within(2, 2), I32, I32, Str(Limits.MaxHelloBytes), Str(Limits.MaxHelloBytes), U64, Bin(Limits.MaxHelloBytes)),
            input => HelloCodec.TryDecode(input, out ClientHello? _),
            _ => FuzzTests.ClientHello(),
            Sample(new ClientHello { ClusterId = "c", ClientName = "naïve", Features = 1 })),
        new(
            "HelloAck",
            Fields(I32, Str(Limits.MaxHelloBytes), Str(Limits.MaxHelloBytes), U32, Bin16, U64, Bin(Limits.MaxHelloBytes), U64, U64),
            input => HelloCodec.TryDecode(input, out HelloAck? _),
            _ => FuzzTests.HelloAck(),
            Sample(new HelloAck
            {
                Protocol = 1,
                ClusterId = "local",
                NodeName = "n2",
                NodeId = new NodeId(2),
                Uuid = Guid.Parse("ffffffff-4455-6677-8899-aabbccddeeff"),
                Incarnation = 3,
                LayoutHash = new byte[] { 1, 2 },
                Features = 4,
                Epoch = 5,
            })),
        new(
            "HelloRefused",
            Fields(Within(0, 255), Str(Limits.MaxHelloBytes)),
            input => HelloCodec.TryDecode(input, out HelloRefused? _),
            _ => FuzzTests.HelloRefused(),
            Sample(new HelloRefused(HelloRefusal.UuidChanged, "n2 has lost its data directory; remove and rejoin it"))),
    ];

    private static BodyRule Request(int items) => Fields(
        Within(1, 5), Bin(), Bin(), OrNil(Str(Limits.MaxTextBytes)), Within(0, 3), U64, I64, I64, Within(0, 3), OrNil(Id), I32,
        Within(0, 255), U64, items == 0 ? NoElement : ListOf(Request(0), items), OrNil(Terms));

    private static BodyRule Reply(int items) => Fields(
        Within(0, 65_535), Within(0, 3), U64, Bool, Bin(), OrNil(Str(Limits.MaxTextBytes)), I64, OrNil(Evidence), U32,
        OrNil(Str(Limits.MaxTextBytes)), I32, U64, items == 0 ? NoElement : ListOf(Reply(0), items), U32, OrNil(Lag));

    private static (byte[] Bytes, object?[] Fields) Sample(KvRequest request) => (CodecTests.Encode(request), FieldsOf(request));

    private static (byte[] Bytes, object?[] Fields) Sample(KvReply reply) => (CodecTests.Encode(reply), FieldsOf(reply));

    private static (byte[] Bytes, object?[] Fields) Sample(PeerHello hello) => (Encoded(output => HelloCodec.Encode(output, hello)),
    [
        1, hello.ProtocolMin, hello.ProtocolMax, hello.ClusterId, hello.NodeName, hello.NodeId.Value, hello.Uuid.ToByteArray(bigEndian: true),
        hello.Incarnation, hello.Process, hello.LayoutHash.ToArray(), hello.ExpectedPeer, hello.Features, hello.Credentials.ToArray(),
    ]);

    private static (byte[] Bytes, object?[] Fields) Sample(ClientHello hello) => (Encoded(output => HelloCodec.Encode(output, hello)),
        [2, hello.ProtocolMin, hello.ProtocolMax, hello.ClusterId, hello.ClientName, hello.Features, hello.Credentials.ToArray()]);

    private static (byte[] Bytes, object?[] Fields) Sample(HelloAck ack) => (Encoded(output => HelloCodec.Encode(output, ack)),
    [
        ack.Protocol, ack.ClusterId, ack.NodeName, ack.NodeId.Value, ack.Uuid.ToByteArray(bigEndian: true), ack.Incarnation,
        ack.LayoutHash.ToArray(), ack.Features, ack.Epoch,
    ]);

    private static (byte[] Bytes, object?[] Fields) Sample(HelloRefused refused) =>
        (Encoded(output => HelloCodec.Encode(output, refused)), [(int)refused.Reason, refused.Detail]);

    internal static object?[] FieldsOf(KvRequest request) =>
    [
        (int)request.Operation, request.Key.ToArray(), request.Value.ToArray(), request.ContentType, (int)request.Condition.Kind,
        request.Condition.Revision, request.Delta, request.Initial, (int)request.Level,
        request.Id is { } id ? new object?[] { BigEndian(id.Client), id.Sequence, id.FirstSentMs, id.AckedBelow, id.Digest } : null,
        request.TimeoutMs, (int)request.HopsLeft, request.Epoch, request.Items.Select(FieldsOf).ToArray<object?>(), TermsOf(request),
    ];

    internal static object?[] FieldsOf(KvReply reply) =>
    [
        (int)reply.Code, (int)reply.Outcome, reply.Revision, reply.Changed, reply.Value.ToArray(), reply.ContentType, reply.Number,
        reply.Evidence is { } e
            ? new object?[] { (int)e.Level, e.AgeMs, e.Group.Value, e.Term, e.Applied, e.Node.Value, (int)e.Role, (int)e.Path }
            : null,
        reply.LeaderHint.Value, reply.Detail, reply.RetryAfterMs, reply.Epoch, reply.Items.Select(FieldsOf).ToArray<object?>(), reply.History,
        reply.Lag is { } lag ? new object?[] { lag.Entries, lag.AgeMs } : null,
    ];

    private static object?[]? TermsOf(KvRequest request)
    {
        object?[] terms =
        [
            request.MaxStalenessMs, request.MaxLag, request.Session.Applied, request.Session.History, (int)request.OnUnmet,
            (int)request.Ack, request.WithoutValue,
        ];
        return MessagePackTree.TextOf(terms) == "[0, nil, 0, 0, 0, 0, false]" ? null : terms;
    }

    private static byte[] BigEndian(UInt128 value) => Convert.FromHexString(value.ToString("X32"));

    private static byte[] Encoded(Action<ArrayBufferWriter<byte>> encode) => FuzzTests.Encoded(encode);
}
