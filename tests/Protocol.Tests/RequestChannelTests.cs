using System.Buffers;
using System.Collections.Concurrent;
using System.IO.Pipelines;
using System.Text;

namespace KvStore.Protocol.Tests;

public sealed class RequestChannelTests
{
    // A deadline for a test that hangs; nothing waits for it.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Theory]
    [InlineData(FeatureLevel.First)]
    [InlineData(FeatureLevel.Max)]
    public async Task A_reply_finds_its_request(ushort peerLevel)
    {
        var (near, far) = DuplexPipe.Create();
        var serving = RequestServer.ServeAsync(far, (request, ticket) => ticket.TryComplete(Echo(request.Key)));
        await using var channel = RequestChannel.Start(near, new RequestChannelOptions { PeerLevel = peerLevel });
        var result = await channel.SendAsync(Get("a")).AsTask().WaitAsync(Patience);
        Assert.Equal(RequestEnd.Replied, result.End);
        Assert.Equal("a", Encoding.UTF8.GetString(result.Reply!.Value.Span));
        await channel.DisposeAsync();
        Assert.Equal(ConnectionEndReason.ClosedByPeer, (await serving.WaitAsync(Patience)).Reason);
        Assert.Equal(ConnectionEndReason.Closed, (await channel.Completion.WaitAsync(Patience)).Reason);
    }

    [Theory]
    [InlineData(FeatureLevel.First)]
    [InlineData(FeatureLevel.Max)]
    public async Task Ten_thousand_pipelined_requests_from_several_threads_each_get_their_own_reply(ushort peerLevel)
    {
        var (near, far) = DuplexPipe.Create();
        var serving = RequestServer.ServeAsync(far, (request, ticket) => ticket.TryComplete(Echo(request.Key)));
        await using var channel = RequestChannel.Start(near, new RequestChannelOptions { MaxInFlight = 10_000, PeerLevel = peerLevel });
        var senders = Enumerable.Range(0, 4).Select(sender => Task.Run(async () =>
        {
            var texts = Enumerable.Range(0, 2_500).Select(i => $"{sender}/{i}");
            var sent = texts.Select(text => (Text: text, Result: channel.SendAsync(Get(text)).AsTask())).ToArray();
            foreach (var (text, pending) in sent)
            {
                var result = await pending;
                Assert.Equal(RequestEnd.Replied, result.End);
                Assert.Equal(text, Encoding.UTF8.GetString(result.Reply!.Value.Span));
            }
        }));
        await Task.WhenAll(senders).WaitAsync(Patience);
        Assert.Equal(0, channel.InFlight);
        await channel.DisposeAsync();
        await serving.WaitAsync(Patience);
    }

    /// <summary>
    /// Both loops are over because the other side has closed, while whoever ends the channel is about to cancel what they waited for: the
    /// transport is his until he has done.
    /// </summary>
    [Fact]
    public async Task The_transport_is_closed_only_when_whoever_ended_the_channel_has_done_with_it()
    {
        var (near, far) = DuplexPipe.Create();
        var input = new HeldUpReader(near.Input);
        var channel = RequestChannel.Start(new DuplexPipe(input, near.Output));
        Task closing = Task.Run(() => channel.DisposeAsync().AsTask());
        await input.Cancelling.WaitAsync(Patience);
        await far.Output.CompleteAsync();
        await far.Input.CompleteAsync();

        // Nothing says when it would have been closed; it is not to be.
        await Task.WhenAny(input.Closed, Task.Delay(300));
        Assert.False(input.Closed.IsCompleted);
        input.GoOn.SetResult();
        await closing.WaitAsync(Patience);
        await input.Closed.WaitAsync(Patience);
    }

