using System.Buffers;
using System.Text;
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

/// <summary>
/// Every body of the protocol. A new one is a new entry: rule, samples, fields. So is a new operation, "Operation" and its name in the
/// table, and a new result, "Result" and the name of its record.
/// </summary>
internal static class SampleBodies
{
    private static readonly BodyRule Id = Fields(Bin16, U64, U64, U64, Within(0, 255), U64);
    private static readonly BodyRule Terms = Fields(Within(0, 3), I32, OrNil(U64), Within(0, 2));
    private static readonly BodyRule Session = Fields(U64, U32);
    private static readonly BodyRule Evidence = Fields(Within(0, 3), U32, U32, U64, U64, U32, Within(1, 3), Within(0, 2));
    private static readonly BodyRule Lag = Fields(U64, U32);

    private static readonly BodyRule GetBody = Whole(Exactly(Bin(), Bool));
    private static readonly BodyRule PutBody = Whole(Exactly(Bin(), Within(0, 3), U64, StoredBin(spelledOut: false)));
    private static readonly BodyRule DeleteBody = Whole(Exactly(Bin(), Within(0, 3), U64));
    private static readonly BodyRule IncrementBody = Whole(Exactly(Bin(), Within(0, 3), U64, I64, I64));
    private static readonly BodyRule AppendBody = Whole(Exactly(Bin(), Within(0, 3), U64, StoredBin(spelledOut: false)));

    private static readonly BodyRule RoutingBody = Whole(Exactly(U64));

    private static readonly (int First, BodyRule Rule)[] BatchItems =
        [OperationOf(2, PutBody), OperationOf(3, DeleteBody), OperationOf(4, IncrementBody), OperationOf(6, AppendBody)];

    private static readonly BodyRule ConditionRule = ByNumber(
        null,
        (1, Exactly(Within(1, 1), Bin(), U64)), (2, Exactly(Within(2, 2), Bin())), (3, Exactly(Within(3, 3), Bin())),
        (4, Exactly(Within(4, 4), Bin(), Bin())), (5, Exactly(Within(5, 5), Bin(), StoredBin(spelledOut: false))));

    private static readonly (int First, BodyRule Rule)[] TransactionItems = [OperationOf(1, GetBody), .. BatchItems];

    private static readonly BodyRule TransactionBody = Whole(
        Lists(least: 1, Limits.MaxBatchItems, ConditionRule, ByNumber(null, TransactionItems), ByNumber(null, TransactionItems)));

    private static readonly BodyRule BatchBody = Whole(ListOf(ByNumber(null, BatchItems), Limits.MaxBatchItems, least: 1));

    /// <summary>What a node does not know it keeps as it is, to refuse it by name.</summary>
    private static readonly (int First, BodyRule Rule)[] Operations =
        [OperationOf(1, GetBody), .. BatchItems, OperationOf(5, BatchBody), OperationOf(7, RoutingBody), OperationOf(8, TransactionBody)];

    private static readonly BodyRule Operation = ByNumber(Exactly(Within(0, 255), Bin()), Operations);

    /// <summary>Numbers of the operations that may stand in a request, in a batch and in a transaction.</summary>
    public static IEnumerable<int> Requested => Operations.Select(operation => operation.First);

    public static IEnumerable<int> InBatches => BatchItems.Select(operation => operation.First);

    public static IEnumerable<int> InTransactions => TransactionItems.Select(operation => operation.First);

    private static readonly (int First, BodyRule Rule) FoundResult = (1, Fields(Within(1, 1), U64, StoredBin(spelledOut: true)));
    private static readonly (int First, BodyRule Rule) WrittenResult = (2, Fields(Within(2, 2), U64, Bool));
    private static readonly (int First, BodyRule Rule) DeletedResult = (3, Fields(Within(3, 3), U64, Bool));
    private static readonly (int First, BodyRule Rule) CountedResult = (4, Fields(Within(4, 4), U64, I64));
    private static readonly (int First, BodyRule Rule) CurrentResult = (6, Fields(Within(6, 6), U64));
    private static readonly (int First, BodyRule Rule) BatchResultResult = (5, Fields(
        Within(5, 5),
        U64,
        ListOf(Item(ByNumber(null, FoundResult, WrittenResult, DeletedResult, CountedResult, CurrentResult)), Limits.MaxBatchItems)));

    private static readonly (int First, BodyRule Rule) TransactionResultResult = (8, Fields(
        Within(8, 8),
        U64,
        Bool,
        ListOf(Item(ByNumber(null, FoundResult, WrittenResult, DeletedResult, CountedResult, CurrentResult)), Limits.MaxBatchItems)));

    private static readonly BodyRule AddressField = Str(Limits.MaxTextBytes);

