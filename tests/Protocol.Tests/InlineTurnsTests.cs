using System.Buffers;
using System.Collections.Concurrent;
using System.IO.Pipelines;

namespace KvStore.Protocol.Tests;

public sealed class InlineTurnsTests
{
    private const int Requests = 5_000;

    /// <summary>
    /// The bytes are always there already, and the thread that serves is one that other connections wait for: it must come back.
    /// </summary>
    [Fact]
    public async Task A_client_that_never_stops_asking_does_not_keep_the_thread()
    {
        var threads = new ConcurrentQueue<int>();
        var output = new Pipe(new PipeOptions(pauseWriterThreshold: 0));
        var transport = new AlwaysReady(Requests, output.Writer);
        var handled = new CountdownEvent(Requests);
        int here = Environment.CurrentManagedThreadId;

        Task<ConnectionEnd> serving = RequestServer.ServeAsync(transport, Handle);
        int onThisThread = threads.Count(thread => thread == here);
        Assert.InRange(onThisThread, 1, InlineTurns.MostFrames);

        await serving.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.True(handled.IsSet, $"{handled.CurrentCount} of {Requests} requests were not handled");
        Assert.Equal(ConnectionEndReason.ClosedByPeer, (await serving).Reason);

        void Handle(KvRequest request, ReplyTicket ticket)
        {
            threads.Enqueue(Environment.CurrentManagedThreadId);
            ticket.TryComplete(new KvReply());
            handled.Signal();
        }
    }

    [Fact]
    public void Large_frames_end_a_turn_earlier()
    {
        var turns = new InlineTurns();
        turns.Count(InlineTurns.MostBytes - 1);
        Assert.False(turns.TakeEnd());
        turns.Count(1);
        Assert.True(turns.TakeEnd());
        Assert.False(turns.TakeEnd());
    }

    /// <summary>Every read has one request and completes at once; after the last one the client closes.</summary>
    private sealed class AlwaysReady(int requests, PipeWriter output) : PipeReader, IDuplexPipe
    {
        private readonly byte[] _body = CodecTests.Encode(RequestChannelTests.Get("k"));
        private ReadOnlySequence<byte> _buffer;
        private int _read;

        public PipeReader Input => this;

        public PipeWriter Output => output;

        public override bool TryRead(out ReadResult result)
        {
            if (_read < requests && _buffer.IsEmpty)
            {
                _buffer = new(FrameTests.FrameOf(FrameKind.Request, FrameFlags.None, (ulong)++_read, _body));
            }

            result = new ReadResult(_buffer, isCanceled: false, isCompleted: _buffer.IsEmpty);
            return true;
        }

        public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
        {
            TryRead(out ReadResult result);
            return new(result);
        }

        public override void AdvanceTo(SequencePosition consumed) => _buffer = _buffer.Slice(consumed);

        public override void AdvanceTo(SequencePosition consumed, SequencePosition examined) => AdvanceTo(consumed);

        public override void CancelPendingRead()
        {
        }

        public override void Complete(Exception? exception = null)
        {
        }
    }
}
