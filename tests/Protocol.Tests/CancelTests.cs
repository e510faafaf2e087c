using System.Collections.Concurrent;

namespace KvStore.Protocol.Tests;

/// <summary>Cancelling plain requests, and being told that the other side goes away.</summary>
public sealed class CancelTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task A_cancelled_read_is_known_to_the_handler_and_its_value_is_dropped()
    {
        await using var ends = new Ends();
        using var cancel = new CancellationTokenSource();
        var read = ends.Channel.SendAsync(RequestChannelTests.Get("k"), cancel.Token).AsTask();
        var ticket = await ends.NextAsync();
        Assert.False(ticket.IsCancelled);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.WaitAsync(Patience));
        await StreamTests.UntilAsync(() => ticket.IsCancelled);

        // Until the handler has done with it the id is taken at both ends; then it is free at both.
        Assert.Equal(1, ends.Channel.InFlight);
        Assert.True(ticket.TryComplete(new KvReply { Result = Samples.Found(new byte[1 << 20]) }));
        Assert.False(ticket.IsCancelled);
        await StreamTests.UntilAsync(() => ends.Channel.InFlight == 0);
    }

    /// <summary>A connection that is gone leaves up to a thousand reads in the queues of the node.</summary>
    [Fact]
    public async Task Whoever_is_gone_wants_nothing_any_more()
    {
        var (near, far) = DuplexPipe.Create();
        var tickets = new ConcurrentQueue<ReplyTicket>();
        var serving = RequestServer.ServeAsync(far, (_, ticket) => tickets.Enqueue(ticket), new RequestServerOptions());
        await near.Output.WriteAsync(StreamTests.RequestOf(1));
        await near.Output.WriteAsync(StreamTests.RequestOf(2));
        await StreamTests.UntilAsync(() => tickets.Count == 2);
        Assert.DoesNotContain(tickets, ticket => ticket.IsCancelled);
        await near.Output.CompleteAsync(new IOException("reset"));
        await serving.WaitAsync(Patience);
        Assert.All(tickets, ticket => Assert.True(ticket.IsCancelled));
    }

    [Fact]
    public async Task The_reply_of_a_cancelled_read_says_so_and_carries_no_value()
    {
        var (near, far) = DuplexPipe.Create();
        var tickets = new ConcurrentQueue<ReplyTicket>();
        var serving = RequestServer.ServeAsync(far, (_, ticket) => tickets.Enqueue(ticket), new RequestServerOptions { Streams = true });
        await near.Output.WriteAsync(StreamTests.RequestOf(1));
        await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Cancel, FrameFlags.None, 1, []));
        await StreamTests.UntilAsync(() => tickets.TryPeek(out var ticket) && ticket.IsCancelled);
        Assert.True(tickets.Single().TryComplete(new KvReply { Result = Samples.Found(new byte[100], revision: 3) }));
        var (header, reply) = await RequestChannelTests.ReadReplyAsync(near.Input);
        Assert.Equal((1ul, ErrorCode.Timeout, Outcome.None, true), (header.Sequence, reply.Code, reply.Outcome, reply.Value.IsEmpty));

        // The id may be used again.
        await near.Output.WriteAsync(StreamTests.RequestOf(1));
        await StreamTests.UntilAsync(() => tickets.Count == 2);
        Assert.True(tickets.Last().TryComplete(new KvReply { Result = Samples.Found(new byte[100]) }));
        Assert.Equal(100, (await RequestChannelTests.ReadReplyAsync(near.Input)).Reply.Value.Length);
        await near.Output.CompleteAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task A_cancelled_write_answers_what_it_did()
    {
        var (near, far) = DuplexPipe.Create();
        var tickets = new ConcurrentQueue<ReplyTicket>();
        var serving = RequestServer.ServeAsync(far, (_, ticket) => tickets.Enqueue(ticket), new RequestServerOptions { Streams = true });
        await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, 1, CodecTests.Encode(Samples.Put("k", "v"))));
        await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Cancel, FrameFlags.None, 1, []));
        await StreamTests.UntilAsync(() => tickets.TryPeek(out var ticket) && ticket.IsCancelled);
        Assert.True(tickets.Single().TryComplete(new KvReply { Outcome = Outcome.Applied, Result = new Written(77, Created: false) }));
        var (_, reply) = await RequestChannelTests.ReadReplyAsync(near.Input);
        Assert.Equal((ErrorCode.None, Outcome.Applied, 77ul), (reply.Code, reply.Outcome, reply.Revision));
        await near.Output.CompleteAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task A_read_cancelled_before_it_becomes_a_stream_never_begins()
    {
        var (near, far) = DuplexPipe.Create();
        var tickets = new ConcurrentQueue<ReplyTicket>();
        var servers = new RequestServers();
        var serving = RequestServer.ServeAsync(
            far, (_, ticket) => tickets.Enqueue(ticket), new RequestServerOptions { Streams = true }, servers);
        await near.Output.WriteAsync(StreamTests.RequestOf(1));
        await near.Output.WriteAsync(StreamTests.CreditOf(1, 1_000));
        await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Cancel, FrameFlags.None, 1, []));
        await StreamTests.UntilAsync(() => tickets.TryPeek(out var ticket) && ticket.IsCancelled);
        var source = new CountingSource(10);
        Assert.False(tickets.Single().TryStream(source));
        Assert.Equal(ErrorCode.Timeout, (await RequestChannelTests.ReadReplyAsync(near.Input)).Reply.Code);
        Assert.Equal((0, 1, 0L), (source.Given, source.Closings, servers.OpenStreams));
        await near.Output.CompleteAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task Credit_that_came_before_the_answer_began_counts()
    {
        var (near, far) = DuplexPipe.Create();
        var tickets = new ConcurrentQueue<ReplyTicket>();
        var serving = RequestServer.ServeAsync(far, (_, ticket) => tickets.Enqueue(ticket), new RequestServerOptions { Streams = true });
        await near.Output.WriteAsync(StreamTests.RequestOf(1));
        await near.Output.WriteAsync(StreamTests.CreditOf(1, 1_000));
        await near.Output.WriteAsync(FrameTests.FrameOf(FrameKind.Ping, FrameFlags.None, 1, []));
        Assert.Equal(FrameKind.Pong, (await RequestChannelTests.ReadFrameAsync(near.Input)).Kind);
        Assert.True(tickets.Single().TryStream(new CountingSource(3)));
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(FrameKind.Item, (await RequestChannelTests.ReadFrameAsync(near.Input)).Kind);
        }

        Assert.Equal(3, (await RequestChannelTests.ReadReplyAsync(near.Input)).Reply.Number);
        await near.Output.CompleteAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task After_the_word_nothing_new_is_sent_and_what_is_in_flight_is_answered()
    {
        await using var ends = new Ends();
        var early = ends.Channel.SendAsync(Samples.Put("k", "v")).AsTask();
        var ticket = await ends.NextAsync();
        Assert.Null(ends.Channel.GoAway);
        ends.Servers.GoAway(new GoAway(GoAwayReason.Draining, 2_000));
        ends.Servers.GoAway(new GoAway(GoAwayReason.Overloaded, 1));
        await StreamTests.UntilAsync(() => ends.Channel.GoAway is not null);
        Assert.Equal(new GoAway(GoAwayReason.Draining, 2_000), ends.Channel.GoAway);

        var late = await ends.Channel.SendAsync(Samples.Put("k", "late"));
        Assert.Equal((RequestEnd.GoingAway, true), (late.End, late.NeverSent));
        await using (var reader = ends.Channel.Open(RequestChannelTests.Get("k"), 1_000))
        {
            Assert.Null(await reader.TakeAsync());
            Assert.Equal(RequestEnd.GoingAway, reader.End.End);
        }

        ticket.TryComplete(new KvReply { Outcome = Outcome.Applied });
        Assert.Equal(Outcome.Applied, (await early.WaitAsync(Patience)).Reply!.Outcome);
        Assert.True(ends.Channel.IsOpen);
        Assert.Equal(1, ends.Handled);
    }

    [Fact]
    public async Task Who_comes_after_the_word_hears_it_too()
    {
        await using var ends = new Ends(servers => servers.GoAway(new GoAway(GoAwayReason.Draining, 5)));
        await StreamTests.UntilAsync(() => ends.Channel.GoAway is not null);
    }

    [Fact]
    public async Task A_reason_of_a_later_version_means_the_same()
    {
        var (near, far) = DuplexPipe.Create();
        await using var channel = RequestChannel.Start(near, StreamTests.ChannelOptions);
        byte[] payload = FuzzTests.Encoded(to => StreamCodec.Encode(to, new GoAway((GoAwayReason)200, 0)));
        await far.Output.WriteAsync(FrameTests.FrameOf(FrameKind.GoAway, FrameFlags.None, 0, payload));
        await StreamTests.UntilAsync(() => channel.GoAway is not null);
        Assert.Equal(RequestEnd.GoingAway, (await channel.SendAsync(RequestChannelTests.Get("k"))).End);
    }

    [Fact]
    public async Task A_server_that_stops_ends_its_streams_with_a_reason()
    {
        using var stopping = new CancellationTokenSource();
        var source = new CountingSource(10) { PauseAt = 0 };
        var servers = new RequestServers();
        var (near, far) = DuplexPipe.Create();
        var serving = RequestServer.ServeAsync(
            far, (_, ticket) => ticket.TryStream(source), new RequestServerOptions { Streams = true }, servers, stopping: stopping.Token);
        await using var channel = RequestChannel.Start(near, StreamTests.ChannelOptions);
        await using var reader = channel.Open(RequestChannelTests.Get("k"), 1_000);
        await StreamTests.UntilAsync(() => servers.OpenStreams == 1);
        await stopping.CancelAsync();
        Assert.Null(await reader.TakeAsync().AsTask().WaitAsync(Patience));
        Assert.Equal(ErrorCode.Draining, reader.End.Reply!.Code);
        Assert.Equal(ConnectionEndReason.Closed, (await serving.WaitAsync(Patience)).Reason);
        Assert.Equal((1, 0L), (source.Closings, servers.OpenStreams));
    }

    /// <summary>Our client and our server, whose handler keeps the tickets.</summary>
    private sealed class Ends : IAsyncDisposable
    {
        private readonly System.Threading.Channels.Channel<ReplyTicket> _tickets =
            System.Threading.Channels.Channel.CreateUnbounded<ReplyTicket>();

        private readonly Task<ConnectionEnd> _serving;
        private int _handled;

        public Ends(Action<RequestServers>? before = null)
        {
            before?.Invoke(Servers);
            var (near, far) = DuplexPipe.Create();
            _serving = RequestServer.ServeAsync(
                far,
                (_, ticket) =>
                {
                    Interlocked.Increment(ref _handled);
                    _tickets.Writer.TryWrite(ticket);
                },
                new RequestServerOptions { Streams = true },
                Servers);
            Channel = RequestChannel.Start(near, StreamTests.ChannelOptions);
        }

        public RequestServers Servers { get; } = new();

        public RequestChannel Channel { get; }

        public int Handled => Volatile.Read(ref _handled);

        public async Task<ReplyTicket> NextAsync() => await _tickets.Reader.ReadAsync().AsTask().WaitAsync(Patience);

        public async ValueTask DisposeAsync()
        {
            await Channel.DisposeAsync();
            await _serving.WaitAsync(Patience);
        }
    }
}