    private static readonly (int First, BodyRule Rule) RoutingResult = (7, Fields(
        Within(7, 7),
        U64,
        ListOf(Fields(U32, AddressField, AddressField, AddressField, AddressField), 1024),
        ListOf(U32, Limits.SlotCount),
        ListOf(ListOf(Fields(U64, U32), 64), Limits.SlotCount + 1),
        ListOf(Fields(U32, U32, U64), Limits.SlotCount + 1)));

    private static readonly BodyRule AnyResult =
        ByNumber(null, FoundResult, WrittenResult, DeletedResult, CountedResult, BatchResultResult, CurrentResult, RoutingResult, TransactionResultResult);

    private static readonly BodyRule Starts = ListOf(U64, int.MaxValue);

    private static readonly BodyRule FlatId = Fields(Bin16, U64, U64, U64, U64);
    private static readonly BodyRule FlatTerms = Fields(I32, OrNil(U64), U64, U32, Within(0, 2), Within(0, 1), Bool);

    // One reader takes both forms, so one rule has both.
    private static readonly BodyRule Request = ByFirstElement(
        array: Fields(
            Operation, OrNil(Id), I32, Within(0, 255), U64, OrNil(Terms), Within(0, 1), OrNil(Session), U64, OrNil(Anything), OrNil(Anything)),
        other: ByNumber(
            FlatRequest(Within(1, 4), ListOf(FlatRequest(Within(1, 5), NoElement), Limits.MaxBatchItems)),
            (5, FlatRequest(Within(5, 5), ListOf(FlatRequest(Within(2, 4), NoElement), Limits.MaxBatchItems, least: 1)))));

    private static readonly BodyRule Reply = ByFirstElement(
        array: Fields(Ended(AnyResult), OrNil(Evidence), U32, I32, U64, U32, OrNil(Lag)),
        other: FlatReply(ListOf(FlatReply(NoElement), Limits.MaxBatchItems)));

    private static readonly Asked Get = new(1, "k");
    private static readonly Asked Explain = new(1, "k") { WithoutValue = true };
    private static readonly Asked Put = new(2, "k") { Value = "v", ContentType = "text/plain", Condition = new(ConditionKind.Absent) };
    private static readonly Asked LargePut = new(2, "k") { Value = new string('v', 70_000) };
    private static readonly Asked Delete = new(3, "k") { Condition = new(ConditionKind.RevisionIs, 1UL << 40) };
    private static readonly Asked Increment = new(4, "k") { Delta = long.MinValue, Initial = -129 };
    private static readonly Asked Append = new(6, "k") { Value = "v", ContentType = "a/b", Condition = new(ConditionKind.RevisionIs, 300) };
    private static readonly Asked Routing = new(7, "") { Epoch = 1UL << 40 };
    private static readonly Asked Batch = new(5, "{b}1")
    {
        Items = [new(2, "{b}1") { Value = "1" }, new(2, "{b}2") { Value = "2" }],
    };

    private static readonly Asked Transaction = new(8, "{t}1")
    {
        Conditions =
        [
            KeyCondition.RevisionIs("{t}1"u8.ToArray(), 1UL << 40), KeyCondition.Exists("{t}2"u8.ToArray()), KeyCondition.Absent("{t}3"u8.ToArray()),
            KeyCondition.ValueIs("{t}4"u8.ToArray(), new byte[300]), KeyCondition.StoredIs("{t}5"u8.ToArray(), "v"u8, "a/b"),
        ],
        Items = [new(2, "{t}1") { Value = "1" }, new(1, "{t}2")],
        Otherwise = [new(1, "{t}1") { WithoutValue = true }],
    };

    /// <summary>Every field of every write that feature level 1 knows.</summary>
    private static readonly Asked FullBatch = new(5, "{user}.a")
    {
        Items =
        [
            new(2, "{user}.a")
            {
                Value = "\u0001\u0002\u0003",
                ContentType = "text/plain; charset=utf-8",
                Condition = new(ConditionKind.RevisionIs, 0x0198_7654_3210_0001),
            },
            new(3, "{user}.b") { Condition = new(ConditionKind.Exists, ulong.MaxValue) },
            new(4, "{user}.c") { Delta = -7, Initial = long.MinValue, Condition = new(ConditionKind.Absent, 1) },
        ],
    };

    private static readonly Found Value300 = new(0, StoredOf("text/plain", new byte[300]));

