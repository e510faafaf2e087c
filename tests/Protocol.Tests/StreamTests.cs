using System.IO.Pipelines;

namespace KvStore.Protocol.Tests;

/// <summary>Answers in parts, both ends together. The read that gives them exists in these tests alone.</summary>
public sealed class StreamTests
{
    private const int Window = 64 << 10;
    private const int ItemBytes = 100;
    private const int FrameBytes = FrameHeader.SizeBytes + ItemBytes;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    /// <summary>Towards a server of today.</summary>
    internal static RequestChannelOptions ChannelOptions { get; } = new() { Streams = true, PeerLevel = FeatureLevel.Max };

    [Fact]
    public async Task Ten_thousand_items_under_a_window_of_64_KiB_arrive_whole_and_in_order()
    {
        await using var ends = new Ends(new CountingSource(10_000, ItemBytes));
        await using var reader = ends.Channel.Open(RequestChannelTests.Get("k"), Window);
        for (int i = 0; i < 10_000; i++)
        {
            byte[] item = (await reader.TakeAsync().AsTask().WaitAsync(Patience))!;
            Assert.Equal((i, ItemBytes), (CountingSource.NumberOf(item), item.Length));

            // Nobody has made more than the window allows beyond what was taken.
            Assert.InRange((ends.Source.Given - i - 1) * FrameBytes, 0, Window + FrameBytes);
        }

        Assert.Null(await reader.TakeAsync().AsTask().WaitAsync(Patience));
        Assert.Equal(RequestEnd.Replied, reader.End.End);
        Assert.Equal(10_000, reader.End.Reply!.Number);
        await ends.AssertNothingHeldAsync();
    }

    [Fact]
    public async Task Cancelled_half_way_nothing_is_held_and_nothing_is_open_at_either_end()
    {
        await using var ends = new Ends(new CountingSource(10_000, ItemBytes));
        var reader = ends.Channel.Open(RequestChannelTests.Get("k"), Window);
        for (int i = 0; i < 5_000; i++)
        {
            Assert.Equal(i, CountingSource.NumberOf((await reader.TakeAsync().AsTask().WaitAsync(Patience))!));
        }

        Assert.Equal(1, ends.Channel.OpenStreams);
        await reader.DisposeAsync();
        await ends.AssertNothingHeldAsync();
        Assert.InRange(ends.Source.Given, 5_000, 5_000 + (Window / FrameBytes) + 1);
        Assert.Null(await reader.TakeAsync());
        Assert.Equal(RequestEnd.Abandoned, reader.End.End);

        // The connection is as good as before.
        Assert.Equal(RequestEnd.Replied, (await ends.Channel.SendAsync(Samples.Put("k", "v")).AsTask().WaitAsync(Patience)).End);
    }

    [Fact]
    public async Task A_client_that_takes_nothing_holds_a_window_and_the_server_makes_no_more()
    {
        await using var ends = new Ends(new CountingSource(10_000, ItemBytes));
        await using var reader = ends.Channel.Open(RequestChannelTests.Get("k"), Window);
        int full = (Window + FrameBytes - 1) / FrameBytes;
        await UntilAsync(() => ends.Channel.HeldItemBytes == (long)full * FrameBytes);

        // Whatever else the server does, it has not asked for another item: a request after that is answered, and nothing has moved.
        Assert.Equal(RequestEnd.Replied, (await ends.Channel.SendAsync(Samples.Put("k", "v")).AsTask().WaitAsync(Patience)).End);
        Assert.Equal((full, 0L), (ends.Source.Given, ends.Servers.HeldItemBytes));
    }

