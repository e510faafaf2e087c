using System.Text;

namespace KvStore.Protocol.Tests;

/// <summary>Requests and replies with every field away from its default, and seeded random ones.</summary>
internal static class Samples
{
    public static Get FullGet => new("{user}.name"u8, withoutValue: true);

    public static Put FullPut => new(
        "{user}.a"u8, [1, 2, 3], "text/plain; charset=utf-8", new KvCondition(ConditionKind.RevisionIs, 0x0198_7654_3210_0001));

    public static Delete FullDelete => new("{user}.b"u8, new KvCondition(ConditionKind.Exists, ulong.MaxValue));

    public static Increment FullIncrement => new("{user}.c"u8, -7, long.MinValue, new KvCondition(ConditionKind.Absent, 1));

    public static Batch FullBatch => new(FullPut, FullDelete, FullIncrement);

    public static Append FullAppend => new("{user}.a"u8, [4, 5], "text/plain", new KvCondition(ConditionKind.Exists, 1));

    public static Transaction FullTransaction => new(
        [
            KeyCondition.RevisionIs("{user}.a"u8.ToArray(), 7), KeyCondition.Exists("{user}.b"u8.ToArray()),
            KeyCondition.Absent("{user}.c"u8.ToArray()), KeyCondition.ValueIs("{user}.d"u8.ToArray(), new byte[] { 1 }),
            KeyCondition.StoredIs("{user}.e"u8.ToArray(), [2], "text/plain"),
        ],
        [FullPut, FullGet, FullAppend],
        [FullDelete, FullIncrement]);

    public static IReadOnlyList<Operation> FullOperations => [FullGet, FullPut, FullDelete, FullIncrement, FullBatch, FullAppend, FullRouting, FullTransaction];

    public static GetRouting FullRouting => new(ulong.MaxValue);

    public static KvRequest FullRequest => new()
    {
        Operation = FullBatch,
        Read = new ReadTerms { Level = ReadLevel.Session, MaxStalenessMs = 750, MaxLag = ulong.MaxValue, OnUnmet = OnUnmet.Serve },
        Session = new SessionPoint(ulong.MaxValue, uint.MaxValue),
        Ack = WriteAck.All,
        Id = new RequestId(new UInt128(1, 2), 3, 1_700_000_000_000, 2, new RequestDigest(DigestAlgorithm.Fields, 0xDEAD_BEEF)),
        TimeoutMs = 1234,
        HopsLeft = 0,
        Epoch = 42,
        Requires = Requirements.Namespace | (Requirements)(1ul << 63),
    };

    /// <summary>As far as feature level 1 can say it.</summary>
    public static KvRequest FullFlatRequest => FullRequest with { Requires = Requirements.None };

    public static KvReply FullReply => new()
    {
        Code = ErrorCode.ConditionFailed,
        Outcome = Outcome.NotApplied,
        Result = new BatchResult(
            ulong.MaxValue,
            [
                new ItemResult(ErrorCode.None, Outcome.Applied, null, new Written(1, Created: true)),
                new ItemResult(ErrorCode.ConditionFailed, Outcome.NotApplied, "the key has another revision", new Current(ulong.MaxValue)),
                new ItemResult(ErrorCode.None, Outcome.Unknown, "because", new Counted(256, -1)),
            ]),
        Evidence = LargestEvidence,
        LeaderHint = new NodeId(3),
        Detail = "the key has another revision",
        RetryAfterMs = 250,
        Epoch = 7,
        History = 0xCAFE_F00D,
        Lag = new ReplicaLag(12, 340),
    };

    /// <summary>Every result, and the operation it answers.</summary>
    public static IReadOnlyList<(Operation Asked, KvReply Reply)> FullReplies =>
    [
        (FullBatch, FullReply),
        (FullGet, FullReply with { Code = ErrorCode.None, Result = Found([9, 8, 7], "application/json", ulong.MaxValue) }),
        (FullPut, FullReply with { Code = ErrorCode.None, Result = new Written(ulong.MaxValue, Created: true) }),
        (FullDelete, FullReply with { Code = ErrorCode.None, Result = new Deleted(ulong.MaxValue, Existed: true) }),
        (FullIncrement, FullReply with { Code = ErrorCode.None, Result = new Counted(ulong.MaxValue, long.MinValue) }),
        (FullPut, FullReply with { Result = new Current(ulong.MaxValue) }),
        (FullIncrement, FullReply with { Code = ErrorCode.NotANumber, Result = new Current(ulong.MaxValue) }),
        (FullGet, FullReply with { Code = ErrorCode.KeyNotFound, Result = null }),
    ];

