using System.Collections.Concurrent;
using System.Text;

namespace KvStore.Protocol.Tests;

public sealed class RequestServerTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task When_too_many_requests_are_open_nothing_more_is_read()
    {
        var (near, far) = DuplexPipe.Create();
        var handled = new Handled(expected: 3);
        var serving = RequestServer.ServeAsync(far, handled.Add, new RequestServerOptions { MaxInFlight = 3 });
        await using var channel = RequestChannel.Start(near);
        var sent = Enumerable.Range(0, 10).Select(i => channel.SendAsync(RequestChannelTests.Get($"{i}")).AsTask()).ToArray();
        await handled.ReachedAsync(Patience);
        Assert.Equal(3, handled.Count);

        // Each answer makes room for exactly one more.
        for (int answered = 1; answered <= 10; answered++)
        {
            handled.Expect(Math.Min(10, 3 + answered));
            Assert.True(handled.Tickets[answered - 1].TryComplete(new KvReply()));
            await sent[answered - 1].WaitAsync(Patience);
            await handled.ReachedAsync(Patience);
            Assert.Equal(Math.Min(10, 3 + answered), handled.Count);
        }

        await channel.DisposeAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task A_client_that_does_not_read_stops_being_read_and_costs_bounded_memory()
    {
        var (near, far) = DuplexPipe.Create(pauseAt: 1 << 10);
        var handled = new Handled(expected: 1);
        var value = Samples.Found(new byte[10_000]);
        var serving = RequestServer.ServeAsync(
            far,
            (request, ticket) =>
            {
                handled.Add(request, ticket);
                ticket.TryComplete(new KvReply { Result = value });
            },
            new RequestServerOptions { MaxInFlight = 1_000_000, MaxWaitingBytes = 50_000 });

        // A thousand requests of some 60 bytes, written straight into the pipe and answered with ten kilobytes each.
        byte[] request = CodecTests.Encode(RequestChannelTests.Get("k"));
        var writing = Task.Run(async () =>
        {
            for (ulong id = 1; id <= 1_000; id++)
            {
                await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, id, request));
            }
        });
        await handled.ReachedAsync(Patience);
        Assert.False(writing.IsCompleted);

        // Now it reads, and every request is answered after all.
        for (int i = 0; i < 1_000; i++)
        {
            Assert.Equal(FrameKind.Reply, (await RequestChannelTests.ReadFrameAsync(near.Input)).Kind);
            Assert.InRange(handled.Count - i, 0, 20);
        }

        await writing.WaitAsync(Patience);
        await near.Output.CompleteAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task Values_for_a_client_that_reads_too_slowly_are_not_kept_but_writes_are_reported()
    {
        var (near, far) = DuplexPipe.Create(pauseAt: 2);
        var handled = new Handled(expected: 12);
        var serving = RequestServer.ServeAsync(far, handled.Add, new RequestServerOptions { MaxWaitingBytes = 10_000 });
        await using var channel = RequestChannel.Start(near);

        // All are open before the first answer: the limit on waiting bytes could not stop them at the door.
        var reads = Enumerable.Range(0, 11).Select(i => channel.SendAsync(RequestChannelTests.Get($"{i}")).AsTask()).ToArray();
        var write = channel.SendAsync(Samples.Put("k", "v")).AsTask();
        await handled.ReachedAsync(Patience);
        foreach (var ticket in handled.Tickets)
        {
            ticket.TryComplete(new KvReply { Result = Samples.Found(new byte[9_000]), Outcome = Outcome.Applied });
        }

        var replies = (await Task.WhenAll(reads).WaitAsync(Patience)).Select(result => result.Reply!).ToArray();
        Assert.Equal(ErrorCode.None, replies[0].Code);
        Assert.Contains(replies, reply => reply.Code == ErrorCode.Overloaded && reply.Value.IsEmpty && reply.Outcome == Outcome.NotApplied);
        Assert.Equal(Outcome.Applied, (await write.WaitAsync(Patience)).Reply!.Outcome);
        await channel.DisposeAsync();
        await serving.WaitAsync(Patience);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task All_of_a_reply_counts_for_a_client_that_reads_too_slowly_not_only_its_value(bool items)
    {
        var (near, far) = DuplexPipe.Create(pauseAt: 2);
        var handled = new Handled(expected: 200);
        var serving = RequestServer.ServeAsync(far, handled.Add, new RequestServerOptions { MaxWaitingBytes = 10_000 });
        for (ulong id = 1; id <= 200; id++)
        {
            byte[] request = CodecTests.Encode(RequestChannelTests.Get("k"));
            await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, id, request));
        }

        await handled.ReachedAsync(Patience);
        var reply = items
            ? new KvReply { Result = new BatchResult(0, [.. Enumerable.Range(0, 20).Select(_ => new ItemResult(default, default, null, Samples.Found(new byte[100])))]) }
            : new KvReply { Code = ErrorCode.InvalidRequest, Detail = new string('d', 2_000) };
        foreach (var ticket in handled.Tickets)
        {
            ticket.TryComplete(reply);
        }

        // What is kept: twice the limit, what the transport has, and for each of the rest no more than a small refusal.
        long kept = 0;
        for (int i = 0; i < 200; i++)
        {
            var (header, _) = await RequestChannelTests.ReadReplyAsync(near.Input);
            kept += FrameHeader.SizeBytes + header.PayloadLength;
        }

        Assert.InRange(kept, 20_000, 20_000 + (3 * 2_500) + (200 * 256));
        await near.Output.CompleteAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task SM2_values_a_transaction_read_are_not_kept_for_a_slow_reader_and_what_it_did_is_told()
    {
        const int Asked = 300;
        var (near, far) = DuplexPipe.Create(pauseAt: 2);
        var handled = new Handled(expected: Asked);
        var serving = RequestServer.ServeAsync(far, handled.Add, new RequestServerOptions { MaxWaitingBytes = 100_000 });
        Operation get = new Get("k"u8);
        byte[] request = CodecTests.Encode(new KvRequest { Operation = new Transaction([], [get, new Put("k"u8, "v"u8), get], []) });
        for (ulong id = 1; id <= Asked; id++)
        {
            await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, id, request));
        }

        await handled.ReachedAsync(Patience);
        var read = new ItemResult(ErrorCode.None, Outcome.None, null, Samples.Found(new byte[50_000]));
        var reply = new KvReply
        {
            Outcome = Outcome.Applied,
            Result = new TransactionResult(9, true, [read, new ItemResult(ErrorCode.None, Outcome.Applied, null, new Written(9, true)), read]),
        };
        foreach (var ticket in handled.Tickets)
        {
            ticket.TryComplete(reply);
        }

        long kept = 0;
        var withoutValues = 0;
        for (int i = 0; i < Asked; i++)
        {
            var (header, answer) = await RequestChannelTests.ReadReplyAsync(near.Input);
            kept += FrameHeader.SizeBytes + header.PayloadLength;
            var result = Assert.IsType<TransactionResult>(answer.Result);
            Assert.Equal((ErrorCode.None, Outcome.Applied, 9ul, true), (answer.Code, answer.Outcome, result.Revision, result.Succeeded));
            Assert.Equal(new Written(9, true), result.Items[1].Result);
            Assert.All([result.Items[0], result.Items[2]], item => Assert.Equal(read.Result!.Revision, item.Result!.Revision));
            withoutValues += result.Items[0].Code == ErrorCode.Superseded ? 1 : 0;
        }

        // Twice the limit, what the transport has, and for each of the rest what an answer without values takes.
        Assert.InRange(kept, 200_000, 200_000 + (3 * 101_000) + (Asked * 256));
        Assert.InRange(withoutValues, Asked - 6, Asked - 2);
        await near.Output.CompleteAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task SM2_an_answer_that_cannot_be_encoded_ends_its_connection_and_not_who_gave_it()
    {
        var (near, far) = DuplexPipe.Create();
        var handled = new Handled(expected: 2);
        var serving = RequestServer.ServeAsync(far, handled.Add);
        for (ulong id = 1; id <= 2; id++)
        {
            await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, id, CodecTests.Encode(RequestChannelTests.Get("k"))));
        }

        await handled.ReachedAsync(Patience);
        Assert.False(handled.Tickets[0].TryComplete(new KvReply { Result = new BatchResult(0, null!) }));
        Assert.False(handled.Tickets[1].TryComplete(new KvReply()));
        var end = await serving.WaitAsync(Patience);
        Assert.Equal(ConnectionEndReason.Failed, end.Reason);
        Assert.IsType<NullReferenceException>(end.Exception);
    }

    [Fact]
    public async Task An_unreadable_body_costs_an_answer_and_not_the_connection()
    {
        var (near, far) = DuplexPipe.Create();
        var serving = RequestServer.ServeAsync(far, (_, ticket) => ticket.TryComplete(new KvReply()));
        byte[] older = CodecTests.EncodeFlat(RequestChannelTests.Get("k"));
        byte[] newer = CodecTests.Encode(RequestChannelTests.Get("k"));
        foreach (byte[] body in new byte[][] { [0xC1], older[..^1], [0x9E, .. older.AsSpan(1)], newer[..^1], [0x9A, .. newer.AsSpan(1)] })
        {
            await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, 5, body));
            var (header, reply) = await RequestChannelTests.ReadReplyAsync(near.Input, Samples.FullGet);
            Assert.Equal((5ul, ErrorCode.InvalidRequest, Outcome.NotApplied), (header.Sequence, reply.Code, reply.Outcome));
        }

        await using var channel = RequestChannel.Start(near);
        Assert.Equal(RequestEnd.Replied, (await channel.SendAsync(RequestChannelTests.Get("a")).AsTask().WaitAsync(Patience)).End);
        await channel.DisposeAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task A_request_is_answered_in_the_form_it_came_in()
    {
        var (near, far) = DuplexPipe.Create();
        var result = Samples.Found("v"u8, "a/b", 9);
        var serving = RequestServer.ServeAsync(far, (_, ticket) => ticket.TryComplete(new KvReply { Result = result }));
        byte[] older = CodecTests.EncodeFlat(RequestChannelTests.Get("k"));
        byte[] newer = CodecTests.Encode(RequestChannelTests.Get("k"));

        // What cannot be read is answered in the form it is likeliest to be in.
        (byte[] Body, bool IsFlat, bool IsReadable)[] requests =
        [
            (older, true, true), (newer, false, true),
            ([0x9E, .. older.AsSpan(1)], true, false), ([0x9A, .. newer.AsSpan(1)], false, false),
        ];
        foreach (var (body, isFlat, isReadable) in requests)
        {
            await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, 5, body));
            var (_, payload) = await RequestChannelTests.ReadPayloadAsync(near.Input);
            Assert.Equal(isFlat, KvRequestCodec.IsFlat(payload));
            Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(payload, Samples.FullGet, out var reply));
            Samples.AssertSame(isReadable ? result : null, reply!.Result, $"flat {isFlat}");
        }

        await near.Output.CompleteAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task A_reply_above_the_frame_limit_is_replaced_by_one_that_says_so()
    {
        var (near, far) = DuplexPipe.Create();
        var result = Samples.Found(new byte[2_000]);
        var serving = RequestServer.ServeAsync(
            far,
            (_, ticket) => ticket.TryComplete(new KvReply { Result = result, Epoch = 3 }),
            new RequestServerOptions { MaxFrameBytes = 1_000 });
        foreach (ushort level in new[] { FeatureLevel.First, FeatureLevel.Max })
        {
            byte[] body = FuzzTests.Encoded(buffer => KvRequestCodec.TryEncode(buffer, RequestChannelTests.Get("k"), level));
            await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, 5, body));
            var (_, reply) = await RequestChannelTests.ReadReplyAsync(near.Input, Samples.FullGet);
            Assert.Equal((ErrorCode.Internal, Outcome.Unknown, 3ul), (reply.Code, reply.Outcome, reply.Epoch));
            Assert.Null(reply.Result);
        }

        await near.Output.CompleteAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task A_request_id_used_twice_at_once_is_a_violation()
    {
        var (near, far) = DuplexPipe.Create();
        var serving = RequestServer.ServeAsync(far, (_, _) => { });
        byte[] frame = FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, 5, CodecTests.Encode(RequestChannelTests.Get("k")));
        await near.Output.WriteAsync(frame);
        await near.Output.WriteAsync(frame);
        var end = await serving.WaitAsync(Patience);
        Assert.Equal((ConnectionEndReason.ProtocolViolation, "the request id 5 was used again while it was open"), (end.Reason, end.Violation));
    }

    [Theory]
    [InlineData(FrameKind.Reply, false, "kind Reply")]
    [InlineData(FrameKind.Credit, false, "feature bit 0")]
    [InlineData(FrameKind.Credit, true, "credit for request 9")]
    public async Task What_ends_a_connection_is_said(FrameKind kind, bool streams, string said)
    {
        var (near, far) = DuplexPipe.Create();
        var serving = RequestServer.ServeAsync(far, (_, _) => { }, new RequestServerOptions { Streams = streams });
        await near.Output.WriteAsync(FrameTests.FrameOf(kind, FrameFlags.None, 9, [0x91, 0x00]));
        var end = await serving.WaitAsync(Patience);
        Assert.Equal(ConnectionEndReason.ProtocolViolation, end.Reason);
        Assert.Contains(said, end.Violation, StringComparison.Ordinal);
    }

    [Fact]
    public async Task On_stopping_nothing_more_is_read_and_what_is_open_is_answered()
    {
        var (near, far) = DuplexPipe.Create();
        using var stopping = new CancellationTokenSource();
        var handled = new Handled(expected: 2);
        var serving = RequestServer.ServeAsync(far, handled.Add, stopping: stopping.Token);
        await using var channel = RequestChannel.Start(near);
        var first = channel.SendAsync(RequestChannelTests.Get("a")).AsTask();
        var second = channel.SendAsync(RequestChannelTests.Get("b")).AsTask();
        await handled.ReachedAsync(Patience);
        await stopping.CancelAsync();
        var late = channel.SendAsync(RequestChannelTests.Get("late")).AsTask();
        Assert.True(handled.Tickets[0].TryComplete(new KvReply { Detail = "a" }));
        Assert.True(handled.Tickets[1].TryComplete(new KvReply { Detail = "b" }));
        Assert.Equal("a", (await first.WaitAsync(Patience)).Reply!.Detail);
        Assert.Equal("b", (await second.WaitAsync(Patience)).Reply!.Detail);
        Assert.Equal(ConnectionEndReason.Closed, (await serving.WaitAsync(Patience)).Reason);
        Assert.Contains((await late.WaitAsync(Patience)).End, new[] { RequestEnd.Lost, RequestEnd.NotSent });
        Assert.Equal(2, handled.Count);
    }

    [Fact]
    public async Task A_handler_that_throws_ends_its_own_connection()
    {
        var (near, far) = DuplexPipe.Create();
        var serving = RequestServer.ServeAsync(far, (_, _) => throw new InvalidOperationException("a bug"));
        await using var channel = RequestChannel.Start(near);
        Assert.Equal(RequestEnd.Lost, (await channel.SendAsync(RequestChannelTests.Get("a")).AsTask().WaitAsync(Patience)).End);
        var end = await serving.WaitAsync(Patience);
        Assert.Equal(ConnectionEndReason.Failed, end.Reason);
        Assert.Equal("a bug", end.Exception!.Message);
    }

    [Fact]
    public async Task A_connection_that_dies_in_the_middle_of_a_frame_has_failed()
    {
        var (near, far) = DuplexPipe.Create();
        var serving = RequestServer.ServeAsync(far, (_, _) => { });
        await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, 5, new byte[50]).AsMemory(0, 30));
        await near.Output.CompleteAsync();
        Assert.Equal(ConnectionEndReason.Failed, (await serving.WaitAsync(Patience)).Reason);
    }

    [Fact]
    public async Task Both_sides_learn_each_other_by_the_handshake_and_keep_the_bytes_behind_it()
    {
        var (near, far) = DuplexPipe.Create();
        var dialling = Handshake.DialAsync(near, new ClientHello { ClusterId = "c", ClientName = "t" }, CancellationToken.None);
        var received = await Handshake.ReceiveAsync(far.Input, CancellationToken.None);
        Assert.Equal("t", received.Client!.ClientName);
        Assert.Null(received.Peer);
        var ack = new HelloAck
        {
            Protocol = 1,
            ClusterId = "c",
            NodeName = "n1",
            NodeId = new NodeId(1),
            Uuid = Guid.Empty,
            Incarnation = 1,
            LayoutHash = new byte[32],
        };
        await Handshake.AcknowledgeAsync(far.Output, ack, CancellationToken.None);
        await far.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Ping, FrameFlags.None, 3, []));
        Assert.Equal("n1", (await dialling.WaitAsync(Patience)).Ack!.NodeName);
        Assert.Equal(FrameKind.Ping, (await RequestChannelTests.ReadFrameAsync(near.Input)).Kind);
    }

    [Fact]
    public async Task A_refusal_and_nonsense_are_told_apart()
    {
        var (near, far) = DuplexPipe.Create();
        var dialling = Handshake.DialAsync(near, new ClientHello(), CancellationToken.None);
        await Handshake.RefuseAsync(far.Output, new HelloRefused(HelloRefusal.WrongCluster, "this is cluster b"), CancellationToken.None);
        Assert.Equal(HelloRefusal.WrongCluster, (await dialling.WaitAsync(Patience)).Refused!.Reason);

        var (other, server) = DuplexPipe.Create();
        var second = Handshake.DialAsync(other, new ClientHello(), CancellationToken.None);
        await server.Output.WriteAsync(Encoding.ASCII.GetBytes("HTTP/1.1 400 Bad Request\r\n"));
        Assert.Contains("BadMagic", (await second.WaitAsync(Patience)).Failure, StringComparison.Ordinal);
    }

    /// <summary>Remembers what the server handed over, and tells when a number has been reached.</summary>
    private sealed class Handled(int expected)
    {
        private readonly ConcurrentQueue<ReplyTicket> _tickets = [];
        private readonly Lock _gate = new();
        private int _expected = expected;
        private TaskCompletionSource _reached = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int Count => _tickets.Count;

        public IReadOnlyList<ReplyTicket> Tickets => [.. _tickets];

        public void Add(KvRequest request, ReplyTicket ticket)
        {
            lock (_gate)
            {
                _tickets.Enqueue(ticket);
                Look();
            }
        }

        public void Expect(int count)
        {
            lock (_gate)
            {
                _expected = count;
                _reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                Look();
            }
        }

        public Task ReachedAsync(TimeSpan patience) => _reached.Task.WaitAsync(patience);

        private void Look()
        {
            if (_tickets.Count >= _expected)
            {
                _reached.TrySetResult();
            }
        }
    }
}
