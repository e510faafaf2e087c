using System.Buffers;

namespace KvStore.Protocol.Tests;

/// <summary>Clients that begin a frame and do not end it.</summary>
public sealed class UnfinishedFrameTests
{
    private const int Large = 1 << 20;
    private const int PieceBytes = 32 << 10;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task B5_all_but_the_last_byte_of_many_large_frames_costs_the_budget_and_nobody_else()
    {
        // Forty connections of a mebibyte each, memory for three of them.
        const int Connections = 40;
        var time = new ManualTime();
        var servers = new RequestServers(3 * (Large + FrameHeader.SizeBytes), time);
        byte[] frame = FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, 1, new byte[Large]);
        var clients = Enumerable.Range(0, Connections).Select(_ => new Client(servers)).ToArray();
        var writing = clients.Select(client => client.WriteAsync(frame.AsMemory(0, frame.Length - 1))).ToArray();
        await StreamTests.UntilAsync(() => writing.Count(write => write.IsCompleted) == 3 && servers.Frames.Waiting == Connections - 3);
        Assert.Equal(3 * frame.Length, servers.Frames.ReservedBytes);

        // An ordinary request does not stand behind them.
        await using (var bystander = new Client(servers))
        {
            await bystander.WriteAsync(StreamTests.RequestOf(1)).WaitAsync(Patience);
            Assert.Equal(FrameKind.Reply, (await RequestChannelTests.ReadFrameAsync(bystander.Near.Input)).Kind);
        }

        // Who holds memory has its time; then the next ones have it, and at last nobody.
        int ended = 0;
        while (ended < Connections)
        {
            time.Advance(10_000);
            int next = Math.Min(Connections, ended + 3);
            await StreamTests.UntilAsync(() => clients.Count(client => client.Serving.IsCompleted) == next);
            ended = next;
            int granted = Math.Min(3, Connections - ended);
            await StreamTests.UntilAsync(() => writing.Count(write => write.IsCompleted) >= ended + granted);
            Assert.InRange(servers.Frames.ReservedBytes, 0, 3 * frame.Length);
        }

        foreach (var client in clients)
        {
            Assert.Equal(ConnectionEndReason.FrameTimedOut, (await client.Serving).Reason);
        }