    /// <summary>Of no operation that feature level 1 knows.</summary>
    public static ClusterRouting FullClusterRouting => new(
        ulong.MaxValue,
        [new AdvertisedNode(new NodeId(1), "n1", "127.0.0.1:7101", "127.0.0.1:7301", "a"), new AdvertisedNode(new NodeId(uint.MaxValue), "naïve", "", "", "")],
        [new GroupId(1), new GroupId(uint.MaxValue)],
        [[], [new ReplicaPlacement(1, new NodeId(1)), new ReplicaPlacement(ulong.MaxValue, new NodeId(uint.MaxValue))]],
        [new GroupLeader(new GroupId(1), new NodeId(2), ulong.MaxValue)]);

    public static Evidence LargestEvidence => new(
        ReadLevel.Eventual, uint.MaxValue, new GroupId(uint.MaxValue), ulong.MaxValue, ulong.MaxValue, new NodeId(uint.MaxValue),
        ServedRole.Learner, ServedPath.Forwarded);

    public static KvRequest Put(string key, string value) => new()
    {
        Operation = new Put(Encoding.UTF8.GetBytes(key), Encoding.UTF8.GetBytes(value)),
    };

    public static Found Found(ReadOnlySpan<byte> value, string? contentType = null, ulong revision = 1) =>
        new(revision, StoredValue.Of(contentType, value));

    public static KvRequest RandomRequest(Random random) => RandomFlatRequest(random) with
    {
        Operation = RandomOperation(random),
        Id = random.Next(2) == 0 ? null : RandomId(random, new RequestDigest((DigestAlgorithm)random.Next(256), Number(random))),
        Requires = (Requirements)Number(random),
    };

    /// <summary>One that feature level 1 can express.</summary>
    public static KvRequest RandomFlatRequest(Random random) => new()
    {
        Operation = RandomFlatOperation(random),
        Read = new ReadTerms
        {
            Level = (ReadLevel)random.Next(4),
            MaxStalenessMs = (int)Number(random),
            MaxLag = random.Next(2) == 0 ? null : Number(random),
            OnUnmet = (OnUnmet)random.Next(3),
        },
        Session = new SessionPoint(Number(random), (uint)Number(random)),
        Ack = (WriteAck)random.Next(2),
        Id = random.Next(2) == 0 ? null : RandomId(random, RequestDigest.OfFlat(Number(random))),
        TimeoutMs = (int)Number(random),
        HopsLeft = (byte)random.Next(256),
        Epoch = Number(random),
    };

    public static Operation RandomOperation(Random random) => random.Next(8) == 0
        ? new GetRouting(Number(random))
        : random.Next(8) == 0
        ? RandomTransaction(random)
        : random.Next(6) == 0
        ? new Append(Bytes(random, 40), Bytes(random, 300), RandomContentType(random), new KvCondition((ConditionKind)random.Next(4), Number(random)))
        : RandomFlatOperation(random);

    private static Transaction RandomTransaction(Random random) => new(
        [
            .. Some(random, () => random.Next(2) == 0
                ? KeyCondition.RevisionIs(Bytes(random, 40), Number(random))
                : KeyCondition.StoredIs(Bytes(random, 40), Bytes(random, 300), RandomContentType(random))),
            KeyCondition.Absent(Bytes(random, 40)),
        ],
        [.. Some(random, () => random.Next(2) == 0 ? (Operation)new Get(Bytes(random, 40)) : RandomKeyWrite(random))],
        [.. Some(random, () => RandomKeyWrite(random))]);

    /// <summary>One of those that feature level 1 knows.</summary>
    public static Operation RandomFlatOperation(Random random) => random.Next(5) switch
    {
        0 => new Get(Bytes(random, 40), random.Next(2) == 0),
        1 => new Batch([.. Enumerable.Range(0, random.Next(1, 5)).Select(_ => RandomKeyWrite(random))]),
        _ => RandomKeyWrite(random),
    };

    public static KvReply RandomReply(Random random)
    {
        var code = RandomCode(random);
        var result = random.Next(9) switch
        {
            0 => null,
            2 => RandomRouting(random),
            3 => new TransactionResult(
                Number(random), random.Next(2) == 0, [.. Some(random, () => RandomListed(random))]),
            1 => new BatchResult(
                Number(random),
                [.. Enumerable.Range(0, random.Next(5)).Select(_ => RandomListed(random))]),
            _ => RandomKeyResult(random),
        };
        return Envelope(random, RandomItem(random, code, result));
    }

    /// <summary>A reply that the form of feature level 1 can express: its result is one of the operation asked for.</summary>
    public static KvReply RandomFlatReply(Random random, Operation asked)
    {
        var code = RandomCode(random);
        return Envelope(random, RandomItem(random, code, RandomResultOf(random, asked, code)));
    }