    [Fact]
    public async Task A_client_that_does_not_read_its_socket_costs_a_bounded_number_of_bytes_whatever_credit_it_gives()
    {
        var (near, far) = DuplexPipe.Create(pauseAt: 1 << 10);
        var servers = new RequestServers();
        var source = new CountingSource(100_000, 1_000);
        var options = new RequestServerOptions { Streams = true, MaxStreamBytes = 10_000 };
        var serving = RequestServer.ServeAsync(far, (_, ticket) => ticket.TryStream(source), options, servers);
        await near.Output.WriteAsync(RequestOf(1));
        await near.Output.WriteAsync(CreditOf(1, Limits.MaxStreamCreditBytes));
        await UntilAsync(() => servers.HeldItemBytes >= 10_000);

        // Each byte read makes room for one more; never for more than the limit and one item.
        for (int i = 0; i < 1_000; i++)
        {
            Assert.Equal(FrameKind.Item, (await RequestChannelTests.ReadFrameAsync(near.Input)).Kind);
            Assert.InRange(servers.HeldItemBytes, 0, 10_000 + 1_024);
            Assert.InRange(source.Given - i, 0, 30);
        }

        await near.Output.CompleteAsync();
        await near.Input.CompleteAsync();
        await serving.WaitAsync(Patience);
        Assert.Equal((0L, 0L, 1), (servers.OpenStreams, servers.HeldItemBytes, source.Closings));
    }

    [Fact]
    public async Task The_server_keeps_to_the_credit_it_was_given()
    {
        await using var server = new RawServer(new CountingSource(10_000, ItemBytes));
        await MeasureAsync(server.Near, window: 4_000, items: 2_000);
    }

