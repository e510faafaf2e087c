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
        Assert.Equal(("golden-one", "recorder", 1, 1, FeatureBits.None),
            (hello!.ClusterId, hello.ClientName, hello.ProtocolMin, hello.ProtocolMax, hello.Features));
        Assert.Equal(FeatureLevel.First, hello.Level);
    }

    [Fact]
    public void The_hello_of_a_peer()
    {
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(PayloadOf("peer-hello", FrameKind.Hello), out PeerHello? hello));
        Assert.Equal(("golden-peers", "n1", new NodeId(1), "n2"), (hello!.ClusterId, hello.NodeName, hello.NodeId, hello.ExpectedPeer));
        Assert.Equal((1UL, 1, 1, FeatureBits.None, 32),
            (hello.Incarnation, hello.ProtocolMin, hello.ProtocolMax, hello.Features, hello.LayoutHash.Length));
        Assert.Equal(FeatureLevel.First, hello.Level);
        Assert.NotEqual(Guid.Empty, hello.Uuid);
    }

    [Fact]
    public void The_answers_to_a_hello()
    {
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(PayloadOf("hello-ack", FrameKind.HelloAck), out HelloAck? ack));
        Assert.Equal((1, "golden-one", "n1", new NodeId(1), FeatureBits.None),
            (ack!.Protocol, ack.ClusterId, ack.NodeName, ack.NodeId, ack.Features));
        Assert.Equal(FeatureLevel.First, ack.Level);
        Assert.Equal(DecodeResult.Ok, HelloCodec.TryDecode(PayloadOf("hello-refused", FrameKind.HelloRefused), out HelloRefused? refused));
        Assert.Equal(HelloRefusal.WrongCluster, refused!.Reason);
        Assert.Contains("golden-one", refused.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public void A_put()
    {
        var request = Request("put");
        var put = Assert.IsType<Put>(request.Operation);
        Assert.Equal(("binary", "over the wire", "text/plain", ConditionKind.Absent),
            (Text(put.Key), Text(put.Value), put.ContentType, put.Condition.Kind));
        Assert.Equal((new UInt128(7, 9), 1UL, 1UL), (request.Id!.Value.Client, request.Id.Value.Sequence, request.Id.Value.AckedBelow));
        var reply = Reply("put");
        Assert.Equal((ErrorCode.None, Outcome.Applied), (reply.Code, reply.Outcome));
        Assert.Equal(new Written(117_691_379_690_700_800UL, Created: true), reply.Result);
        Assert.Equal(
            new Evidence(ReadLevel.Strong, 0, new GroupId(2), 6, 23, new NodeId(1), ServedRole.Leader, ServedPath.Local), reply.Evidence);
        Assert.Equal(3_148_325_296U, reply.History);
    }

    [Fact]
    public void A_get_on_terms_of_its_own()
    {
        var request = Request("get");
        Assert.Equal("binary", Text(Assert.IsType<Get>(request.Operation).Key));
        Assert.Equal((ReadLevel.Bounded, 500, (ulong?)1000, OnUnmet.Serve),
            (request.Read.Level, request.Read.MaxStalenessMs, request.Read.MaxLag, request.Read.OnUnmet));
        var reply = Reply("get");
        var found = Assert.IsType<Found>(reply.Result);
        Assert.Equal((ErrorCode.None, "over the wire", "text/plain", 117_691_379_690_700_800UL),
            (reply.Code, Text(found.Value), found.ContentType, found.Revision));
        Assert.Equal((ReadLevel.Bounded, 41U, new ReplicaLag(0, 41)), (reply.Evidence!.Value.Level, reply.Evidence.Value.AgeMs, reply.Lag));
    }

    [Fact]
    public void An_increment()
    {
        var request = Request("increment");
        var increment = Assert.IsType<Increment>(request.Operation);
        Assert.Equal(("counter", -5L, 100L, WriteAck.All), (Text(increment.Key), increment.Delta, increment.Initial, request.Ack));
        Assert.Equal((ErrorCode.None, 95L), (Reply("increment").Code, Assert.IsType<Counted>(Reply("increment").Result).Number));
    }

    [Fact]
    public void A_batch()
    {
        var batch = Assert.IsType<Batch>(Request("batch").Operation);
        Assert.Equal(("{t}a", 3), (Text(batch.Key), batch.Items.Count));
        Assert.Equal([typeof(Put), typeof(Increment), typeof(Delete)], batch.Items.Select(item => item.GetType()));
        Assert.Equal(["{t}a", "{t}n", "{t}a"], batch.Items.Select(item => Text(item.Key)));
        var result = Assert.IsType<BatchResult>(Reply("batch").Result);
        Assert.Equal(3, result.Items.Count);
        Assert.True(Assert.IsType<Written>(result.Items[0].Result).Created);
        Assert.Equal(1L, Assert.IsType<Counted>(result.Items[1].Result).Number);
        Assert.True(Assert.IsType<Deleted>(result.Items[2].Result).Existed);
        Assert.Equal(117_691_379_691_487_234UL, result.Revision);
    }

    [Fact]
    public void What_was_refused()
    {
        Assert.Equal("again", Text(Assert.IsType<Put>(Request("put-refused").Operation).Value));
        Assert.Equal((ErrorCode.ConditionFailed, Outcome.NotApplied), (Reply("put-refused").Code, Reply("put-refused").Outcome));
        Assert.Equal(new Current(117_691_379_690_700_800UL), Reply("put-refused").Result);
        var get = Request("get-with-foreign-token");
        Assert.IsType<Get>(get.Operation);
        Assert.Equal((ReadLevel.Session, new SessionPoint(1, 2)), (get.Read.Level, get.Session));
        Assert.Equal((ErrorCode.SessionTokenInvalid, null), (Reply("get-with-foreign-token").Code, Reply("get-with-foreign-token").Evidence));
        Assert.Null(Reply("get-with-foreign-token").Result);
    }

    [Fact]
    public void A_delete()
    {
        var request = Request("delete");
        Assert.Equal(("binary", 5UL), (Text(Assert.IsType<Delete>(request.Operation).Key), request.Id!.Value.Sequence));
        Assert.Equal((ErrorCode.None, true), (Reply("delete").Code, Assert.IsType<Deleted>(Reply("delete").Result).Existed));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void What_was_read_is_written_as_that_build_wrote_it(string name)
    {
        if (name.EndsWith("-request", StringComparison.Ordinal))
        {
            var request = Request(name[..^"-request".Length]);
            Assert.Equal(Convert.ToHexString(PayloadOf(name, FrameKind.Request)), Convert.ToHexString(CodecTests.EncodeFlat(request)));
        }
        else if (name.EndsWith("-reply", StringComparison.Ordinal))
        {
            // That build repeated the epoch of its answer in every item of a batch; an item has none.
            const int Epoch = 11;
            const int Items = 12;
            var reply = Reply(name[..^"-reply".Length]);
            object?[] fields = (object?[])MessagePackTree.ReadByPackage(PayloadOf(name, FrameKind.Reply))!;
            foreach (object?[] item in ((object?[])fields[Items]!).Cast<object?[]>())
            {
                Assert.Equal(fields[Epoch], item[Epoch]);
                item[Epoch] = 0;
            }

            Assert.Equal(Convert.ToHexString(MessagePackTree.WriteByPackage(fields)), Convert.ToHexString(CodecTests.EncodeFlat(reply)));
        }
    }

    private static KvRequest Request(string name)
    {
        Assert.Equal(DecodeResult.Ok, KvRequestCodec.TryDecode(PayloadOf(name + "-request", FrameKind.Request), out var request));
        return request!;
    }

    private static KvReply Reply(string name)
    {
        // That build's answers do not say what their fields mean: the question does.
        var asked = Request(name).Operation;
        Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(PayloadOf(name + "-reply", FrameKind.Reply), asked, out var reply));
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
