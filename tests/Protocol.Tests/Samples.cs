using System.Text;

namespace KvStore.Protocol.Tests;

/// <summary>Requests and replies with every field away from its default, and seeded random ones.</summary>
internal static class Samples
{
    public static KvRequest FullRequest => new()
    {
        Operation = KvOperation.Batch,
        Key = Encoding.UTF8.GetBytes("{user}.name"),
        Value = new byte[] { 1, 2, 3 },
        ContentType = "text/plain; charset=utf-8",
        Condition = new KvCondition(ConditionKind.RevisionIs, 0x0198_7654_3210_0001),
        Delta = -7,
        Initial = long.MinValue,
        Level = ReadLevel.Session,
        MaxStalenessMs = 750,
        MaxLag = ulong.MaxValue,
        Session = new SessionPoint(ulong.MaxValue, uint.MaxValue),
        OnUnmet = OnUnmet.Serve,
        Ack = WriteAck.All,
        WithoutValue = true,
        Id = new RequestId(new UInt128(1, 2), 3, 1_700_000_000_000, 2, 0xDEAD_BEEF),
        TimeoutMs = 1234,
        HopsLeft = 0,
        Epoch = 42,
        Items = [Put("{user}.a", "1"), Put("{user}.b", "2")],
    };

    public static KvReply FullReply => new()
    {
        Code = ErrorCode.ConditionFailed,
        Outcome = Outcome.NotApplied,
        Revision = ulong.MaxValue,
        Changed = true,
        Value = new byte[] { 9, 8, 7 },
        ContentType = "application/json",
        Number = -1,
        Evidence = LargestEvidence,
        LeaderHint = new NodeId(3),
        Detail = "the key has another revision",
        RetryAfterMs = 250,
        Epoch = 7,
        History = 0xCAFE_F00D,
        Lag = new ReplicaLag(12, 340),
        Items = [new KvReply { Revision = 1 }, new KvReply { Code = ErrorCode.KeyNotFound }],
    };

    public static Evidence LargestEvidence => new(
        ReadLevel.Eventual, uint.MaxValue, new GroupId(uint.MaxValue), ulong.MaxValue, ulong.MaxValue, new NodeId(uint.MaxValue),
        ServedRole.Learner, ServedPath.Forwarded);

    public static KvRequest Put(string key, string value) => new()
    {
        Operation = KvOperation.Put,
        Key = Encoding.UTF8.GetBytes(key),
        Value = Encoding.UTF8.GetBytes(value),
    };

    public static KvRequest RandomRequest(Random random, bool isItem = false) => new()
    {
        Operation = (KvOperation)random.Next(1, 6),
        Key = Bytes(random, 40),
        Value = Bytes(random, 300),
        ContentType = random.Next(3) == 0 ? "text/" + new string('x', random.Next(40)) : null,
        Condition = new KvCondition((ConditionKind)random.Next(4), Number(random)),
        Delta = (long)Number(random),
        Initial = (long)Number(random),
        Level = (ReadLevel)random.Next(4),
        MaxStalenessMs = (int)Number(random),
        MaxLag = random.Next(2) == 0 ? null : Number(random),
        Session = new SessionPoint(Number(random), (uint)Number(random)),
        OnUnmet = (OnUnmet)random.Next(3),
        Ack = (WriteAck)random.Next(2),
        WithoutValue = random.Next(2) == 0,
        Id = random.Next(2) == 0 ? null : new RequestId(
            new UInt128(Number(random), Number(random)), Number(random), Number(random), Number(random), Number(random)),
        TimeoutMs = (int)Number(random),
        HopsLeft = (byte)random.Next(256),
        Epoch = Number(random),
        Items = [.. Enumerable.Range(0, ItemCount(random, isItem)).Select(_ => RandomRequest(random, isItem: true))],
    };

    public static KvReply RandomReply(Random random, bool isItem = false) => new()
    {
        Code = (ErrorCode)random.Next(26),
        Outcome = (Outcome)random.Next(4),
        Revision = Number(random),
        Changed = random.Next(2) == 0,
        Value = Bytes(random, 300),
        ContentType = random.Next(3) == 0 ? "a/" + new string('é', random.Next(40)) : null,
        Number = (long)Number(random),
        Evidence = random.Next(2) == 0 ? null : new Evidence(
            (ReadLevel)random.Next(4), (uint)Number(random), new GroupId((uint)Number(random)), Number(random), Number(random),
            new NodeId((uint)Number(random)), (ServedRole)random.Next(1, 4), (ServedPath)random.Next(3)),
        LeaderHint = new NodeId((uint)Number(random)),
        Detail = random.Next(2) == 0 ? null : "because",
        RetryAfterMs = random.Next(),
        Epoch = Number(random),
        History = (uint)Number(random),
        Lag = random.Next(2) == 0 ? null : new ReplicaLag(Number(random), (uint)Number(random)),
        Items = [.. Enumerable.Range(0, ItemCount(random, isItem)).Select(_ => RandomReply(random, isItem: true))],
    };

    /// <summary>Uniform in length of the number, so that every form of an integer occurs.</summary>
    private static ulong Number(Random random) => (ulong)random.NextInt64(long.MinValue, long.MaxValue) >> random.Next(64);

    private static int ItemCount(Random random, bool isItem) => isItem || random.Next(3) != 0 ? 0 : random.Next(1, 5);

    private static byte[] Bytes(Random random, int below)
    {
        var bytes = new byte[random.Next(below)];
        random.NextBytes(bytes);
        return bytes;
    }

    public static void AssertSame(KvRequest expected, KvRequest actual, string because)
    {
        Assert.True(
            expected.Key.Span.SequenceEqual(actual.Key.Span) && expected.Value.Span.SequenceEqual(actual.Value.Span)
            && expected.Items.Count == actual.Items.Count, because);
        // Records compare every other field at once; the three that compare by reference are taken out first.
        var restOfExpected = expected with { Key = default, Value = default, Items = [] };
        Assert.True(restOfExpected == (actual with { Key = default, Value = default, Items = [] }), because);
        for (int i = 0; i < expected.Items.Count; i++)
        {
            AssertSame(expected.Items[i], actual.Items[i], because);
        }
    }

    public static void AssertSame(KvReply expected, KvReply actual, string because)
    {
        Assert.True(expected.Value.Span.SequenceEqual(actual.Value.Span) && expected.Items.Count == actual.Items.Count, because);
        Assert.True((expected with { Value = default, Items = [] }) == (actual with { Value = default, Items = [] }), because);
        for (int i = 0; i < expected.Items.Count; i++)
        {
            AssertSame(expected.Items[i], actual.Items[i], because);
        }
    }
}