    public static IReadOnlyList<SampleBody> All { get; } =
    [
        new(
            "Request",
            Request,
            input => KvRequestCodec.TryDecode(input, out _),
            random => CodecTests.Encode(Samples.RandomRequest(random)),
            Sample(Get),
            Sample(Explain, new() { Operation = Explain.Operation, Read = ReadTerms.Eventual }),
            Sample(Get, new() { Operation = Get.Operation, Read = Bounded }),
            Sample(Get, new() { Operation = Get.Operation, Session = new SessionPoint(0, 70_000), TimeoutMs = -1, HopsLeft = 255 }),
            Sample(Put),
            Sample(Delete, new() { Operation = Delete.Operation, Ack = WriteAck.All, Epoch = 1UL << 32 }),
            Sample(Increment, new()
            {
                Operation = Increment.Operation,
                Id = new RequestId(UInt128.MaxValue, 1, 0, 1, new RequestDigest(DigestAlgorithm.Body, ulong.MaxValue)),
            }),
            Sample(Batch),
            Sample(Append),
            Sample(Routing),
            Sample(Transaction),
            Sample(LargePut),
            Sample(FullBatch, Samples.FullRequest with { Operation = FullBatch.Operation }),
            (CodecTests.Encode(new KvRequest { Operation = new UnknownOperation(200, new byte[] { 0xC1 }) }),
                [new object?[] { 200, new byte[] { 0xC1 } }, null, 5000, 1, 0, null, 0, null, 0, null, null])),
        new(
            "Reply",
            Reply,
            input => KvReplyCodec.TryDecode(input, Samples.FullBatch, out _),
            random => CodecTests.Encode(Samples.RandomReply(random)),
            [
                Sample(new KvReply()),
                Sample(new KvReply { Code = ErrorCode.KeyNotFound, Evidence = Samples.LargestEvidence }),
                Sample(new KvReply { Code = ErrorCode.NoLeader, LeaderHint = new NodeId(3), Detail = "naïve", RetryAfterMs = 250 }),
                Sample(new KvReply { Result = new Written(300, Created: true), Epoch = 1 }),
                Sample(new KvReply { Result = Value300, Lag = new ReplicaLag(1 << 20, 5) }),
                .. Samples.FullReplies.Select(full => Sample(full.Reply)),
            ]),
        new(
            "Flat request",
            Request,
            input => KvRequestCodec.TryDecode(input, out _),
            random => CodecTests.EncodeFlat(Samples.RandomFlatRequest(random)),
            FlatSample(Get),
            FlatSample(Explain),
            FlatSample(Get, new() { Operation = Get.Operation, Read = Bounded }),
            FlatSample(Put),
            FlatSample(Delete),
            FlatSample(Increment),
            FlatSample(Batch),
            FlatSample(LargePut),
            FlatSample(FullBatch, Samples.FullFlatRequest with { Operation = FullBatch.Operation })),
        new(
            "Flat reply",
            Reply,
            input => KvReplyCodec.TryDecode(input, Samples.FullBatch, out _),
            random => CodecTests.EncodeFlat(Samples.RandomFlatReply(random, Samples.RandomFlatOperation(random))),
            [
                FlatSample(new KvReply { Code = ErrorCode.KeyNotFound, Evidence = Samples.LargestEvidence }),
                FlatSample(new KvReply { Result = new Written(300, Created: true), Epoch = 1 }),
                FlatSample(new KvReply { Result = Value300, Lag = new ReplicaLag(1 << 20, 5) }),
                .. Samples.FullReplies.Select(full => FlatSample(full.Reply)),
            ]),
        OfOperation("get", 1, GetBody, Get, Explain, new(1, new string('k', 300))),
        OfOperation(
            "put", 2, PutBody, Put, LargePut, new(2, "") { Condition = new(ConditionKind.Exists) }, FullBatch.Items[0],
            new(2, "k") { Value = "naïve", ContentType = new string('t', 127) }),
        OfOperation("delete", 3, DeleteBody, Delete, new(3, "k"), FullBatch.Items[1]),
        OfOperation("incr", 4, IncrementBody, Increment, new(4, "k"), new(4, "k") { Delta = -33, Initial = long.MaxValue }, FullBatch.Items[2]),
        OfOperation(
            "batch", 5, BatchBody, Batch, FullBatch, new(5, "k") { Items = [Delete] }, new(5, "k") { Items = [Append, Put] },
            new(5, "k") { Items = [.. Enumerable.Repeat(new Asked(4, "k"), Limits.MaxBatchItems)] }),
        OfOperation(
            "append", 6, AppendBody, Append, new(6, "k"),
            new(6, new string('k', 300)) { Value = new string('v', 70_000), ContentType = new string('t', 127) }),
        OfOperation("routing", 7, RoutingBody, Routing, new(7, ""), new(7, "") { Epoch = ulong.MaxValue }),
        OfOperation(
            "txn", 8, TransactionBody, Transaction, new(8, "k") { Items = [Get] }, new(8, "k") { Otherwise = [Append, Increment] },
            new(8, "k") { Conditions = [.. Enumerable.Repeat(KeyCondition.Exists("k"u8.ToArray()), Limits.MaxBatchItems)] }),
        OfResult<Found>(FoundResult.Rule, Value300, new Found(ulong.MaxValue, StoredOf(null, [])), new Found(1, StoredOf(null, new byte[70_000]))),
        OfResult<Written>(WrittenResult.Rule, new Written(1, Created: true), new Written(ulong.MaxValue, Created: false)),
        OfResult<Deleted>(DeletedResult.Rule, new Deleted(1, Existed: true), new Deleted(256, Existed: false)),
        OfResult<Counted>(CountedResult.Rule, new Counted(1, long.MinValue), new Counted(65_536, long.MaxValue), new Counted(2, -1)),
        OfResult<BatchResult>(
            BatchResultResult.Rule,
            new BatchResult(0, []),
            new BatchResult(
                7,
                [
                    new ItemResult(ErrorCode.None, Outcome.Applied, null, Value300),
                    new ItemResult(ErrorCode.None, Outcome.Applied, null, new Deleted(6, Existed: true)),
                    new ItemResult((ErrorCode)65_535, Outcome.Unknown, "naïve", null),
                    new ItemResult(ErrorCode.TooLarge, Outcome.NotApplied, null, new Current(3)) { IsHeldBack = true },
                ]),
            Samples.FullReply.Result!),
        OfResult<TransactionResult>(
            TransactionResultResult.Rule,
            new TransactionResult(0, Succeeded: false, []),
            new TransactionResult(
                7,
                Succeeded: true,
                [
                    new ItemResult(ErrorCode.None, Outcome.None, null, Value300),
                    new ItemResult(ErrorCode.None, Outcome.Applied, null, new Counted(6, -1)),
                    new ItemResult(ErrorCode.Superseded, Outcome.None, "gone", new Current(5)),
                ])),
        OfResult<ClusterRouting>(RoutingResult.Rule, Samples.FullClusterRouting, new ClusterRouting(1, [], [], [], [])),
        OfResult<Current>(CurrentResult.Rule, new Current(0), new Current(ulong.MaxValue)),
        new(
            "Hello of a peer",
            FieldsSince(13, Within(1, 1), I32, I32, Str(Limits.MaxHelloBytes), Str(Limits.MaxHelloBytes), U32, Bin16, U64, U64,
                Bin(Limits.MaxHelloBytes), Str(Limits.MaxHelloBytes), U64, Bin(Limits.MaxHelloBytes), Within(0, 65_535), OrNil(Starts), OrNil(U64)),
            input => HelloCodec.TryDecode(input, out PeerHello? _),
            random => WithOrWithoutLevel(random, FuzzTests.PeerHello()),
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
                Features = (FeatureBits)5,
                Level = 300,
            }),
            Sample(new PeerHello
            {
                ClusterId = "local",
                NodeName = "n1",
                NodeId = new NodeId(1),
                Uuid = Guid.Empty,
                Incarnation = 2,
                Process = 1,
                LayoutHash = new byte[1],
                ExpectedPeer = "n2",
                Starts = [new FolderStart(1, 0), new FolderStart(2, ulong.MaxValue)],
            }),
            Sample(new PeerHello
            {
                ClusterId = "local",
                NodeName = "n1",
                NodeId = new NodeId(1),
                Uuid = Guid.Empty,
                Incarnation = 2,
                Process = 1,
                LayoutHash = new byte[1],
                ExpectedPeer = "n2",
                WallMs = 1_767_225_600_000,
            })),
        new(
            "Hello of a client",
            FieldsSince(7, Within(2, 2), I32, I32, Str(Limits.MaxHelloBytes), Str(Limits.MaxHelloBytes), U64, Bin(Limits.MaxHelloBytes),
                Within(0, 65_535)),
            input => HelloCodec.TryDecode(input, out ClientHello? _),
            random => WithOrWithoutLevel(random, FuzzTests.ClientHello()),
            Sample(new ClientHello { ClusterId = "c", ClientName = "naïve", Features = (FeatureBits)1 })),
        new(
            "HelloAck",
            FieldsSince(9, I32, Str(Limits.MaxHelloBytes), Str(Limits.MaxHelloBytes), U32, Bin16, U64, Bin(Limits.MaxHelloBytes), U64, U64,
                Within(0, 65_535), OrNil(U64), OrNil(Starts), OrNil(U64)),
            input => HelloCodec.TryDecode(input, out HelloAck? _),
            random => WithOrWithoutLevel(random, FuzzTests.HelloAck()),
            Sample(new HelloAck
            {
                Protocol = 1,
                ClusterId = "local",
                NodeName = "n2",
                NodeId = new NodeId(2),
                Uuid = Guid.Parse("ffffffff-4455-6677-8899-aabbccddeeff"),
                Incarnation = 3,
                LayoutHash = new byte[] { 1, 2 },
                Features = (FeatureBits)4,
                Epoch = 5,
                Level = ushort.MaxValue,
            }),
            Sample(new HelloAck
            {
                Protocol = 1,
                ClusterId = "local",
                NodeName = "n2",
                NodeId = new NodeId(2),
                Uuid = Guid.Empty,
                Incarnation = 300,
                LayoutHash = new byte[] { 1, 2 },
                Process = 70_000,
                Starts = [new FolderStart(300, 70_000)],
            }),
            Sample(new HelloAck
            {
                Protocol = 1,
                ClusterId = "local",
                NodeName = "n2",
                NodeId = new NodeId(2),
                Uuid = Guid.Empty,
                Incarnation = 300,
                LayoutHash = new byte[] { 1, 2 },
                Process = 70_000,
                WallMs = ulong.MaxValue,
            })),
        new(
            "HelloRefused",
            Fields(Within(0, 255), Str(Limits.MaxHelloBytes)),
            input => HelloCodec.TryDecode(input, out HelloRefused? _),
            _ => FuzzTests.HelloRefused(),
            Sample(new HelloRefused(HelloRefusal.UuidChanged, "n2 has lost its data directory; remove and rejoin it"))),
        new(
            "Credit",
            Fields(Within(1, int.MaxValue)),
            input => StreamCodec.TryDecodeCredit(input, out _),
            random => Encoded(output => StreamCodec.EncodeCredit(output, 1 + (random.Next() >> random.Next(31)))),
            (Encoded(output => StreamCodec.EncodeCredit(output, 1)), [1]),
            (Encoded(output => StreamCodec.EncodeCredit(output, 65_536)), [65_536]),
            (Encoded(output => StreamCodec.EncodeCredit(output, int.MaxValue)), [int.MaxValue])),
        new(
            "GoAway",
            Fields(Within(0, 255), Within(0, int.MaxValue)),
            input => StreamCodec.TryDecode(input, out _),
            random => Encoded(output => StreamCodec.Encode(output, new GoAway((GoAwayReason)random.Next(256), random.Next() >> random.Next(31)))),
            (Encoded(output => StreamCodec.Encode(output, new GoAway((GoAwayReason)1, 30_000))), [1, 30_000]),
            (Encoded(output => StreamCodec.Encode(output, new GoAway((GoAwayReason)255, 0))), [255, 0])),
    ];

    private static ReadTerms Bounded => new() { Level = ReadLevel.Bounded, MaxStalenessMs = 500, MaxLag = 70_000 };

    private static (int First, BodyRule Rule) OperationOf(int code, BodyRule body) => (code, Exactly(Within(code, code), InBin(body)));

    private static BodyRule Ended(BodyRule result) =>
        Fields(Within(0, 65_535), Within(0, 3), OrNil(Str(Limits.MaxTextBytes)), OrNil(result));

    private static BodyRule Item(BodyRule result) =>
        FieldsSince(4, Within(0, 65_535), Within(0, 3), OrNil(Str(Limits.MaxTextBytes)), OrNil(result), Bool);

    private static BodyRule FlatRequest(BodyRule code, BodyRule items) => Fields(
        code, Bin(), Bin(), OrNil(Str(Limits.MaxTextBytes)), Within(0, 3), U64, I64, I64, Within(0, 3), OrNil(FlatId), I32,
        Within(0, 255), U64, items, OrNil(FlatTerms));

    // A content type is one that can be stored, or the value would be lost without a word.
    private static BodyRule FlatReply(BodyRule items) => Fields(
        Within(0, 65_535), Within(0, 3), U64, Bool, Bin(), OrNil(AsciiStr(Limits.MaxContentTypeBytes)), I64, OrNil(Evidence), U32,
        OrNil(Str(Limits.MaxTextBytes)), I32, U64, items, U32, OrNil(Lag));

    private static SampleBody OfOperation(string name, byte code, BodyRule rule, params Asked[] samples) => new(
        "Operation " + name,
        rule,
        input => OperationTable.TryRead(code, input) is null ? DecodeResult.Malformed : DecodeResult.Ok,
        random => RandomAsked(random, code).Operation.Body.ToArray(),
        [.. samples.Select(asked => (asked.Operation.Body.ToArray(), asked.Body))]);

    private static SampleBody OfResult<T>(BodyRule rule, params Result[] samples)
        where T : Result => new(
        "Result " + typeof(T).Name,
        rule,
        input =>
        {
            var reader = new MessagePackReader(input);
            return Result.TryRead(ref reader, isItem: false, out var result) && result is T ? DecodeResult.Ok : DecodeResult.Malformed;
        },
        random =>
        {
            while (true)
            {
                if (Samples.RandomReply(random).Result is T result)
                {
                    return Encoded(result);
                }
            }
        },
        [.. samples.Select(result => (Encoded(result), FieldsOf(result)))]);

    private static Asked RandomAsked(Random random, int code)
    {
        return new Asked(code, Text(40))
        {
            Value = Text(300),
            ContentType = random.Next(2) == 0 ? null : "text/" + new string('x', random.Next(123)),
            Condition = new KvCondition((ConditionKind)random.Next(4), Number()),
            Delta = (long)Number(),
            Initial = -(long)(Number() >> 1),
            WithoutValue = random.Next(2) == 0,
            Epoch = Number(),
            Items = code == 5
                ? [.. Enumerable.Range(0, random.Next(1, 5)).Select(_ => RandomAsked(random, BatchItems[random.Next(BatchItems.Length)].First))]
                : code == 8 ? RandomItems() : [],
            Otherwise = code == 8 ? RandomItems() : [],
            Conditions = code == 8 ? [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => RandomCondition())] : [],
        };

        Asked[] RandomItems() =>
            [.. Enumerable.Range(0, random.Next(4)).Select(_ => RandomAsked(random, TransactionItems[random.Next(TransactionItems.Length)].First))];

        KeyCondition RandomCondition()
        {
            byte[] key = Encoding.UTF8.GetBytes(Text(40));
            byte[] value = Encoding.UTF8.GetBytes(Text(300));
            return random.Next(5) switch
            {
                0 => KeyCondition.RevisionIs(key, Number()),
                1 => KeyCondition.Exists(key),
                2 => KeyCondition.Absent(key),
                3 => KeyCondition.ValueIs(key, value),
                _ => KeyCondition.StoredIs(key, value, random.Next(2) == 0 ? null : "text/" + new string('x', random.Next(100))),
            };
        }

        string Text(int below) => new([.. Enumerable.Range(0, random.Next(below)).Select(_ => (char)random.Next(0x20, 0x250))]);

        // Uniform in length of the number, so that every form of an integer occurs.
        ulong Number() => (ulong)random.NextInt64(long.MinValue, long.MaxValue) >> random.Next(64);
    }

    private static (byte[] Bytes, object?[] Fields) Sample(Asked asked) => Sample(asked, new KvRequest { Operation = asked.Operation });

    private static (byte[] Bytes, object?[] Fields) Sample(Asked asked, KvRequest request) =>
        (CodecTests.Encode(request), FieldsOf(asked, request));

    private static (byte[] Bytes, object?[] Fields) Sample(KvReply reply) => (CodecTests.Encode(reply), FieldsOf(reply));

    private static (byte[] Bytes, object?[] Fields) FlatSample(Asked asked) =>
        FlatSample(asked, new KvRequest { Operation = asked.Operation });

    private static (byte[] Bytes, object?[] Fields) FlatSample(Asked asked, KvRequest request) =>
        (CodecTests.EncodeFlat(request), FlatFieldsOf(asked, request));

    private static (byte[] Bytes, object?[] Fields) FlatSample(KvReply reply) => (CodecTests.EncodeFlat(reply), FlatFieldsOf(reply));

    private static (byte[] Bytes, object?[] Fields) Sample(PeerHello hello) => (Encoded(output => HelloCodec.Encode(output, hello)),
    [
        1, hello.ProtocolMin, hello.ProtocolMax, hello.ClusterId, hello.NodeName, hello.NodeId.Value, hello.Uuid.ToByteArray(bigEndian: true),
        hello.Incarnation, hello.Process, hello.LayoutHash.ToArray(), hello.ExpectedPeer, (ulong)hello.Features, hello.Credentials.ToArray(),
        (int)hello.Level, .. hello.WallMs != 0 ? [hello.Starts.Count == 0 ? null : StartsOf(hello.Starts), hello.WallMs]
            : hello.Starts.Count == 0 ? Array.Empty<object?>() : [StartsOf(hello.Starts)],
    ]);

    private static object?[] StartsOf(IReadOnlyList<FolderStart> starts) =>
        [.. starts.SelectMany(start => new object?[] { start.Incarnation, start.Process })];

    private static (byte[] Bytes, object?[] Fields) Sample(ClientHello hello) => (Encoded(output => HelloCodec.Encode(output, hello)),
    [
        2, hello.ProtocolMin, hello.ProtocolMax, hello.ClusterId, hello.ClientName, (ulong)hello.Features, hello.Credentials.ToArray(),
        (int)hello.Level,
    ]);

    private static (byte[] Bytes, object?[] Fields) Sample(HelloAck ack) => (Encoded(output => HelloCodec.Encode(output, ack)),
    [
        ack.Protocol, ack.ClusterId, ack.NodeName, ack.NodeId.Value, ack.Uuid.ToByteArray(bigEndian: true), ack.Incarnation,
        ack.LayoutHash.ToArray(), (ulong)ack.Features, ack.Epoch, (int)ack.Level,
        .. ack.Process == 0 ? Array.Empty<object?>() : [ack.Process, StartsOf(ack.Starts)], .. ack.WallMs == 0 ? Array.Empty<object?>() : [ack.WallMs],
    ]);

    private static (byte[] Bytes, object?[] Fields) Sample(HelloRefused refused) =>
        (Encoded(output => HelloCodec.Encode(output, refused)), [(int)refused.Reason, refused.Detail]);

    private static object?[] FieldsOf(Asked asked, KvRequest request) =>
    [
        new object?[] { asked.Code, MessagePackTree.WriteByPackage(asked.Body) },
        request.Id is { } id
            ? new object?[]
            {
                BigEndian(id.Client), id.Sequence, id.FirstSentMs, id.AckedBelow, (int)id.Digest.Algorithm, id.Digest.Value,
            }
            : null,
        request.TimeoutMs, (int)request.HopsLeft, request.Epoch,
        NilIf("[0, 0, nil, 0]", [(int)request.Read.Level, request.Read.MaxStalenessMs, request.Read.MaxLag, (int)request.Read.OnUnmet]),
        (int)request.Ack, NilIf("[0, 0]", [request.Session.Applied, request.Session.History]), (ulong)request.Requires, null, null,
    ];

    internal static object?[] FieldsOf(KvReply reply) =>
    [
        FieldsOf(new ItemResult(reply.Code, reply.Outcome, reply.Detail, reply.Result)), FieldsOf(reply.Evidence), reply.LeaderHint.Value,
        reply.RetryAfterMs, reply.Epoch, reply.History, FieldsOf(reply.Lag),
    ];

    private static object?[] FieldsOf(ItemResult item) =>
    [
        (int)item.Code, (int)item.Outcome, item.Detail, item.Result is { } result ? FieldsOf(result) : null,
        .. item.IsHeldBack ? new object?[] { true } : [],
    ];

    private static object?[] FieldsOf(Result result) => result switch
    {
        Found found => [1, found.Revision, found.Stored.ToArray()],
        Written written => [2, written.Revision, written.Created],
        Deleted deleted => [3, deleted.Revision, deleted.Existed],
        Counted counted => [4, counted.Revision, counted.Number],
        BatchResult batch => [5, batch.Revision, batch.Items.Select(FieldsOf).ToArray<object?>()],
        TransactionResult txn => [8, txn.Revision, txn.Succeeded, txn.Items.Select(FieldsOf).ToArray<object?>()],
        Current current => [6, current.Revision],
        ClusterRouting routing =>
        [
            7, routing.Revision,
            routing.Nodes.Select(node => new object?[] { node.Node.Value, node.Name, node.Http, node.Binary, node.Zone }).ToArray<object?>(),
            routing.GroupOfVirtualNode.Select(group => group.Value).Cast<object?>().ToArray(),
            routing.Replicas.Select(of => of.Select(one => new object?[] { one.ReplicaId, one.Node.Value }).ToArray<object?>()).ToArray<object?>(),
            routing.Leaders.Select(one => new object?[] { one.Group.Value, one.Leader.Value, one.Term }).ToArray<object?>(),
        ],
        _ => throw new ArgumentException($"the fields of {result.GetType().Name} are not written down here", nameof(result)),
    };

    private static object?[]? FieldsOf(Evidence? evidence) => evidence is { } e
        ? [(int)e.Level, e.AgeMs, e.Group.Value, e.Term, e.Applied, e.Node.Value, (int)e.Role, (int)e.Path]
        : null;

    private static object?[]? FieldsOf(ReplicaLag? lag) => lag is { } known ? [known.Entries, known.AgeMs] : null;

    private static object?[] FlatFieldsOf(Asked asked, KvRequest request) =>
    [
        asked.Code, Encoding.UTF8.GetBytes(asked.Key), Encoding.UTF8.GetBytes(asked.Value), asked.ContentType, (int)asked.Condition.Kind,
        asked.Condition.Revision, asked.Delta, asked.Initial, (int)request.Read.Level,
        request.Id is { } id ? new object?[] { BigEndian(id.Client), id.Sequence, id.FirstSentMs, id.AckedBelow, id.Digest.Value } : null,
        request.TimeoutMs, (int)request.HopsLeft, request.Epoch,
        asked.Items.Select(item => FlatFieldsOf(item, new KvRequest { Operation = item.Operation })).ToArray<object?>(),
        NilIf(
            "[0, nil, 0, 0, 0, 0, false]",
            [
                request.Read.MaxStalenessMs, request.Read.MaxLag, request.Session.Applied, request.Session.History,
                (int)request.Read.OnUnmet, (int)request.Ack, asked.WithoutValue,
            ]),
    ];

    private static object?[] FlatFieldsOf(KvReply reply)
    {
        byte[] stored = reply.Result is Found found ? found.Stored.ToArray() : [0];
        int type = stored[0];
        return
        [
            (int)reply.Code, (int)reply.Outcome, reply.Result?.Revision ?? 0UL,
            reply.Result is Written { Created: true } or Deleted { Existed: true },
            stored[(1 + type)..], type == 0 ? null : Encoding.ASCII.GetString(stored, 1, type),
            reply.Result is Counted counted ? counted.Number : 0L,
            FieldsOf(reply.Evidence), reply.LeaderHint.Value, reply.Detail, reply.RetryAfterMs, reply.Epoch,
            reply.Result is BatchResult batch
                ? batch.Items.Select(item => FlatFieldsOf(
                    new KvReply { Code = item.Code, Outcome = item.Outcome, Detail = item.Detail, Result = item.Result })).ToArray<object?>()
                : Array.Empty<object?>(),
            reply.History, FieldsOf(reply.Lag),
        ];
    }

    private static object?[]? NilIf(string defaults, object?[] fields) => MessagePackTree.TextOf(fields) == defaults ? null : fields;

    /// <summary>One byte n, n bytes of content type, the value.</summary>
    private static byte[] StoredOf(string? contentType, byte[] value) =>
        [(byte)(contentType?.Length ?? 0), .. Encoding.ASCII.GetBytes(contentType ?? ""), .. value];

    private static byte[] WithOrWithoutLevel(Random random, byte[] hello) => random.Next(2) == 0
        ? hello
        : MessagePackTree.WriteByPackage(((object?[])MessagePackTree.ReadByPackage(hello)!)[..^1]);

    private static byte[] BigEndian(UInt128 value) => Convert.FromHexString(value.ToString("X32"));

    private static byte[] Encoded(Action<ArrayBufferWriter<byte>> encode) => FuzzTests.Encoded(encode);

    private static byte[] Encoded(Result result) => Encoded(output =>
    {
        var writer = new MessagePackWriter(output);
        result.Write(ref writer);
        writer.Flush();
    });

    /// <summary>
    /// An operation in plain words. An operation of the protocol is its bytes and what it says are views of them, so it cannot vouch
    /// for them. What an operation does not use keeps the value that the flat form has for it.
    /// </summary>
    private sealed record Asked(int Code, string Key)
    {
        public string Value { get; init; } = "";

        public string? ContentType { get; init; }

        public KvCondition Condition { get; init; }

        public long Delta { get; init; } = 1;

        public long Initial { get; init; }

        public bool WithoutValue { get; init; }

        public ulong Epoch { get; init; }

        public Asked[] Items { get; init; } = [];

        public Asked[] Otherwise { get; init; } = [];

        public KeyCondition[] Conditions { get; init; } = [];

        public Operation Operation => Code switch
        {
            1 => new Protocol.Get(KeyBytes, WithoutValue),
            2 => new Protocol.Put(KeyBytes, Encoding.UTF8.GetBytes(Value), ContentType, Condition),
            3 => new Protocol.Delete(KeyBytes, Condition),
            4 => new Protocol.Increment(KeyBytes, Delta, Initial, Condition),
            5 => new Protocol.Batch([.. Items.Select(item => (KeyWrite)item.Operation)]),
            7 => new GetRouting(Epoch),
            8 => new Protocol.Transaction(Conditions, [.. Items.Select(item => item.Operation)], [.. Otherwise.Select(item => item.Operation)]),
            6 => new Protocol.Append(KeyBytes, Encoding.UTF8.GetBytes(Value), ContentType, Condition),
            _ => throw new InvalidOperationException($"add a case for operation {Code} here"),
        };

        /// <summary>The fields of its body.</summary>
        public object?[] Body => Code switch
        {
            1 => [KeyBytes, WithoutValue],
            2 or 6 => [KeyBytes, (int)Condition.Kind, Condition.Revision, StoredOf(ContentType, Encoding.UTF8.GetBytes(Value))],
            3 => [KeyBytes, (int)Condition.Kind, Condition.Revision],
            4 => [KeyBytes, (int)Condition.Kind, Condition.Revision, Delta, Initial],
            7 => [Epoch],
            5 => InBodies(Items),
            8 => [Conditions.Select(FieldsOf).ToArray<object?>(), InBodies(Items), InBodies(Otherwise)],
            _ => throw new InvalidOperationException($"add a case for operation {Code} here"),
        };

        private static object?[] InBodies(Asked[] items) =>
            [.. items.Select(item => new object?[] { item.Code, MessagePackTree.WriteByPackage(item.Body) })];

        private static object?[] FieldsOf(KeyCondition condition) => (int)condition.Kind switch
        {
            1 => [1, condition.Key.ToArray(), condition.Revision],
            4 or 5 => [(int)condition.Kind, condition.Key.ToArray(), condition.Value.ToArray()],
            int kind => [kind, condition.Key.ToArray()],
        };

        private byte[] KeyBytes => Encoding.UTF8.GetBytes(Key);
    }
}
