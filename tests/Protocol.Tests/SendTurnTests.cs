using System.Collections.Concurrent;
using System.IO.Pipelines;

namespace KvStore.Protocol.Tests;

public sealed class SendTurnTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task What_a_turn_answers_is_written_at_its_end_by_its_thread_in_one_piece()
    {
        const int Answers = 40;
        var (near, far) = DuplexPipe.Create();
        var output = new Witness(far.Output);
        var (serving, tickets) = Serve(far.Input, output, Answers);
        await using var channel = RequestChannel.Start(near);
        Task<KvReply>[] sent = [.. Enumerable.Range(0, Answers).Select(_ => channel.SendAsync(RequestChannelTests.Get("k")).AsTask().ContinueWith(
            asked => asked.Result.Reply!, TaskScheduler.Default))];
        List<ReplyTicket> answered = await tickets.WaitAsync(Patience);

        // Two to a turn. The writer may not yet wait again when the next turn ends, and then sees for itself that there is more; not each time.
        for (int i = 0; i < Answers; i += 2)
        {
            int before = output.Writes;
            AnswerInATurn(answered[i], answered[i + 1], output);
            await Task.WhenAll(sent[i], sent[i + 1]).WaitAsync(Patience);
            Assert.Equal(before + 1, output.Writes);
        }

        Assert.InRange(output.WritesHere, 1, Answers / 2);
        await channel.DisposeAsync();
        await serving.WaitAsync(Patience);
    }

    /// <summary>A client that pings without end, or whose answers other threads make, always has more to be written.</summary>
    [Fact]
    public async Task A_connection_that_always_has_more_to_send_does_not_keep_the_thread_of_the_turn()
    {
        const int Answers = 500;
        var (near, far) = DuplexPipe.Create(pauseAt: 1 << 20);
        var output = new Witness(far.Output);
        var (serving, tickets) = Serve(far.Input, output, Answers);
        await using var channel = RequestChannel.Start(near);
        Task<RequestResult>[] sent = [.. Enumerable.Range(0, Answers).Select(_ => channel.SendAsync(RequestChannelTests.Get("k")).AsTask())];
        var answers = new ConcurrentQueue<ReplyTicket>(await tickets.WaitAsync(Patience));

        // What others have collected by the time that a write is done.
        output.Written = () => output.WritesHere > 0 && answers.TryDequeue(out ReplyTicket next) && next.TryComplete(new KvReply());
        int here = 0;
        while (here == 0 && answers.TryDequeue(out ReplyTicket first))
        {
            // The writer may not wait yet; then the turn has nobody to wake.
            Assert.True(SendTurn.TryBegin());
            first.TryComplete(new KvReply());
            Witness.Watch(() => SendTurn.End(begun: true));
            here = output.WritesHere;
        }

        Assert.InRange(here, 1, OutboundFrames.MostWrites);
        Assert.All(await Task.WhenAll(sent).WaitAsync(Patience), result => Assert.NotNull(result.Reply));
        await channel.DisposeAsync();
        await serving.WaitAsync(Patience);
    }

    [Fact]
    public async Task Writers_beyond_the_limit_do_not_wait_for_the_end_of_the_turn()
    {
        var signals = new Signal[SendTurn.MostWriters + 1];
        var woken = new Task<bool>[signals.Length];
        for (int i = 0; i < signals.Length; i++)
        {
            signals[i] = new Signal();
            woken[i] = signals[i].WaitAsync().AsTask();
        }

        await Task.Run(() =>
        {
            Assert.True(SendTurn.TryBegin());
            Array.ForEach(signals, SendTurn.Wake);
            Assert.True(woken[^1].WaitAsync(Patience).GetAwaiter().GetResult());
            Assert.All(woken[..^1], task => Assert.False(task.IsCompleted));
            SendTurn.End(begun: true);
            Assert.All(woken, task => Assert.True(task.IsCompleted));
        });
    }

    [Fact]
    public void A_writer_that_begins_a_turn_of_its_own_does_not_disturb_the_one_that_ends()
    {
        var outer = new Signal();
        var inner = new Signal();
        int innerRuns = 0;
        _ = InnerAsync();
        _ = OuterAsync();
        Assert.True(SendTurn.TryBegin());
        SendTurn.Wake(outer);
        SendTurn.Wake(outer);
        SendTurn.End(begun: true);
        Assert.Equal(1, innerRuns);
        Assert.True(SendTurn.TryBegin());
        SendTurn.End(begun: true);

        async Task InnerAsync()
        {
            await inner.WaitAsync().ConfigureAwait(false);
            innerRuns++;
        }

        async Task OuterAsync()
        {
            await outer.WaitAsync().ConfigureAwait(false);
            Assert.True(SendTurn.TryBegin());
            SendTurn.Wake(inner);
            SendTurn.End(begun: true);
        }
    }

    /// <summary>A handler that throws costs its connection; the thread goes on with others, and what those send must not wait for ever.</summary>
    [Fact]
    public async Task A_handler_that_throws_leaves_no_turn_open()
    {
        await Task.Factory.StartNew(
            () =>
            {
                var (near, far) = DuplexPipe.Create();
                byte[] request = FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, 1, CodecTests.Encode(RequestChannelTests.Get("k")));
                near.Output.WriteAsync(request).AsTask().Wait();
                Task<ConnectionEnd> serving = RequestServer.ServeAsync(far, (_, _) => throw new InvalidOperationException("handler"));
                Assert.True(SendTurn.TryBegin());
                SendTurn.End(begun: true);
                Assert.True(serving.Wait(Patience));
                Assert.Equal(ConnectionEndReason.Failed, serving.Result.Reason);
            },
            TaskCreationOptions.LongRunning);
    }

    /// <summary>The tickets of so many requests, when all have come.</summary>
    private static (Task<ConnectionEnd> Serving, Task<List<ReplyTicket>> Tickets) Serve(PipeReader input, PipeWriter output, int requests)
    {
        var all = new TaskCompletionSource<List<ReplyTicket>>(TaskCreationOptions.RunContinuationsAsynchronously);
        var open = new List<ReplyTicket>();
        return (RequestServer.ServeAsync(new Transport(input, output), Take), all.Task);

        void Take(KvRequest request, ReplyTicket ticket)
        {
            open.Add(ticket);
            if (open.Count == requests)
            {
                all.TrySetResult(open);
            }
        }
    }

    private static void AnswerInATurn(ReplyTicket first, ReplyTicket second, Witness output)
    {
        Assert.True(SendTurn.TryBegin());
        Assert.False(SendTurn.TryBegin());
        int before = output.Writes;
        Assert.True(first.TryComplete(new KvReply()));
        Assert.True(second.TryComplete(new KvReply()));
        Assert.Equal(before, output.Writes);
        Witness.Watch(() => SendTurn.End(begun: true));
    }

    private sealed class Transport(PipeReader input, PipeWriter output) : IDuplexPipe
    {
        public PipeReader Input => input;

        public PipeWriter Output => output;
    }

    /// <summary>Counts writes, and those that the thread under test makes itself.</summary>
    private sealed class Witness(PipeWriter inner) : PipeWriter
    {
        [ThreadStatic]
        private static bool _isHere;

        private int _writes;
        private int _writesHere;

        public int Writes => Volatile.Read(ref _writes);

        public int WritesHere => Volatile.Read(ref _writesHere);

        /// <summary>Called before a write returns.</summary>
        public Func<bool>? Written { get; set; }

        /// <summary>Writes of this thread meanwhile are counted apart.</summary>
        public static void Watch(Action action)
        {
            _isHere = true;
            action();
            _isHere = false;
        }

        public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
        {
            Interlocked.Increment(ref _writes);
            Interlocked.Add(ref _writesHere, _isHere ? 1 : 0);
            ValueTask<FlushResult> written = inner.WriteAsync(source, cancellationToken);
            Written?.Invoke();
            return written;
        }

        public override void Advance(int bytes) => inner.Advance(bytes);

        public override Memory<byte> GetMemory(int sizeHint = 0) => inner.GetMemory(sizeHint);

        public override Span<byte> GetSpan(int sizeHint = 0) => inner.GetSpan(sizeHint);

        public override void CancelPendingFlush() => inner.CancelPendingFlush();

        public override void Complete(Exception? exception = null) => inner.Complete(exception);

        public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default) => inner.FlushAsync(cancellationToken);
    }
}