    private static KeyWrite RandomKeyWrite(Random random)
    {
        byte[] key = Bytes(random, 40);
        var condition = new KvCondition((ConditionKind)random.Next(4), Number(random));
        return random.Next(3) switch
        {
            0 => new Put(key, Bytes(random, 300), RandomContentType(random), condition),
            1 => new Delete(key, condition),
            _ => new Increment(key, (long)Number(random), (long)Number(random), condition),
        };
    }

    private static RequestId RandomId(Random random, RequestDigest digest) => new(
        new UInt128(Number(random), Number(random)), Number(random), Number(random), Number(random), digest);

    private static ClusterRouting RandomRouting(Random random) => new(
        Number(random),
        [.. Some(random, () => new AdvertisedNode(new NodeId((uint)Number(random)), "naïve", "127.0.0.1:7101", "[::1]:7301", ""))],
        [.. Some(random, () => new GroupId((uint)Number(random)))],
        [.. Some(random, () => (IReadOnlyList<ReplicaPlacement>)
            [.. Some(random, () => new ReplicaPlacement(Number(random), new NodeId((uint)Number(random))))])],
        [.. Some(random, () => new GroupLeader(new GroupId((uint)Number(random)), new NodeId((uint)Number(random)), Number(random)))]);

    private static IEnumerable<T> Some<T>(Random random, Func<T> one) => Enumerable.Range(0, random.Next(4)).Select(_ => one());

    private static Result RandomKeyResult(Random random) => random.Next(5) switch
    {
        0 => Found(Bytes(random, 300), RandomContentType(random), Number(random)),
        1 => new Written(Number(random), random.Next(2) == 0),
        2 => new Deleted(Number(random), random.Next(2) == 0),
        3 => new Counted(Number(random), (long)Number(random)),
        _ => new Current(Number(random)),
    };

    private static Result? RandomResultOf(Random random, Operation asked, ErrorCode code)
    {
        bool success = code is ErrorCode.None or ErrorCode.NotOnAll;
        if (!success && code is not (ErrorCode.ConditionFailed or ErrorCode.NotANumber))
        {
            return null;
        }

        return asked switch
        {
            Batch batch => new BatchResult(Number(random), [.. batch.Items.Select(item =>
            {
                var itemCode = RandomCode(random);
                return RandomItem(random, itemCode, RandomResultOf(random, item, itemCode));
            })]),
            _ when !success => new Current(Number(random)),
            Get => Found(Bytes(random, 300), RandomContentType(random), Number(random)),
            Protocol.Put => new Written(Number(random), random.Next(2) == 0),
            Delete => new Deleted(Number(random), random.Next(2) == 0),
            _ => new Counted(Number(random), (long)Number(random)),
        };
    }

    private static ItemResult RandomItem(Random random, ErrorCode code, Result? result) => new(
        code, (Outcome)random.Next(4), random.Next(2) == 0 ? null : "because" + new string('é', random.Next(40)), result);

    private static ItemResult RandomListed(Random random) =>
        RandomItem(random, RandomCode(random), RandomKeyResult(random)) with { IsHeldBack = random.Next(4) == 0 };

    private static KvReply Envelope(Random random, ItemResult item) => new()
    {
        Code = item.Code,
        Outcome = item.Outcome,
        Detail = item.Detail,
        Result = item.Result,
        Evidence = random.Next(2) == 0 ? null : new Evidence(
            (ReadLevel)random.Next(4), (uint)Number(random), new GroupId((uint)Number(random)), Number(random), Number(random),
            new NodeId((uint)Number(random)), (ServedRole)random.Next(1, 4), (ServedPath)random.Next(3)),
        LeaderHint = new NodeId((uint)Number(random)),
        RetryAfterMs = random.Next(),
        Epoch = Number(random),
        History = (uint)Number(random),
        Lag = random.Next(2) == 0 ? null : new ReplicaLag(Number(random), (uint)Number(random)),
    };

    // Half of them one of those that executed, which are the ones with a result.
    private static ErrorCode RandomCode(Random random) => random.Next(2) == 0
        ? (ErrorCode)random.Next((int)ErrorCode.Superseded + 1)
        : new[] { ErrorCode.None, ErrorCode.NotOnAll, ErrorCode.ConditionFailed, ErrorCode.NotANumber }[random.Next(4)];

    // What is stored beside a value is ASCII; text that is not stands in details.
    private static string? RandomContentType(Random random) => random.Next(3) == 0 ? "text/" + new string('x', random.Next(40)) : null;

    /// <summary>Uniform in length of the number, so that every form of an integer occurs.</summary>
    private static ulong Number(Random random) => (ulong)random.NextInt64(long.MinValue, long.MaxValue) >> random.Next(64);

    private static byte[] Bytes(Random random, int below)
    {
        var bytes = new byte[random.Next(below)];
        random.NextBytes(bytes);
        return bytes;
    }