        Assert.Equal((0L, 0), (servers.Frames.ReservedBytes, servers.Frames.Waiting));
        await Task.WhenAll(writing).WaitAsync(Patience);
    }

    [Fact]
    public async Task A_frame_that_ends_gives_its_memory_to_the_next()
    {
        var servers = new RequestServers(Large + FrameHeader.SizeBytes);
        byte[] frame = LargeRequest();
        await using var first = new Client(servers);
        await using var second = new Client(servers);
        await first.WriteAsync(frame.AsMemory(0, frame.Length - 1)).WaitAsync(Patience);
        await StreamTests.UntilAsync(() => servers.Frames.ReservedBytes == frame.Length);
        var waiting = second.WriteAsync(frame);
        await StreamTests.UntilAsync(() => servers.Frames.Waiting == 1);
        await first.WriteAsync(frame.AsMemory(frame.Length - 1)).WaitAsync(Patience);
        Assert.Equal(FrameKind.Reply, (await RequestChannelTests.ReadFrameAsync(first.Near.Input)).Kind);
        await waiting.WaitAsync(Patience);
        Assert.Equal(FrameKind.Reply, (await RequestChannelTests.ReadFrameAsync(second.Near.Input)).Kind);
        await StreamTests.UntilAsync(() => servers.Frames.ReservedBytes == 0);
    }

    [Fact]
    public async Task Who_leaves_while_waiting_leaves_the_queue()
    {
        var servers = new RequestServers(Large + FrameHeader.SizeBytes);
        byte[] frame = LargeRequest();
        await using var first = new Client(servers);
        await first.WriteAsync(frame.AsMemory(0, frame.Length - 1)).WaitAsync(Patience);
        await StreamTests.UntilAsync(() => servers.Frames.ReservedBytes == frame.Length);
        using var stopping = new CancellationTokenSource();
        var second = new Client(servers, stopping.Token);
        var never = second.WriteAsync(frame);
        await StreamTests.UntilAsync(() => servers.Frames.Waiting == 1);
        await stopping.CancelAsync();
        Assert.Equal(ConnectionEndReason.Closed, (await second.Serving.WaitAsync(Patience)).Reason);
        Assert.Equal(0, servers.Frames.Waiting);
        await never.WaitAsync(Patience);
        await second.DisposeAsync();
    }

    /// <summary>The server does not read on because the client takes no replies. That is the client's doing, and others wait for the memory.</summary>
    [Fact]
    public async Task Who_holds_memory_for_a_frame_and_takes_no_replies_has_the_time_of_a_frame()
    {
        var time = new ManualTime();
        var servers = new RequestServers(Large + FrameHeader.SizeBytes, time);
        var options = new RequestServerOptions { MaxWaitingBytes = 40_000 };
        var answers = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var reply = new KvReply { Result = new Found(1, new byte[4_096]) };
        var (near, far) = DuplexPipe.Create();
        int asked = 0;
        var serving = RequestServer.ServeAsync(far, (_, ticket) => AnswerAsync(ticket, ++asked), options, servers);

        // Nobody takes the first answers, so the transport takes no more; then half a large frame, and only then the rest of the answers.
        for (ulong id = 1; id <= 40; id++)
        {
            await near.Output.WriteAsync(StreamTests.RequestOf(id));
        }

        await StreamTests.UntilAsync(() => ArrivedBytes(near) >= 64 << 10);
        await near.Output.WriteAsync(LargeRequest().AsMemory(0, PieceBytes)).AsTask().WaitAsync(Patience);
        await StreamTests.UntilAsync(() => servers.Frames.ReservedBytes > 0);
        answers.SetResult();
        await near.Output.WriteAsync(new byte[1]);
        await using var other = new Client(servers);
        var waiting = other.WriteAsync(LargeRequest());
        await StreamTests.UntilAsync(() => servers.Frames.Waiting == 1);
        for (int i = 0; i < 20 && !serving.IsCompleted; i++)
        {
            time.Advance(1_000);
            await Task.Delay(20);
        }

        Assert.Equal(ConnectionEndReason.FrameTimedOut, (await serving.WaitAsync(Patience)).Reason);
        await waiting.WaitAsync(Patience);
        Assert.Equal(FrameKind.Reply, (await RequestChannelTests.ReadFrameAsync(other.Near.Input)).Kind);

        async void AnswerAsync(ReplyTicket ticket, int number)
        {
            if (number > 20)
            {
                await answers.Task;
            }

            ticket.TryComplete(reply);
        }

        static long ArrivedBytes(DuplexPipe near)
        {
            if (!near.Input.TryRead(out var result))
            {
                return 0;
            }

            near.Input.AdvanceTo(result.Buffer.Start, result.Buffer.Start);
            return result.Buffer.Length;
        }
    }

    /// <summary>Its first bytes have come and their time runs, when the node stops reading for want of memory that others hold.</summary>
    [Fact]
    public async Task The_time_of_a_frame_does_not_run_while_it_waits_for_memory()
    {
        var time = new ManualTime();
        var servers = new RequestServers(Large + FrameHeader.SizeBytes, time);
        byte[] frame = LargeRequest();
        var held = servers.Frames.Ask(frame.Length, () => { });

        // A request and the beginning of the frame: when the request has been answered those bytes have been seen, and the node reads on.
        await using var client = new Client(servers);
        await client.WriteAsync((byte[])[.. StreamTests.RequestOf(1), .. frame[..10]]).WaitAsync(Patience);
        Assert.Equal(FrameKind.Reply, (await RequestChannelTests.ReadFrameAsync(client.Near.Input)).Kind);
        await StreamTests.UntilAsync(() => time.RunningTimers == 1);
        var rest = client.WriteAsync(frame.AsMemory(10));
        await StreamTests.UntilAsync(() => servers.Frames.Waiting == 1);
        await Task.Delay(20);
        time.Advance(60_000);
        servers.Frames.Return(held);
        await rest.WaitAsync(Patience);
        Assert.Equal(FrameKind.Reply, (await RequestChannelTests.ReadFrameAsync(client.Near.Input)).Kind);
        Assert.False(client.Serving.IsCompleted);
    }

    [Fact]
    public async Task Each_frame_has_its_own_time_however_many_come_in_pieces()
    {
        var time = new ManualTime();
        var servers = new RequestServers(time: time);
        await using var client = new Client(servers);
        byte[] frame = StreamTests.RequestOf(1);
        byte[] next = frame;
        await client.WriteAsync(frame.AsMemory(0, 10));
        for (int i = 0; i < 20; i++)
        {
            time.Advance(6_000);
            next = StreamTests.RequestOf((ulong)i + 2);
            await client.WriteAsync((byte[])[.. frame[10..], .. next[..10]]);
            frame = next;
            Assert.Equal(FrameKind.Reply, (await RequestChannelTests.ReadFrameAsync(client.Near.Input)).Kind);

        }

        Assert.False(client.Serving.IsCompleted);
    }

    [Fact]
    public void The_time_of_a_frame_does_not_run_while_the_server_does_not_read()
    {
        var time = new ManualTime();
        int timedOut = 0;
        var incoming = new IncomingFrame(new RequestServers(time: time), new RequestServerOptions(), () => timedOut++, () => { });
        incoming.Look(new ReadOnlySequence<byte>(StreamTests.RequestOf(1), 0, 10), lookedAt: true, isNew: false);
        incoming.StartClock();
        time.Advance(9_000);
        incoming.StopClock();
        time.Advance(60_000);
        Assert.Equal(0, timedOut);

        // From the beginning: what the client could not have sent is not held against it.
        incoming.StartClock();
        time.Advance(9_999);
        Assert.Equal(0, timedOut);
        time.Advance(1);
        Assert.Equal(1, timedOut);
        incoming.Close();
    }

    [Fact]
    public void What_has_not_been_looked_at_is_no_unfinished_frame()
    {
        var time = new ManualTime();
        int timedOut = 0;
        var incoming = new IncomingFrame(new RequestServers(time: time), new RequestServerOptions(), () => timedOut++, () => { });
        incoming.Look(new ReadOnlySequence<byte>(StreamTests.RequestOf(1)), lookedAt: false, isNew: false);
        incoming.StartClock();
        time.Advance(60_000);
        Assert.Equal(0, timedOut);
        incoming.Close();
    }

    // Its body is no request, which costs an answer like any other.
    private static byte[] LargeRequest() => FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, 1, new byte[Large]);

    private sealed class Client : IAsyncDisposable
    {
        public Client(RequestServers servers, CancellationToken stopping = default)
        {
            (Near, var far) = DuplexPipe.Create();
            Serving = RequestServer.ServeAsync(
                far, (_, ticket) => ticket.TryComplete(new KvReply()), servers: servers, stopping: stopping);
        }

        public DuplexPipe Near { get; }

        public Task<ConnectionEnd> Serving { get; }

        // As a socket would: no more than fits before somebody reads.
        public async Task WriteAsync(ReadOnlyMemory<byte> bytes)
        {
            for (int from = 0; from < bytes.Length; from += PieceBytes)
            {
                await Near.Output.WriteAsync(bytes[from..Math.Min(from + PieceBytes, bytes.Length)]);
            }
        }

        public async ValueTask DisposeAsync()
        {
            await Near.Output.CompleteAsync();
            await Near.Input.CompleteAsync();
            await Serving.WaitAsync(Patience);
        }
    }
}