    [Fact]
    public async Task A_server_that_ignores_credit_is_caught_by_the_same_measurement()
    {
        var (near, far) = DuplexPipe.Create(pauseAt: 1 << 20);
        await WriteItemsAsync(far.Output, id: 1, count: 2_000);
        var caught = await Assert.ThrowsAnyAsync<Exception>(() => MeasureAsync(near, window: 4_000, items: 2_000));
        Assert.Contains("credit", caught.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Our_client_closes_the_connection_of_a_server_that_ignores_credit()
    {
        var (near, far) = DuplexPipe.Create(pauseAt: 1 << 20);
        await using var channel = RequestChannel.Start(near, ChannelOptions);
        await using var reader = channel.Open(RequestChannelTests.Get("k"), 4_000);
        await RequestChannelTests.ReadFrameAsync(far.Input);
        await WriteItemsAsync(far.Output, id: 1, count: 2_000);
        Assert.Equal(ConnectionEndReason.ProtocolViolation, (await channel.Completion.WaitAsync(Patience)).Reason);

        // What came before the violation can be taken; it is not more than was asked for.
        int taken = 0;
        while (await reader.TakeAsync().AsTask().WaitAsync(Patience) is not null)
        {
            taken++;
        }

        Assert.Equal((4_000 + FrameBytes - 1) / FrameBytes, taken);
        Assert.Equal(RequestEnd.Lost, reader.End.End);
        Assert.Equal((0, 0L), (channel.OpenStreams, channel.HeldItemBytes));
    }

    [Fact]
    public async Task An_item_larger_than_the_window_comes_all_the_same()
    {
        await using var ends = new Ends(new CountingSource(20, itemBytes: 50_000));
        await using var reader = ends.Channel.Open(RequestChannelTests.Get("k"), window: 100);
        int taken = 0;
        while (await reader.TakeAsync().AsTask().WaitAsync(Patience) is not null)
        {
            taken++;
        }

        Assert.Equal((20, RequestEnd.Replied), (taken, reader.End.End));
    }

    [Fact]
    public async Task A_source_with_nothing_to_give_is_asked_again_when_it_calls()
    {
        var source = new CountingSource(10) { PauseAt = 4 };
        await using var ends = new Ends(source);
        await using var reader = ends.Channel.Open(RequestChannelTests.Get("k"), Window);
        for (int i = 0; i < 4; i++)
        {
            Assert.Equal(i, CountingSource.NumberOf((await reader.TakeAsync().AsTask().WaitAsync(Patience))!));
        }

        var fifth = reader.TakeAsync().AsTask();
        Assert.False(fifth.IsCompleted);
        source.GoOn();
        Assert.Equal(4, CountingSource.NumberOf((await fifth.WaitAsync(Patience))!));
    }

    [Fact]
    public async Task Streams_take_turns_item_by_item()
    {
        var (near, far) = DuplexPipe.Create(pauseAt: 1 << 10);
        var options = new RequestServerOptions { Streams = true, MaxStreamBytes = 1_000 };
        var serving = RequestServer.ServeAsync(far, (_, ticket) => ticket.TryStream(new CountingSource(10_000, ItemBytes)), options);
        foreach (ulong id in new ulong[] { 1, 2 })
        {
            await near.Output.WriteAsync(RequestOf(id));
            await near.Output.WriteAsync(CreditOf(id, 1 << 20));
        }

        ulong last = 0;
        while (last != 2)
        {
            last = (await RequestChannelTests.ReadFrameAsync(near.Input)).Sequence;
        }

        for (int i = 0; i < 500; i++)
        {
            ulong next = (await RequestChannelTests.ReadFrameAsync(near.Input)).Sequence;
            Assert.Equal(3 - last, next);
            last = next;
        }

        await near.Output.CompleteAsync();
        await near.Input.CompleteAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task More_streams_than_the_limit_are_refused_by_name_and_do_not_count_as_requests()
    {
        var sources = new List<CountingSource>();
        var options = new RequestServerOptions { Streams = true, MaxStreams = 2, MaxInFlight = 1 };
        await using var ends = new Ends(
            () =>
            {
                sources.Add(new CountingSource(10) { PauseAt = 0 });
                return sources[^1];
            },
            options);
        var open = new[] { ends.Channel.Open(RequestChannelTests.Get("a"), Window), ends.Channel.Open(RequestChannelTests.Get("b"), Window) };
        await using var third = ends.Channel.Open(RequestChannelTests.Get("c"), Window);
        Assert.Null(await third.TakeAsync().AsTask().WaitAsync(Patience));
        Assert.Equal((ErrorCode.Overloaded, Outcome.NotApplied), (third.End.Reply!.Code, third.End.Reply.Outcome));
        Assert.Equal(1, sources[2].Closings);

        // One request may be open, and two streams are: it is answered.
        Assert.Equal(RequestEnd.Replied, (await ends.Channel.SendAsync(Samples.Put("k", "v")).AsTask().WaitAsync(Patience)).End);
        foreach (var reader in open)
        {
            await reader.DisposeAsync();
        }

        await ends.AssertNothingHeldAsync();
        await using var fourth = ends.Channel.Open(RequestChannelTests.Get("d"), Window);
        sources[^1].GoOn();
        await UntilAsync(() => sources.Count == 4);
        sources[3].GoOn();
        Assert.NotNull(await fourth.TakeAsync().AsTask().WaitAsync(Patience));
    }

    [Fact]
    public async Task Our_client_opens_no_more_streams_than_its_own_limit()
    {
        var (near, _) = DuplexPipe.Create();
        await using var channel = RequestChannel.Start(near, ChannelOptions with { MaxStreams = 1 });
        await using var first = channel.Open(RequestChannelTests.Get("a"), Window);
        await using var second = channel.Open(RequestChannelTests.Get("b"), Window);
        Assert.Null(await second.TakeAsync());
        Assert.Equal((RequestEnd.Full, true), (second.End.End, second.End.NeverSent));
    }

    [Fact]
    public async Task A_client_that_never_gives_credit_is_told_after_a_while()
    {
        var time = new ManualTime();
        await using var server = new RawServer(new CountingSource(10), time);
        await server.Near.Output.WriteAsync(RequestOf(1));
        await UntilAsync(() => server.Servers.OpenStreams == 1);
        time.Advance(29_999);
        Assert.Equal(0, server.Source.Closings);
        time.Advance(2_000);
        var (header, reply) = await RequestChannelTests.ReadReplyAsync(server.Near.Input);
        Assert.Equal((1ul, ErrorCode.Timeout), (header.Sequence, reply.Code));
        Assert.Equal((0, 1, 0L), (server.Source.Given, server.Source.Closings, server.Servers.OpenStreams));
    }

    [Fact]
    public async Task A_source_that_waits_is_not_the_clients_fault()
    {
        var time = new ManualTime();
        await using var server = new RawServer(new CountingSource(10) { PauseAt = 0 }, time);
        await server.Near.Output.WriteAsync(RequestOf(1));
        await server.Near.Output.WriteAsync(CreditOf(1, 1 << 20));
        await server.PingAsync();
        for (int i = 0; i < 100; i++)
        {
            time.Advance(1_000);
        }

        await server.PingAsync();
        Assert.Equal((0, 1L), (server.Source.Closings, server.Servers.OpenStreams));
        server.Source.GoOn();
        Assert.Equal(FrameKind.Item, (await RequestChannelTests.ReadFrameAsync(server.Near.Input)).Kind);
    }

    [Fact]
    public async Task A_server_that_falls_silent_in_the_middle_of_an_answer_is_not_waited_for()
    {
        var time = new ManualTime();
        var (near, far) = DuplexPipe.Create();
        await using var channel = RequestChannel.Start(
            near, ChannelOptions with { ReplyGraceMs = 100, UnresponsiveAfterMs = 5_000 }, time);
        await using var reader = channel.Open(RequestChannelTests.Get("k") with { TimeoutMs = 400 }, Window);
        await RequestChannelTests.ReadFrameAsync(far.Input);
        await WriteItemsAsync(far.Output, id: 1, count: 1);
        await UntilAsync(() => channel.HeldItemBytes > 0);

        // As long as something is here to be taken, the silence is the reader's.
        time.Advance(10_000);
        Assert.NotNull(await reader.TakeAsync().AsTask().WaitAsync(Patience));
        var next = reader.TakeAsync().AsTask();
        time.Advance(490);
        Assert.False(next.IsCompleted);
        time.Advance(20);
        Assert.Null(await next.WaitAsync(Patience));
        Assert.Equal(RequestEnd.TimedOut, reader.End.End);

        // The other side is told; as it does not even end the answer, the connection is given up.
        Assert.Equal(FrameKind.Credit, (await RequestChannelTests.ReadFrameAsync(far.Input)).Kind);
        Assert.Equal(FrameKind.Cancel, (await RequestChannelTests.ReadFrameAsync(far.Input)).Kind);
        Assert.Equal(1, channel.OpenStreams);
        time.Advance(5_100);
        Assert.Equal(ConnectionEndReason.Unresponsive, (await channel.Completion.WaitAsync(Patience)).Reason);
        Assert.Equal(0, channel.OpenStreams);
    }

    [Fact]
    public async Task A_source_that_throws_ends_its_own_connection_and_is_closed()
    {
        var source = new CountingSource(10) { Throws = new InvalidOperationException("a bug") };
        await using var ends = new Ends(source);
        await using var reader = ends.Channel.Open(RequestChannelTests.Get("k"), Window);
        Assert.Null(await reader.TakeAsync().AsTask().WaitAsync(Patience));
        Assert.Equal(RequestEnd.Lost, reader.End.End);
        var end = await ends.Serving.WaitAsync(Patience);
        Assert.Equal((ConnectionEndReason.Failed, "a bug", 1), (end.Reason, end.Exception!.Message, source.Closings));
        Assert.Equal(0, ends.Servers.OpenStreams);
    }

    [Fact]
    public async Task An_item_above_the_frame_limit_ends_the_answer_and_not_the_connection()
    {
        await using var ends = new Ends(new CountingSource(10, itemBytes: 5_000), new RequestServerOptions { Streams = true, MaxFrameBytes = 4_000 });
        await using var reader = ends.Channel.Open(RequestChannelTests.Get("k"), Window);
        Assert.Null(await reader.TakeAsync().AsTask().WaitAsync(Patience));
        Assert.Equal(ErrorCode.Internal, reader.End.Reply!.Code);
        Assert.Equal(RequestEnd.Replied, (await ends.Channel.SendAsync(Samples.Put("k", "v")).AsTask().WaitAsync(Patience)).End);
    }

    [Fact]
    public async Task Without_the_feature_bit_nothing_new_is_sent_and_an_answer_in_parts_is_refused()
    {
        // A client of before asks for it all the same: it gets an answer it can read.
        var source = new CountingSource(10);
        var servers = new RequestServers();
        var (near, far) = DuplexPipe.Create();
        var serving = RequestServer.ServeAsync(far, (_, ticket) => ticket.TryStream(source), servers: servers);
        servers.GoAway(new GoAway(GoAwayReason.Draining, 100));
        await near.Output.WriteAsync(RequestOf(1));
        var (header, reply) = await RequestChannelTests.ReadReplyAsync(near.Input);
        Assert.Equal((1ul, ErrorCode.InvalidRequest, Outcome.NotApplied), (header.Sequence, reply.Code, reply.Outcome));
        Assert.Equal(1, source.Closings);
        await near.Output.CompleteAsync();
        await serving.WaitAsync(Patience);
        var rest = await near.Input.ReadAsync();
        Assert.True(rest is { IsCompleted: true, Buffer.IsEmpty: true });

        // Towards a server of before, nothing of it leaves.
        var (toOld, old) = DuplexPipe.Create();
        await using var channel = RequestChannel.Start(toOld);
        await using var reader = channel.Open(RequestChannelTests.Get("k"), Window);
        Assert.Null(await reader.TakeAsync());
        Assert.Equal((RequestEnd.Unsupported, true), (reader.End.End, reader.End.NeverSent));
        using var cancel = new CancellationTokenSource();
        var pending = channel.SendAsync(RequestChannelTests.Get("k"), cancel.Token).AsTask();
        Assert.Equal(FrameKind.Request, (await RequestChannelTests.ReadFrameAsync(old.Input)).Kind);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => pending.WaitAsync(Patience));
        await channel.DisposeAsync();
        var sent = await old.Input.ReadAsync();
        Assert.True(sent is { IsCompleted: true, Buffer.IsEmpty: true });
    }

    [Theory]
    [InlineData(FrameKind.Credit, false)]
    [InlineData(FrameKind.Cancel, false)]
    [InlineData(FrameKind.Item, false)]
    [InlineData(FrameKind.Item, true)]
    [InlineData(FrameKind.GoAway, false)]
    [InlineData(FrameKind.GoAway, true)]
    public async Task A_frame_that_a_server_does_not_take_closes_the_connection(FrameKind kind, bool streams)
    {
        var (near, far) = DuplexPipe.Create();
        var serving = RequestServer.ServeAsync(far, (_, _) => { }, new RequestServerOptions { Streams = streams });
        await near.Output.WriteAsync(FrameTests.FrameOf(kind, FrameFlags.None, 1, FuzzTests.Encoded(to => StreamCodec.EncodeCredit(to, 5))));
        Assert.Equal(ConnectionEndReason.ProtocolViolation, (await serving.WaitAsync(Patience)).Reason);
    }

    [Theory]
    [InlineData(FrameKind.Item, false)]
    [InlineData(FrameKind.Item, true)]
    [InlineData(FrameKind.GoAway, false)]
    [InlineData(FrameKind.Credit, true)]
    [InlineData(FrameKind.Cancel, true)]
    public async Task A_frame_that_a_client_does_not_take_closes_the_connection(FrameKind kind, bool streams)
    {
        var (near, far) = DuplexPipe.Create();
        await using var channel = RequestChannel.Start(near, ChannelOptions with { Streams = streams });
        var plain = channel.SendAsync(RequestChannelTests.Get("k")).AsTask();
        await RequestChannelTests.ReadFrameAsync(far.Input);
        byte[] payload = FuzzTests.Encoded(to => StreamCodec.Encode(to, new GoAway(GoAwayReason.Draining, 5)));
        await far.Output.WriteAsync(FrameTests.FrameOf(kind, FrameFlags.None, 1, payload));
        Assert.Equal(ConnectionEndReason.ProtocolViolation, (await channel.Completion.WaitAsync(Patience)).Reason);
        Assert.Equal(RequestEnd.Lost, (await plain.WaitAsync(Patience)).End);
    }

    [Fact]
    public async Task Credit_that_adds_up_to_more_than_there_can_be_closes_the_connection_open_or_not_yet()
    {
        await using var open = new RawServer(new CountingSource(10) { PauseAt = 0 });
        await open.Near.Output.WriteAsync(RequestOf(1));
        await open.Near.Output.WriteAsync(CreditOf(1, Limits.MaxStreamCreditBytes));
        await open.PingAsync();
        await open.Near.Output.WriteAsync(CreditOf(1, 1));
        Assert.Equal(ConnectionEndReason.ProtocolViolation, (await open.Serving.WaitAsync(Patience)).Reason);
        Assert.Equal((1, 0L), (open.Source.Closings, open.Servers.OpenStreams));

        var (near, far) = DuplexPipe.Create();
        var unanswered = RequestServer.ServeAsync(far, (_, _) => { }, new RequestServerOptions { Streams = true });
        await near.Output.WriteAsync(RequestOf(1));
        await near.Output.WriteAsync(CreditOf(1, Limits.MaxStreamCreditBytes));
        await near.Output.WriteAsync(CreditOf(1, Limits.MaxStreamCreditBytes));
        Assert.Equal(ConnectionEndReason.ProtocolViolation, (await unanswered.WaitAsync(Patience)).Reason);
    }

    [Theory]
    [InlineData(long.MinValue)]
    [InlineData(-1)]
    [InlineData(0)]
    [InlineData(Limits.MaxStreamCreditBytes + 1)]
    [InlineData(long.MaxValue)]
    public async Task Credit_that_is_none_closes_the_connection(long bytes)
    {
        await using var server = new RawServer(new CountingSource(10));
        await server.Near.Output.WriteAsync(CreditOf(7, bytes));
        Assert.Equal(ConnectionEndReason.ProtocolViolation, (await server.Serving.WaitAsync(Patience)).Reason);
    }

    [Fact]
    public async Task Credit_and_cancel_for_an_answer_that_has_ended_are_nothing()
    {
        await using var server = new RawServer(new CountingSource(0));
        await server.Near.Output.WriteAsync(RequestOf(1));
        await server.Near.Output.WriteAsync(CreditOf(1, 100));
        Assert.Equal(FrameKind.Reply, (await RequestChannelTests.ReadFrameAsync(server.Near.Input)).Kind);
        await server.Near.Output.WriteAsync(CreditOf(1, 100));
        await server.Near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Cancel, FrameFlags.None, 1, []));
        await server.Near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Cancel, FrameFlags.None, 99, []));
        await server.PingAsync();
    }

    [Fact]
    public async Task The_id_of_an_answer_in_parts_is_taken_until_its_reply()
    {
        await using var server = new RawServer(new CountingSource(10) { PauseAt = 0 });
        await server.Near.Output.WriteAsync(RequestOf(1));
        await UntilAsync(() => server.Servers.OpenStreams == 1);
        await server.Near.Output.WriteAsync(RequestOf(1));
        Assert.Equal(ConnectionEndReason.ProtocolViolation, (await server.Serving.WaitAsync(Patience)).Reason);
    }

    [Theory]
    [InlineData(FeatureLevel.First)]
    [InlineData(FeatureLevel.Max)]
    public async Task An_answer_in_parts_ends_in_the_form_its_request_came_in(ushort level)
    {
        var paused = new CountingSource(10) { PauseAt = 0 };
        int asked = 0;
        var (near, far) = DuplexPipe.Create();
        var serving = RequestServer.ServeAsync(
            far,
            (_, ticket) => ticket.TryStream(asked++ == 0 ? paused : new CountingSource(0)),
            new RequestServerOptions { Streams = true, MaxStreams = 1 });
        byte[] request = FuzzTests.Encoded(to => KvRequestCodec.TryEncode(to, RequestChannelTests.Get("k"), level));

        // One that is refused, one that is cancelled, one that comes to its end.
        await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, 1, request));
        await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, 2, request));
        await AssertReplyAsync(2, ErrorCode.Overloaded);
        await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Cancel, FrameFlags.None, 1, []));
        await AssertReplyAsync(1, ErrorCode.Timeout);
        await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, 3, request));
        await near.Output.WriteAsync(CreditOf(3, 1));
        await AssertReplyAsync(3, ErrorCode.None);
        await near.Output.CompleteAsync();
        await serving.WaitAsync(Patience);

        async Task AssertReplyAsync(ulong id, ErrorCode code)
        {
            var (header, payload) = await RequestChannelTests.ReadPayloadAsync(near.Input);
            Assert.Equal((FrameKind.Reply, id), (header.Kind, header.Sequence));
            Assert.Equal(DecodeResult.Ok, KvReplyCodec.TryDecode(payload, Samples.FullGet, out var reply));
            Assert.Equal(code, reply!.Code);
            Assert.Equal(KvRequestCodec.IsFlat(request), KvRequestCodec.IsFlat(payload));
        }
    }

    [Fact]
    public async Task An_answer_ends_once()
    {
        var (near, far) = DuplexPipe.Create();
        await using var channel = RequestChannel.Start(near, ChannelOptions);
        await using var reader = channel.Open(RequestChannelTests.Get("k"), Window);
        await RequestChannelTests.ReadFrameAsync(far.Input);
        await far.Output.WriteAsync(ReplyOf(1));
        Assert.Null(await reader.TakeAsync().AsTask().WaitAsync(Patience));
        await far.Output.WriteAsync(ReplyOf(1));
        Assert.Equal(ConnectionEndReason.ProtocolViolation, (await channel.Completion.WaitAsync(Patience)).Reason);
        Assert.Equal(RequestEnd.Replied, reader.End.End);
    }

    /// <summary>
    /// Plays a client that counts: what has come and was not credited again must stay within the window, one item excepted.
    /// </summary>
    private static async Task MeasureAsync(DuplexPipe near, int window, int items)
    {
        await near.Output.WriteAsync(RequestOf(1));
        await near.Output.WriteAsync(CreditOf(1, window));
        long credit = window;
        for (int i = 0; i < items; i++)
        {
            Assert.Equal(FrameKind.Item, (await RequestChannelTests.ReadFrameAsync(near.Input)).Kind);
            Assert.True(credit > 0, $"item {i} came without credit");
            credit -= FrameBytes;
            if (credit <= 0)
            {
                // The server has had its due: nothing more comes, however long it had time. A ping goes there and back.
                await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Ping, FrameFlags.None, 7, []));
                var next = await RequestChannelTests.ReadFrameAsync(near.Input);
                Assert.True(next.Kind == FrameKind.Pong, $"item {i + 1} came without credit");
                await near.Output.WriteAsync(CreditOf(1, window - credit));
                credit = window;
            }
        }
    }

    internal static byte[] RequestOf(ulong id) =>
        FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, id, CodecTests.Encode(RequestChannelTests.Get("k")));

    internal static byte[] CreditOf(ulong id, long bytes) =>
        FrameTests.FrameOf(FrameKind.Credit, FrameFlags.None, id, FuzzTests.Encoded(to => StreamCodec.EncodeCredit(to, bytes)));

    internal static byte[] ReplyOf(ulong id) =>
        FrameTests.FrameOf(FrameKind.Reply, FrameFlags.None, id, CodecTests.Encode(new KvReply()));

    internal static async Task WriteItemsAsync(PipeWriter output, ulong id, int count)
    {
        for (int i = 0; i < count; i++)
        {
            await output.WriteAsync(FrameTests.FrameOf(FrameKind.Item, FrameFlags.None, id, new byte[ItemBytes]));
        }
    }

    internal static async Task UntilAsync(Func<bool> condition)
    {
        using var deadline = new CancellationTokenSource(Patience);
        while (!condition())
        {
            Assert.False(deadline.IsCancellationRequested, "what was waited for did not happen");
            await Task.Yield();
        }
    }

    /// <summary>Our client and our server: gets are answered in parts, all else with a plain reply.</summary>
    private sealed class Ends : IAsyncDisposable
    {
        private readonly CountingSource? _source;

        public Ends(CountingSource source, RequestServerOptions? options = null)
            : this(() => source, options) => _source = source;

        public Ends(Func<CountingSource> source, RequestServerOptions? options = null)
        {
            var (near, far) = DuplexPipe.Create();
            Serving = RequestServer.ServeAsync(
                far,
                (request, ticket) => _ = request.IsWrite ? ticket.TryComplete(new KvReply()) : ticket.TryStream(source()),
                options ?? new RequestServerOptions { Streams = true },
                Servers);
            Channel = RequestChannel.Start(near, ChannelOptions);
        }

        public RequestServers Servers { get; } = new();

        public CountingSource Source => _source!;

        public RequestChannel Channel { get; }

        public Task<ConnectionEnd> Serving { get; }

        public async Task AssertNothingHeldAsync()
        {
            await UntilAsync(() => Channel.OpenStreams == 0 && Servers.OpenStreams == 0);
            Assert.Equal((0L, 0), (Channel.HeldItemBytes, Channel.InFlight));
            await UntilAsync(() => Servers.HeldItemBytes == 0);
            Assert.True(_source is null or { Closings: 1 });
        }

        public async ValueTask DisposeAsync()
        {
            await Channel.DisposeAsync();
            await Serving.WaitAsync(Patience);
            Assert.Equal((0L, 0L), (Servers.OpenStreams, Servers.HeldItemBytes));
            Assert.Equal((0L, 0), (Channel.HeldItemBytes, Channel.OpenStreams));
        }
    }

    /// <summary>Our server and a client of raw frames.</summary>
    private sealed class RawServer : IAsyncDisposable
    {
        public RawServer(CountingSource source, TimeProvider? time = null)
        {
            Source = source;
            Servers = new RequestServers(time: time);
            (Near, var far) = DuplexPipe.Create();
            Serving = RequestServer.ServeAsync(
                far, (_, ticket) => ticket.TryStream(source), new RequestServerOptions { Streams = true }, Servers);
        }

        public DuplexPipe Near { get; }

        public CountingSource Source { get; }

        public RequestServers Servers { get; }

        public Task<ConnectionEnd> Serving { get; }

        /// <summary>What was sent before has been read.</summary>
        public async Task PingAsync()
        {
            await Near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Ping, FrameFlags.None, 7, []));
            Assert.Equal(FrameKind.Pong, (await RequestChannelTests.ReadFrameAsync(Near.Input)).Kind);
        }

        public async ValueTask DisposeAsync()
        {
            await Near.Output.CompleteAsync();
            await Near.Input.CompleteAsync();
            await Serving.WaitAsync(Patience);
            Assert.Equal((0L, 0L), (Servers.OpenStreams, Servers.HeldItemBytes));
        }
    }
}