    public static void AssertSame(KvRequest expected, KvRequest actual, string because)
    {
        AssertSame(expected.Operation, actual.Operation, because);
        Assert.True(expected == actual, because);
    }

    /// <summary>Operations are equal when their bytes are; here what a reader found in the bytes is looked at, too.</summary>
    public static void AssertSame(Operation expected, Operation actual, string because)
    {
        Assert.True(expected.Code == actual.Code && expected.GetType() == actual.GetType(), because);
        Assert.True(expected.Body.Span.SequenceEqual(actual.Body.Span) && expected.Equals(actual), because);
        Assert.True(expected.Key.Span.SequenceEqual(actual.Key.Span), because);
        switch (expected, actual)
        {
            case (Get get, Get other):
                Assert.True(get.WithoutValue == other.WithoutValue, because);
                break;
            case (Batch batch, Batch other):
                Assert.True(batch.Items.Count == other.Items.Count, because);
                for (int i = 0; i < batch.Items.Count; i++)
                {
                    AssertSame(batch.Items[i], other.Items[i], because);
                }

                break;
            case (Transaction txn, Transaction other):
                Assert.True(txn.Then.Count == other.Then.Count && txn.Otherwise.Count == other.Otherwise.Count, because);
                foreach (var (one, two) in txn.Then.Concat(txn.Otherwise).Zip(other.Then.Concat(other.Otherwise)))
                {
                    AssertSame(one, two, because);
                }

                Assert.True(txn.Conditions.Select(Text).SequenceEqual(other.Conditions.Select(Text)), because);
                break;
            case (KeyWrite write, KeyWrite other):
                Assert.True(write.Condition == other.Condition, because);
                if (write is Put put)
                {
                    Assert.True(put.Value.Span.SequenceEqual(((Put)other).Value.Span), because);
                    Assert.True(put.ContentType == ((Put)other).ContentType, because);
                }
                else if (write is Append append)
                {
                    Assert.True(append.Stored.Span.SequenceEqual(((Append)other).Stored.Span), because);
                }
                else if (write is Increment increment)
                {
                    var (delta, initial) = (((Increment)other).Delta, ((Increment)other).Initial);
                    Assert.True((increment.Delta, increment.Initial) == (delta, initial), because);
                }

                break;
            case (GetRouting routing, GetRouting other):
                Assert.True(routing.SinceEpoch == other.SinceEpoch, because);
                break;
            default:
                Assert.True(expected is UnknownOperation, $"add a case for {expected.GetType().Name} to Samples.AssertSame ({because})");
                break;
        }
    }

    private static string Text(KeyCondition condition) =>
        $"{condition.Kind} {Convert.ToHexString(condition.Key.Span)} {condition.Revision} {Convert.ToHexString(condition.Value.Span)}";

    public static void AssertSame(KvReply expected, KvReply actual, string because)
    {
        AssertSame(expected.Result, actual.Result, because);

        // Records compare every other field at once; the results, whose bytes and items compare by reference, are taken out first.
        Assert.True((expected with { Result = null }) == (actual with { Result = null }), because);
    }

    public static void AssertSame(Result? expected, Result? actual, string because)
    {
        switch (expected, actual)
        {
            case (Found found, Found other):
                Assert.True(found.Stored.Span.SequenceEqual(other.Stored.Span), because);
                Assert.True(found with { Stored = default } == other with { Stored = default }, because);
                break;
            case (BatchResult batch, BatchResult other):
                Assert.True(batch.Items.Count == other.Items.Count && batch.Revision == other.Revision, because);
                for (int i = 0; i < batch.Items.Count; i++)
                {
                    AssertSame(batch.Items[i].Result, other.Items[i].Result, because);
                    Assert.True(batch.Items[i] with { Result = null } == other.Items[i] with { Result = null }, because);
                }

                break;
            case (TransactionResult txn, TransactionResult other):
                Assert.True(txn.Succeeded == other.Succeeded, because);
                AssertSame(new BatchResult(txn.Revision, txn.Items), new BatchResult(other.Revision, other.Items), because);
                break;
            case (ClusterRouting routing, ClusterRouting other):
                Assert.True(routing.Revision == other.Revision && routing.Nodes.SequenceEqual(other.Nodes), because);
                Assert.True(routing.GroupOfVirtualNode.SequenceEqual(other.GroupOfVirtualNode), because);
                Assert.True(routing.Replicas.SelectMany(r => r).SequenceEqual(other.Replicas.SelectMany(r => r)), because);
                Assert.True(routing.Replicas.Count == other.Replicas.Count && routing.Leaders.SequenceEqual(other.Leaders), because);
                break;
            default:
                Assert.True(expected == actual, because);
                break;
        }
    }
}
