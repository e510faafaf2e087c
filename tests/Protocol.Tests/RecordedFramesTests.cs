using System.Buffers;
using System.Text;
using KvStore.Golden;

namespace KvStore.Protocol.Tests;

/// <summary>Frames that commit 84ebed4 said and was told, read by this build.</summary>
public sealed class RecordedFramesTests
{
    private const string File = "frames.txt";

    public static TheoryData<string> Names => [.. RecordedBuild.Names(File)];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_frame_is_whole_and_its_body_the_same_bytes_in_the_packages_hands(string name)
    {
        byte[] payload = PayloadOf(name, name switch
        {
            "hello-ack" => FrameKind.HelloAck,
            "hello-refused" => FrameKind.HelloRefused,
            _ when name.EndsWith("-hello", StringComparison.Ordinal) => FrameKind.Hello,
            _ when name.EndsWith("-reply", StringComparison.Ordinal) => FrameKind.Reply,
            _ => FrameKind.Request,
        });
        Assert.Equal(payload, MessagePackTree.WriteByPackage(MessagePackTree.ReadByPackage(payload)));
    }

    [Fact]
    public void The_hello_of_a_client()
    {
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(PayloadOf("client-hello", FrameKind.Hello), out ClientHello? hello));
        Assert.Equal(("golden-one", "recorder", 1, 1, 0UL), (hello!.ClusterId, hello.ClientName, hello.ProtocolMin, hello.ProtocolMax, hello.Features));
    }

    [Fact]
    public void The_hello_of_a_peer()
    {
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(PayloadOf("peer-hello", FrameKind.Hello), out PeerHello? hello));
        Assert.Equal(("golden-peers", "n1", new NodeId(1), "n2"), (hello!.ClusterId, hello.NodeName, hello.NodeId, hello.ExpectedPeer));
        Assert.Equal((1UL, 1, 1, 0UL, 32), (hello.Incarnation, hello.ProtocolMin, hello.ProtocolMax, hello.Features, hello.LayoutHash.Length));
        Assert.NotEqual(Guid.Empty, hello.Uuid);
    }

    [Fact]
    public void The_answers_to_a_hello()
    {
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(PayloadOf("hello-ack", FrameKind.HelloAck), out HelloAck? ack));
        Assert.Equal((1, "golden-one", "n1", new NodeId(1), 0UL), (ack!.Protocol, ack.ClusterId, ack.NodeName, ack.NodeId, ack.Features));
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(PayloadOf("hello-refused", FrameKind.HelloRefused), out HelloRefused? refused));
        Assert.Equal(HelloRefusal.WrongCluster, refused!.Reason);
        Assert.Contains("golden-one", refused.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public void A_put()
    {
        var request = Request("put");
        Assert.Equal((KvOperation.Put, "binary", "over the wire", "text/plain", ConditionKind.Absent),
            (request.Operation, Text(request.Key), Text(request.Value), request.ContentType, request.Condition.Kind));
        Assert.Equal((new UInt128(7, 9), 1UL, 1UL), (request.Id!.Value.Client, request.Id.Value.Sequence, request.Id.Value.AckedBelow));
        var reply = Reply("put");
        Assert.Equal((ErrorCode.None, Outcome.Applied, true, 117_691_379_690_700_800UL), (reply.Code, reply.Outcome, reply.Changed, reply.Revision));
        Assert.Equal(
            new Evidence(ReadLevel.Strong, 0, new GroupId(2), 6, 23, new NodeId(1), ServedRole.Leader, ServedPath.Local), reply.Evidence);
        Assert.Equal(3_148_325_296U, reply.History);
    }

    [Fact]
    public void A_get_on_terms_of_its_own()
    {
        var request = Request("get");
        Assert.Equal((KvOperation.Get, "binary", ReadLevel.Bounded, 500, (ulong?)1000, OnUnmet.Serve),
            (request.Operation, Text(request.Key), request.Level, request.MaxStalenessMs, request.MaxLag, request.OnUnmet));
        var reply = Reply("get");
        Assert.Equal((ErrorCode.None, "over the wire", "text/plain", 117_691_379_690_700_800UL),
            (reply.Code, Text(reply.Value), reply.ContentType, reply.Revision));
        Assert.Equal((ReadLevel.Bounded, 41U, new ReplicaLag(0, 41)), (reply.Evidence!.Value.Level, reply.Evidence.Value.AgeMs, reply.Lag));
    }

    [Fact]
    public void An_increment()
    {
        var request = Request("increment");
        Assert.Equal((KvOperation.Increment, "counter", -5L, 100L, WriteAck.All),
            (request.Operation, Text(request.Key), request.Delta, request.Initial, request.Ack));
        Assert.Equal((ErrorCode.None, 95L), (Reply("increment").Code, Reply("increment").Number));
    }

    [Fact]
    public void A_batch()
    {
        var request = Request("batch");
        Assert.Equal((KvOperation.Batch, "{t}a", 3), (request.Operation, Text(request.Key), request.Items.Count));
        Assert.Equal([KvOperation.Put, KvOperation.Increment, KvOperation.Delete], request.Items.Select(item => item.Operation));
        Assert.Equal(["{t}a", "{t}n", "{t}a"], request.Items.Select(item => Text(item.Key)));
        var reply = Reply("batch");
        Assert.Equal([(true, 0L), (false, 1L), (true, 0L)], reply.Items.Select(item => (item.Changed, item.Number)));
        Assert.Equal(117_691_379_691_487_234UL, reply.Revision);
    }

    [Fact]
    public void What_was_refused()
    {
        Assert.Equal((KvOperation.Put, "again"), (Request("put-refused").Operation, Text(Request("put-refused").Value)));
        Assert.Equal((ErrorCode.ConditionFailed, Outcome.NotApplied, 117_691_379_690_700_800UL),
            (Reply("put-refused").Code, Reply("put-refused").Outcome, Reply("put-refused").Revision));
        Assert.Equal((ReadLevel.Session, new SessionPoint(1, 2)), (Request("get-with-foreign-token").Level, Request("get-with-foreign-token").Session));
        Assert.Equal((ErrorCode.SessionTokenInvalid, null), (Reply("get-with-foreign-token").Code, Reply("get-with-foreign-token").Evidence));
    }

    [Fact]
    public void A_delete()
    {
        Assert.Equal((KvOperation.Delete, "binary", 5UL), (Request("delete").Operation, Text(Request("delete").Key), Request("delete").Id!.Value.Sequence));
        Assert.Equal((ErrorCode.None, true), (Reply("delete").Code, Reply("delete").Changed));
    }

    private static KvRequest Request(string name)
    {
        Assert.Equal(DecodeResult.Ok, KvRequestCodec.TryDecode(PayloadOf(name + "-request", FrameKind.Request), out var request));
        return request!;
    }

    private static KvReply Reply(string name)
    {
        Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(PayloadOf(name + "-reply", FrameKind.Reply), out var reply));
        return reply!;
    }

    private static byte[] PayloadOf(string name, FrameKind kind)
    {
        var buffer = new ReadOnlySequence<byte>(RecordedBuild.Bytes(File, name));
        Assert.Equal(DecodeResult.Ok, FrameReader.TryRead(ref buffer, Limits.MaxRequestBytes, out var frame, out _));
        Assert.Equal(kind, frame.Kind);
        byte[] scratch = [];
        return frame.PayloadSpan(ref scratch).ToArray();
    }

    private static string Text(ReadOnlyMemory<byte> bytes) => Encoding.UTF8.GetString(bytes.Span);
}