    [Fact]
    public async Task Replies_may_come_in_any_order()
    {
        var (near, far) = DuplexPipe.Create();
        var tickets = new ConcurrentQueue<(string Key, ReplyTicket Ticket)>();
        var all = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var serving = RequestServer.ServeAsync(far, (request, ticket) =>
        {
            tickets.Enqueue((Encoding.UTF8.GetString(request.Key.Span), ticket));
            if (tickets.Count == 3)
            {
                all.SetResult();
            }
        });
        await using var channel = RequestChannel.Start(near);
        var a = channel.SendAsync(Get("a")).AsTask();
        var b = channel.SendAsync(Get("b")).AsTask();
        var c = channel.SendAsync(Get("c")).AsTask();
        await all.Task.WaitAsync(Patience);
        foreach (var (key, ticket) in tickets.Reverse())
        {
            Assert.True(ticket.TryComplete(new KvReply { Detail = key }));
            Assert.False(ticket.TryComplete(new KvReply { Detail = "twice" }));
        }

        Assert.Equal("a", (await a.WaitAsync(Patience)).Reply!.Detail);
        Assert.Equal("b", (await b.WaitAsync(Patience)).Reply!.Detail);
        Assert.Equal("c", (await c.WaitAsync(Patience)).Reply!.Detail);
        await channel.DisposeAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task A_burst_of_sends_leaves_in_few_flushes()
    {
        var (near, far) = DuplexPipe.Create(pauseAt: 1 << 20);
        var output = new CountingWriter(near.Output);
        var options = new RequestChannelOptions { MaxInFlight = 1_000 };
        await using var channel = RequestChannel.Start(new DuplexPipe(near.Input, output), options);

        // The first write does not finish before all are sent: what comes meanwhile must leave together.
        output.Hold();
        var sent = Enumerable.Range(0, 1_000).Select(_ => channel.SendAsync(Get("k")).AsTask()).ToArray();
        output.Release();
        var serving = RequestServer.ServeAsync(far, (_, ticket) => ticket.TryComplete(new KvReply()));
        await Task.WhenAll(sent).WaitAsync(Patience);
        Assert.InRange(output.Flushes, 1, 3);
        await channel.DisposeAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task A_slow_caller_does_not_hold_up_the_replies_of_others()
    {
        var (near, far) = DuplexPipe.Create();
        var serving = RequestServer.ServeAsync(far, (_, ticket) => ticket.TryComplete(new KvReply()));
        await using var channel = RequestChannel.Start(near);
        using var release = new ManualResetEventSlim();

        // Not on this thread: a reply that is there before it is awaited would block the test itself.
        var slow = Task.Run(() => BlockAfterReplyAsync(channel, release));
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal(RequestEnd.Replied, (await channel.SendAsync(Get("k")).AsTask().WaitAsync(Patience)).End);
        }

        release.Set();
        await slow.WaitAsync(Patience);
        await channel.DisposeAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task A_reply_with_an_id_that_is_not_open_closes_the_connection()
    {
        var (near, far) = DuplexPipe.Create();
        await using var channel = RequestChannel.Start(near);
        var pending = channel.SendAsync(Get("a")).AsTask();
        var request = await ReadFrameAsync(far.Input);
        await WriteReplyAsync(far.Output, request.Sequence + 1);
        Assert.Equal(RequestEnd.Lost, (await pending.WaitAsync(Patience)).End);
        Assert.Equal(ConnectionEndReason.ProtocolViolation, (await channel.Completion.WaitAsync(Patience)).Reason);
        Assert.Equal(RequestEnd.NotSent, (await channel.SendAsync(Get("b"))).End);
    }

    [Fact]
    public async Task The_same_reply_twice_closes_the_connection()
    {
        var (near, far) = DuplexPipe.Create();
        await using var channel = RequestChannel.Start(near);
        var pending = channel.SendAsync(Get("a")).AsTask();
        var request = await ReadFrameAsync(far.Input);
        await WriteReplyAsync(far.Output, request.Sequence);
        Assert.Equal(RequestEnd.Replied, (await pending.WaitAsync(Patience)).End);
        await WriteReplyAsync(far.Output, request.Sequence);
        Assert.Equal(ConnectionEndReason.ProtocolViolation, (await channel.Completion.WaitAsync(Patience)).Reason);
    }

    [Fact]
    public async Task When_the_connection_ends_what_was_written_is_lost_and_what_was_not_is_proved_unsent()
    {
        // The transport takes the first write and no more: the second request stays in the buffer.
        var (near, far) = DuplexPipe.Create(pauseAt: 2);
        await using var channel = RequestChannel.Start(near);
        var first = channel.SendAsync(Get("first")).AsTask();
        var seen = await far.Input.ReadAsync();
        far.Input.AdvanceTo(seen.Buffer.Start, seen.Buffer.Start);
        var second = channel.SendAsync(Get("second")).AsTask();
        await far.Output.CompleteAsync();
        Assert.Equal(RequestEnd.Lost, (await first.WaitAsync(Patience)).End);
        var result = await second.WaitAsync(Patience);
        Assert.Equal(RequestEnd.NotSent, result.End);
        Assert.True(result.NeverSent);

        // The proof holds: not a byte of the second request is in the pipe.
        await channel.Completion.WaitAsync(Patience);
        var rest = (await far.Input.ReadAsync()).Buffer;
        Assert.Equal(DecodeResult.Ok, FrameReader.TryRead(ref rest, 1 << 20, out _, out _));
        Assert.True(rest.IsEmpty);
    }

    [Fact]
    public async Task Garbage_from_the_other_side_ends_the_connection_with_its_reason()
    {
        var (near, far) = DuplexPipe.Create();
        await using var channel = RequestChannel.Start(near);
        var pending = channel.SendAsync(Get("a")).AsTask();
        await ReadFrameAsync(far.Input);
        await far.Output.WriteAsync("HTTP/1.1 400 Bad Request"u8.ToArray());
        Assert.Equal(RequestEnd.Lost, (await pending.WaitAsync(Patience)).End);
        var end = await channel.Completion.WaitAsync(Patience);
        Assert.Equal((ConnectionEndReason.MalformedFrame, FrameError.BadMagic), (end.Reason, end.FrameError));
    }

    [Fact]
    public async Task A_request_without_a_reply_times_out_after_its_time_and_the_grace()
    {
        var time = new ManualTime();
        var (near, far) = DuplexPipe.Create();
        await using var channel = RequestChannel.Start(near, new RequestChannelOptions { ReplyGraceMs = 100 }, time);
        var pending = channel.SendAsync(Get("a") with { TimeoutMs = 400 }).AsTask();
        var request = await ReadFrameAsync(far.Input);
        time.Advance(499);
        Assert.False(pending.IsCompleted);
        time.Advance(20);
        Assert.Equal(RequestEnd.TimedOut, (await pending.WaitAsync(Patience)).End);

        // The late reply is not mistaken for a reply to nothing.
        Assert.Equal(1, channel.InFlight);
        await WriteReplyAsync(far.Output, request.Sequence);
        var next = channel.SendAsync(Get("b")).AsTask();
        await WriteReplyAsync(far.Output, (await ReadFrameAsync(far.Input)).Sequence);
        Assert.Equal(RequestEnd.Replied, (await next.WaitAsync(Patience)).End);
        Assert.Equal(0, channel.InFlight);
    }

    [Fact]
    public async Task A_server_that_never_answers_loses_the_connection()
    {
        var time = new ManualTime();
        var (near, _) = DuplexPipe.Create();
        await using var channel = RequestChannel.Start(near, new RequestChannelOptions { UnresponsiveAfterMs = 1_000 }, time);
        var pending = channel.SendAsync(Get("a") with { TimeoutMs = 100 }).AsTask();
        time.Advance(500);
        Assert.Equal(RequestEnd.TimedOut, (await pending.WaitAsync(Patience)).End);
        time.Advance(1_000);
        Assert.Equal(ConnectionEndReason.Unresponsive, (await channel.Completion.WaitAsync(Patience)).Reason);
    }

    [Fact]
    public async Task Cancelling_stops_the_waiting_and_not_the_connection()
    {
        var (near, far) = DuplexPipe.Create();
        await using var channel = RequestChannel.Start(near);
        using var cancel = new CancellationTokenSource();
        var pending = channel.SendAsync(Get("a"), cancel.Token).AsTask();
        var request = await ReadFrameAsync(far.Input);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => pending.WaitAsync(Patience));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await channel.SendAsync(Get("b"), cancel.Token));
        await WriteReplyAsync(far.Output, request.Sequence);
        var next = channel.SendAsync(Get("c")).AsTask();
        await WriteReplyAsync(far.Output, (await ReadFrameAsync(far.Input)).Sequence);
        Assert.Equal(RequestEnd.Replied, (await next.WaitAsync(Patience)).End);
    }

    [Fact]
    public async Task In_flight_requests_and_waiting_bytes_are_bounded()
    {
        var (near, _) = DuplexPipe.Create(pauseAt: 2);
        await using var channel = RequestChannel.Start(near, new RequestChannelOptions { MaxInFlight = 2 });
        _ = channel.SendAsync(Get("a")).AsTask();
        _ = channel.SendAsync(Get("b")).AsTask();
        Assert.Equal(RequestEnd.Full, (await channel.SendAsync(Get("c"))).End);

        var (bytesNear, _) = DuplexPipe.Create(pauseAt: 2);
        await using var bytes = RequestChannel.Start(bytesNear, new RequestChannelOptions { MaxWaitingBytes = 100_000 });
        var ends = new List<Task<RequestResult>>();
        for (int i = 0; i < 40; i++)
        {
            ends.Add(bytes.SendAsync(Samples.Put("k", new string('v', 10_000))).AsTask());
        }

        var full = await Task.WhenAny(ends.Where(end => end.IsCompleted));
        Assert.Equal(RequestEnd.Full, (await full).End);
    }

    [Fact]
    public async Task A_request_above_the_frame_limit_is_never_sent_and_harms_nobody()
    {
        var (near, far) = DuplexPipe.Create();
        var serving = RequestServer.ServeAsync(far, (_, ticket) => ticket.TryComplete(new KvReply()));
        await using var channel = RequestChannel.Start(near, new RequestChannelOptions { MaxFrameBytes = 1_000 });
        Assert.Equal(RequestEnd.TooLarge, (await channel.SendAsync(Samples.Put("k", new string('v', 1_001)))).End);
        Assert.Equal(RequestEnd.Replied, (await channel.SendAsync(Get("k")).AsTask().WaitAsync(Patience)).End);
        await channel.DisposeAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task A_request_leaves_in_the_form_that_the_other_side_knows()
    {
        foreach (var (options, isFlat) in new[]
        {
            (new RequestChannelOptions(), true),
            (new RequestChannelOptions { PeerLevel = FeatureLevel.Max }, false),
            (new RequestChannelOptions { PeerLevel = ushort.MaxValue }, false),
        })
        {
            var (near, far) = DuplexPipe.Create();
            await using var channel = RequestChannel.Start(near, options);
            Assert.Equal(options.PeerLevel, channel.PeerLevel);
            _ = channel.SendAsync(Samples.Put("k", "v")).AsTask();
            var (_, payload) = await ReadPayloadAsync(far.Input);
            Assert.Equal(isFlat, KvRequestCodec.IsFlat(payload));
            Assert.Equal(DecodeResult.Ok, KvRequestCodec.TryDecode(payload, out var request));
            Samples.AssertSame(Samples.Put("k", "v"), request!, $"level {options.PeerLevel}");
        }
    }

    [Fact]
    public async Task What_the_other_side_does_not_know_is_never_sent_and_harms_nobody()
    {
        var (near, far) = DuplexPipe.Create();
        int handled = 0;
        var serving = RequestServer.ServeAsync(far, (_, ticket) =>
        {
            handled++;
            ticket.TryComplete(new KvReply());
        });
        await using var channel = RequestChannel.Start(near);
        var unknown = new KvRequest { Operation = new UnknownOperation(200, new byte[] { 0x90 }) };
        foreach (var request in new[] { unknown, Get("k") with { Requires = Requirements.Principal } })
        {
            var result = await channel.SendAsync(request);
            Assert.Equal(RequestEnd.Unsupported, result.End);
            Assert.True(result.NeverSent);
            Assert.Null(result.Reply);
        }

        Assert.Equal(0, channel.InFlight);
        Assert.Equal(RequestEnd.Replied, (await channel.SendAsync(Get("k")).AsTask().WaitAsync(Patience)).End);
        Assert.Equal(1, handled);
        await channel.DisposeAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task A_ping_is_answered_by_either_side()
    {
        var (near, far) = DuplexPipe.Create();
        await using var channel = RequestChannel.Start(near);
        await far.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Ping, FrameFlags.None, 7, []));
        var pong = await ReadFrameAsync(far.Input);
        Assert.Equal((FrameKind.Pong, 7ul), (pong.Kind, pong.Sequence));

        var (client, server) = DuplexPipe.Create();
        var serving = RequestServer.ServeAsync(server, (_, _) => { });
        await client.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Ping, FrameFlags.None, 8, []));
        var answer = await ReadFrameAsync(client.Input);
        Assert.Equal((FrameKind.Pong, 8ul), (answer.Kind, answer.Sequence));
        await client.Output.CompleteAsync();
        await serving.WaitAsync(Patience);
    }

    private static async Task BlockAfterReplyAsync(RequestChannel channel, ManualResetEventSlim release)
    {
        await channel.SendAsync(Get("slow"));
        release.Wait();
    }

    internal static KvRequest Get(string key) => new() { Operation = new Get(Encoding.UTF8.GetBytes(key)) };

    private static KvReply Echo(ReadOnlyMemory<byte> value) => new() { Result = Samples.Found(value.Span) };

    internal static async Task<FrameHeader> ReadFrameAsync(PipeReader input) => (await ReadPayloadAsync(input)).Header;

    internal static async Task<(FrameHeader Header, KvReply Reply)> ReadReplyAsync(
        PipeReader input, Operation? asked = null)
    {
        var (header, payload) = await ReadPayloadAsync(input);
        Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(payload, asked ?? Get("k").Operation, out var reply));
        return (header, reply!);
    }

    internal static async Task<(FrameHeader Header, byte[] Payload)> ReadPayloadAsync(PipeReader input)
    {
        while (true)
        {
            var result = await input.ReadAsync().AsTask().WaitAsync(Patience);
            var buffer = result.Buffer;
            var decoded = FrameReader.TryRead(ref buffer, Limits.MaxRequestBytes, out var frame, out _);
            byte[] payload = decoded == DecodeResult.Ok ? frame.Payload.ToArray() : [];
            input.AdvanceTo(buffer.Start, decoded == DecodeResult.Ok ? buffer.Start : buffer.End);
            if (decoded == DecodeResult.Ok)
            {
                return (frame.Header, payload);
            }

            Assert.False(result.IsCompleted);
        }
    }

    private static async Task WriteReplyAsync(PipeWriter output, ulong id) =>
        await output.WriteAsync(FrameTests.FrameOf(FrameKind.Reply, FrameFlags.None, id, CodecTests.EncodeFlat(new KvReply())));

    /// <summary>Counts flushes and can hold the first one back.</summary>
    private sealed class CountingWriter(PipeWriter inner) : PipeWriter
    {
        private readonly TaskCompletionSource _release = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private bool _held;

        public int Flushes { get; private set; }

        public void Hold() => _held = true;

        public void Release() => _release.SetResult();

        public override void Advance(int bytes) => inner.Advance(bytes);

        public override void CancelPendingFlush() => inner.CancelPendingFlush();

        public override void Complete(Exception? exception = null) => inner.Complete(exception);

        public override Memory<byte> GetMemory(int sizeHint = 0) => inner.GetMemory(sizeHint);

        public override Span<byte> GetSpan(int sizeHint = 0) => inner.GetSpan(sizeHint);

        public override async ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
        {
            Flushes++;
            if (_held)
            {
                await _release.Task;
            }

            return await inner.FlushAsync(cancellationToken);
        }
    }

    /// <summary>Whoever cancels a read here is held up before it.</summary>
    private sealed class HeldUpReader(PipeReader inner) : PipeReader
    {
        private readonly TaskCompletionSource _cancelling = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Cancelling => _cancelling.Task;

        public Task Closed => _closed.Task;

        public TaskCompletionSource GoOn { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public override void CancelPendingRead()
        {
            _cancelling.TrySetResult();
            Assert.True(GoOn.Task.Wait(Patience));
            inner.CancelPendingRead();
        }

        public override void Complete(Exception? exception = null)
        {
            _closed.TrySetResult();
            inner.Complete(exception);
        }

        public override void AdvanceTo(SequencePosition consumed) => inner.AdvanceTo(consumed);

        public override void AdvanceTo(SequencePosition consumed, SequencePosition examined) => inner.AdvanceTo(consumed, examined);

        public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) => inner.ReadAsync(cancellationToken);

        public override bool TryRead(out ReadResult result) => inner.TryRead(out result);
    }
}
