using System.Buffers;
using System.IO.Pipelines;
using System.Threading.Tasks.Sources;

namespace KvStore.Protocol;

/// <summary>
/// Many requests at once over one connection whose handshake is finished: gives each an id, matches replies by it, and tells
/// exactly one end per request. Any thread may send. Used by clients and for the hop between nodes alike.
/// </summary>
public sealed class RequestChannel : IAsyncDisposable
{
    private readonly IDuplexPipe _transport;
    private readonly RequestChannelOptions _options;
    private readonly TimeProvider _time;
    private readonly ITimer _deadlines;
    private readonly ITimer? _pings;
    private readonly Task _loops;
    private InlineTurns _turns;

    // Set when whoever ended the channel has done with the transport: it may be closed from then on, and not before.
    private readonly TaskCompletionSource _handsOff = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // Guards everything below, and what the outbound half has collected.
    private readonly Lock _gate = new();
    private readonly OutboundFrames _outbound;

    // Invariant: an id is in here from its send until its reply or the end of the connection. A caller that gave up earlier
    // leaves its id behind, so that a late reply is not mistaken for a reply to nothing.
    private readonly Dictionary<ulong, PendingRequest> _inFlight = [];

    // The same for answers in parts.
    private readonly Dictionary<ulong, ItemReader> _streams = [];
    private long _heldItemBytes;
    private GoAway? _goAway;
    private ulong _lastId;

    // Ids up to this one have been handed to the transport, in part at least; those above it provably not.
    private ulong _handedOver;
    private bool _timing;
    private ConnectionEnd? _end;

    // Invariant: _pingedAt is 0, or the ping sent then has no answer and nothing else has come since.
    private long _heardAt;
    private long _pingedAt;
    private long _lookedAt;
    private ulong _pingsSent;
    private ulong _pongsHeard;

    private RequestChannel(IDuplexPipe transport, RequestChannelOptions options, TimeProvider time)
    {
        _transport = transport;
        _options = options;
        _time = time;
        _outbound = new OutboundFrames(transport.Output, _gate);
        _deadlines = time.CreateTimer(
            static state => ((RequestChannel)state!).OnDeadlines(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _heardAt = _lookedAt = time.GetTimestamp();
        if (options.PingAfterMs > 0)
        {
            var period = TimeSpan.FromMilliseconds(PingPeriodMs);
            _pings = time.CreateTimer(static state => ((RequestChannel)state!).OnPingTime(), this, period, period);
        }

        _loops = Task.WhenAll(Task.Run(ReadAsync), Task.Run(WriteAsync));
        Completion = FinishAsync();
    }

    /// <summary>Ends, never faulted, when the connection is over and every request has been told.</summary>
    public Task<ConnectionEnd> Completion { get; }

    public bool IsOpen
    {
        get
        {
            lock (_gate)
            {
                return _end is null;
            }
        }
    }

    /// <summary>Feature level the other side said in its ack.</summary>
    public ushort PeerLevel => _options.PeerLevel;

    /// <summary>Requests sent and not answered, those whose caller has given up included.</summary>
    public int InFlight
    {
        get
        {
            lock (_gate)
            {
                return _inFlight.Count;
            }
        }
    }

    /// <summary>Answers in parts whose end has not come, those that were given up included.</summary>
    public int OpenStreams
    {
        get
        {
            lock (_gate)
            {
                return _streams.Count;
            }
        }
    }

    /// <summary>Bytes of items that have come and wait to be taken.</summary>
    public long HeldItemBytes
    {
        get
        {
            lock (_gate)
            {
                return _heldItemBytes;
            }
        }
    }

    /// <summary>
    /// Set once the other side has said that it takes no new requests here: they end with GoingAway at once. What is in flight is
    /// answered as ever.
    /// </summary>
    public GoAway? GoAway
    {
        get
        {
            lock (_gate)
            {
                return _goAway;
            }
        }
    }

    /// <summary>
    /// Takes over a connection. The channel closes the transport when it ends: completes both halves, disposes it if it is disposable.
    /// </summary>
    public static RequestChannel Start(IDuplexPipe transport, RequestChannelOptions? options = null, TimeProvider? time = null) =>
        new(transport, options ?? new RequestChannelOptions(), time ?? TimeProvider.System);

    /// <summary>
    /// Sends a request and waits for what becomes of it, at most for its TimeoutMs and the grace. Await the result once. The
    /// continuation never runs on the reading loop. Cancelling stops the waiting, not the request: it may still arrive. The other side
    /// is told, if it understands, and need not execute a read any more.
    /// </summary>
    public ValueTask<RequestResult> SendAsync(KvRequest request, CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<RequestResult>(cancellationToken);
        }

        var pending = new PendingRequest(this, request.Operation, cancellationToken);
        lock (_gate)
        {
            var refusal = TryEnqueue(request, pending);
            if (refusal != RequestEnd.Replied)
            {
                return ValueTask.FromResult(new RequestResult(refusal, null));
            }
        }

        _outbound.Wake();
        pending.WatchCancellation();
        return pending.Result;
    }

    /// <summary>
    /// Sends a request whose answer comes in parts. The window is how many bytes of it, frames included, may be on the way or wait
    /// here; one item may pass it. Whatever keeps the request from being sent is the end of the reader, too. Its TimeoutMs bounds
    /// how long nothing comes while everything that came has been taken.
    /// </summary>
    public ItemReader Open(KvRequest request, int window)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(window, 1);
        long patience = Ticks((long)Math.Max(request.TimeoutMs, 0) + _options.ReplyGraceMs);
        lock (_gate)
        {
            var reader = new ItemReader(this, _lastId + 1, request.Operation, window, patience);
            var refusal = _options.Streams ? TryEncode(request, _streams.Count >= _options.MaxStreams) : RequestEnd.Unsupported;
            if (refusal != RequestEnd.Replied)
            {
                reader.TryEnd(new RequestResult(refusal, null));
                return reader;
            }

            WriteCredit(reader.Id, window);
            reader.DueAt = _time.GetTimestamp() + patience;
            _streams.Add(reader.Id, reader);
            StartTiming();
            _outbound.Wake();
            return reader;
        }
    }

    /// <summary>Closes at once: what is in flight ends as Lost or NotSent.</summary>
    public async ValueTask DisposeAsync()
    {
        End(new ConnectionEnd(ConnectionEndReason.Closed));
        await Completion.ConfigureAwait(false);
    }

    /// <summary>An item was taken, and as much new credit is due. The credit is lost on nobody when the answer has ended.</summary>
    internal void OnTaken(ItemReader reader, int bytes, long credit)
    {
        lock (_gate)
        {
            reader.HeldBytes -= bytes;
            _heldItemBytes -= bytes;
            reader.DueAt = _time.GetTimestamp() + reader.Patience;
            if (credit == 0 || _end is not null || reader.IsAbandoned || !_streams.ContainsKey(reader.Id))
            {
                return;
            }

            reader.Credit += credit;
            WriteCredit(reader.Id, credit);
        }

        _outbound.Wake();
    }

    /// <summary>Nothing more of this answer is wanted.</summary>
    internal void Abandon(ItemReader reader)
    {
        lock (_gate)
        {
            AbandonLocked(reader);
        }

        _outbound.Wake();
        reader.TryEnd(new RequestResult(RequestEnd.Abandoned, null));
    }

    private void AbandonLocked(ItemReader reader)
    {
        if (_end is null && !reader.IsAbandoned && _streams.ContainsKey(reader.Id))
        {
            reader.DueAt = _time.GetTimestamp();
            _outbound.Collecting.Write(FrameKind.Cancel, FrameFlags.None, reader.Id, []);
        }

        reader.IsAbandoned = true;
    }

    // The caller of a plain request has given up. Without room nobody is told: it was a courtesy.
    private void OnCallerGone(ulong id)
    {
        lock (_gate)
        {
            if (!_options.Streams || _end is not null || !_inFlight.ContainsKey(id) || _outbound.WaitingBytes >= _options.MaxWaitingBytes)
            {
                return;
            }

            _outbound.Collecting.Write(FrameKind.Cancel, FrameFlags.None, id, []);
        }

        _outbound.Wake();
    }

    private RequestEnd TryEnqueue(KvRequest request, PendingRequest pending)
    {
        var refusal = TryEncode(request, _inFlight.Count >= _options.MaxInFlight);
        if (refusal == RequestEnd.Replied)
        {
            pending.Id = _lastId;
            pending.DueAt = _time.GetTimestamp() + Ticks((long)Math.Max(request.TimeoutMs, 0) + _options.ReplyGraceMs);
            _inFlight.Add(pending.Id, pending);
            StartTiming();
        }

        return refusal;
    }

    // Replied: it is among what was collected, under the newest id.
    private RequestEnd TryEncode(KvRequest request, bool full)
    {
        if (_end is not null)
        {
            return RequestEnd.NotSent;
        }

        if (_goAway is not null)
        {
            return RequestEnd.GoingAway;
        }

        if (full || _outbound.WaitingBytes >= _options.MaxWaitingBytes)
        {
            return RequestEnd.Full;
        }

        var frames = _outbound.Collecting;
        try
        {
            frames.Begin(FrameKind.Request, FrameFlags.None, _lastId + 1);
            if (!KvRequestCodec.TryEncode(frames, request, PeerLevel))
            {
                return RequestEnd.Unsupported;
            }

            if (!frames.TryEnd(_options.MaxFrameBytes))
            {
                return RequestEnd.TooLarge;
            }
        }
        finally
        {
            // A request that cannot be encoded (a null in it) must not spoil the frames of others.
            frames.Abandon();
        }

        _lastId++;
        return RequestEnd.Replied;
    }

    private void WriteCredit(ulong id, long bytes)
    {
        var frames = _outbound.Collecting;
        frames.Begin(FrameKind.Credit, FrameFlags.None, id);
        StreamCodec.EncodeCredit(frames, bytes);
        frames.TryEnd(_options.MaxFrameBytes);
    }

    private void StartTiming()
    {
        if (!_timing)
        {
            _timing = true;
            var period = TimeSpan.FromMilliseconds(_options.DeadlineResolutionMs);
            _deadlines.Change(period, period);
        }
    }

    private async Task ReadAsync()
    {
        var input = _transport.Input;
        var end = new ConnectionEnd(ConnectionEndReason.ClosedByPeer);
        byte[] scratch = [];
        try
        {
            while (true)
            {
                if (_turns.TakeEnd())
                {
                    await Task.Yield();
                }

                var result = await input.ReadAsync().ConfigureAwait(false);
                var buffer = result.Buffer;
                if (_pings is not null && !buffer.IsEmpty)
                {
                    OnHeard();
                }

                ConnectionEnd? problem;
                bool isTurn = SendTurn.TryBegin();
                try
                {
                    problem = OnBytes(ref buffer, ref scratch);
                }
                finally
                {
                    SendTurn.End(isTurn);
                }

                bool rest = !buffer.IsEmpty;
                input.AdvanceTo(buffer.Start, buffer.End);
                if (problem is not null)
                {
                    end = problem;
                    break;
                }

                if (result.IsCompleted || result.IsCanceled)
                {
                    end = rest ? new ConnectionEnd(ConnectionEndReason.Failed) : end;
                    break;
                }
            }
        }
        catch (Exception e)
        {
            // The top of a loop of ours: whatever the transport throws means that the connection is over.
            end = new ConnectionEnd(ConnectionEndReason.Failed, Exception: e);
        }

        End(end);
    }

    private int PingPeriodMs => Math.Max(1, Math.Min(_options.PingAfterMs, _options.PongWithinMs) / 4);

    // A process that stood still has not listened: it asks again before it believes in silence.
    private void OnPingTime()
    {
        bool silent = false;
        lock (_gate)
        {
            long now = _time.GetTimestamp();
            bool stoodStill = now - _lookedAt > Ticks(4L * PingPeriodMs);
            _lookedAt = now;
            if (_end is not null)
            {
                return;
            }

            if (_pingedAt != 0 && !stoodStill)
            {
                silent = now - _pingedAt >= Ticks(_options.PongWithinMs);
            }
            else if (now - _heardAt >= Ticks(_options.PingAfterMs))
            {
                _pingedAt = Math.Max(now, 1);
                _outbound.Collecting.Write(FrameKind.Ping, FrameFlags.None, ++_pingsSent, []);
            }
        }

        if (silent)
        {
            End(new ConnectionEnd(ConnectionEndReason.Unresponsive));
        }
        else
        {
            _outbound.Wake();
        }
    }

    /// <summary>The other side was asked for a sign of life and has not given it.</summary>
    internal bool AwaitsPong
    {
        get
        {
            lock (_gate)
            {
                return _pingedAt != 0;
            }
        }
    }

    private void OnHeard()
    {
        lock (_gate)
        {
            _heardAt = _time.GetTimestamp();
            _pingedAt = 0;
        }
    }

    private ConnectionEnd? OnBytes(ref ReadOnlySequence<byte> buffer, ref byte[] scratch)
    {
        while (true)
        {
            switch (FrameReader.TryRead(ref buffer, _options.MaxFrameBytes, out var frame, out var error))
            {
                case DecodeResult.NeedMoreData:
                    return null;
                case DecodeResult.Malformed:
                    return new ConnectionEnd(ConnectionEndReason.MalformedFrame, error);
            }

            _turns.Count(frame.Payload.Length);
            if (!OnFrame(frame, ref scratch))
            {
                return new ConnectionEnd(ConnectionEndReason.ProtocolViolation)
                {
                    Violation = $"a frame of kind {frame.Kind} under the id {frame.Sequence} that does not belong there, or cannot be read",
                };
            }

            scratch = scratch.Length > RequestServer.KeptScratchBytes ? [] : scratch;
        }
    }

    private bool OnFrame(Frame frame, ref byte[] scratch)
    {
        switch (frame.Kind)
        {
            case FrameKind.Reply:
                return AskedBy(frame.Sequence) is { } asked
                    && KvReplyCodec.TryDecode(frame.PayloadSpan(ref scratch), asked, out var reply) == DecodeResult.Ok
                    && OnReply(frame.Sequence, reply!);
            case FrameKind.Ping:
                return OnPing(frame.Sequence);
            case FrameKind.Pong when _pings is not null:
                return OnPong();
            case FrameKind.Item when _options.Streams:
                return OnItem(frame);
            case FrameKind.GoAway when _options.Streams:
                return StreamCodec.TryDecode(frame.PayloadSpan(ref scratch), out var goAway) == DecodeResult.Ok && OnGoAway(goAway!);
            default:
                return false;
        }
    }

    // A peer that pings without reading the answers is cut off before they fill memory.
    private bool OnPing(ulong sequence)
    {
        lock (_gate)
        {
            if (_outbound.WaitingBytes >= _options.MaxWaitingBytes)
            {
                return false;
            }

            _outbound.Collecting.Write(FrameKind.Pong, FrameFlags.None, sequence, []);
        }

        _outbound.Wake();
        return true;
    }

    private bool OnPong()
    {
        lock (_gate)
        {
            return ++_pongsHeard <= _pingsSent;
        }
    }

    private Operation? AskedBy(ulong id)
    {
        lock (_gate)
        {
            return _inFlight.TryGetValue(id, out PendingRequest? pending) ? pending.Asked
                : _streams.TryGetValue(id, out ItemReader? reader) ? reader.Asked
                : null;
        }
    }

    private bool OnReply(ulong id, KvReply reply)
    {
        PendingRequest? pending;
        ItemReader? stream = null;
        lock (_gate)
        {
            if (!_inFlight.Remove(id, out pending) && !_streams.Remove(id, out stream))
            {
                return false;
            }
        }

        pending?.TryComplete(new RequestResult(RequestEnd.Replied, reply), _options.CallersContinueHere);
        stream?.TryEnd(new RequestResult(RequestEnd.Replied, reply));
        return true;
    }

    // Without credit no item may come: whoever sends all the same would fill our memory.
    private bool OnItem(in Frame frame)
    {
        lock (_gate)
        {
            if (!_streams.TryGetValue(frame.Sequence, out var stream) || stream.Credit <= 0)
            {
                return false;
            }

            int bytes = FrameHeader.SizeBytes + frame.Header.PayloadLength;
            stream.Credit -= bytes;
            if (!stream.IsAbandoned)
            {
                stream.HeldBytes += bytes;
                _heldItemBytes += bytes;
                stream.DueAt = _time.GetTimestamp() + stream.Patience;
                stream.Add(frame.Payload.ToArray());
            }

            return true;
        }
    }

    private bool OnGoAway(GoAway goAway)
    {
        lock (_gate)
        {
            _goAway ??= goAway;
            return true;
        }
    }

    private async Task WriteAsync()
    {
        try
        {
            await _outbound.RunAsync(() => _handedOver = _lastId).ConfigureAwait(false);
            End(new ConnectionEnd(ConnectionEndReason.ClosedByPeer));
        }
        catch (Exception e)
        {
            // As for the reader: a transport that cannot write is over.
            End(new ConnectionEnd(ConnectionEndReason.Failed, Exception: e));
        }
    }

    private void OnDeadlines()
    {
        List<PendingRequest>? due = null;
        List<ItemReader>? silent = null;
        bool unresponsive = false;
        lock (_gate)
        {
            if (_inFlight.Count + _streams.Count == 0 || _end is not null)
            {
                _timing = false;
                _deadlines.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
                return;
            }

            long now = _time.GetTimestamp();
            long patience = Ticks(_options.UnresponsiveAfterMs);
            foreach (var pending in _inFlight.Values)
            {
                if (now >= pending.DueAt && !pending.IsCompleted)
                {
                    (due ??= []).Add(pending);
                }

                unresponsive |= now >= pending.DueAt + patience;
            }

            foreach (var stream in _streams.Values)
            {
                if (!stream.IsAbandoned && stream.HeldBytes == 0 && now >= stream.DueAt)
                {
                    AbandonLocked(stream);
                    (silent ??= []).Add(stream);
                }

                unresponsive |= stream.IsAbandoned && now >= stream.DueAt + patience;
            }
        }

        foreach (var stream in silent ?? [])
        {
            stream.TryEnd(new RequestResult(RequestEnd.TimedOut, null));
            _outbound.Wake();
        }

        foreach (var pending in due ?? [])
        {
            pending.TryComplete(new RequestResult(RequestEnd.TimedOut, null));
        }

        if (unresponsive)
        {
            End(new ConnectionEnd(ConnectionEndReason.Unresponsive));
        }
    }

    // The first call decides the reason and tells every request; both loops then find their halves cancelled.
    private void End(ConnectionEnd end)
    {
        KeyValuePair<ulong, PendingRequest>[] open;
        ItemReader[] streams;
        ulong handedOver;
        lock (_gate)
        {
            if (_end is not null)
            {
                return;
            }

            _end = end;
            open = [.. _inFlight];
            _inFlight.Clear();
            streams = [.. _streams.Values];
            _streams.Clear();
            handedOver = _handedOver;

            // Nothing collected may leave after this: those requests are about to be reported as never sent.
            _outbound.Collecting.Clear();
        }

        _outbound.End();
        _transport.Input.CancelPendingRead();
        _transport.Output.CancelPendingFlush();
        _handsOff.SetResult();
        foreach (var (id, pending) in open)
        {
            pending.TryComplete(new RequestResult(id > handedOver ? RequestEnd.NotSent : RequestEnd.Lost, null));
        }

        foreach (var stream in streams)
        {
            stream.TryEnd(new RequestResult(stream.Id > handedOver ? RequestEnd.NotSent : RequestEnd.Lost, null));
        }
    }

    private async Task<ConnectionEnd> FinishAsync()
    {
        await _loops.ConfigureAwait(false);
        await _handsOff.Task.ConfigureAwait(false);
        await _deadlines.DisposeAsync().ConfigureAwait(false);
        if (_pings is not null)
        {
            await _pings.DisposeAsync().ConfigureAwait(false);
        }

        await Transports.CloseAsync(_transport).ConfigureAwait(false);
        _outbound.ReturnBuffers();
        return _end!;
    }

    private long Ticks(long milliseconds) => milliseconds * _time.TimestampFrequency / 1000;

    /// <summary>One request on its way: the awaitable of its caller. Whoever completes it first decides; the others do nothing.</summary>
    private sealed class PendingRequest(RequestChannel channel, Operation asked, CancellationToken cancellationToken)
        : IValueTaskSource<RequestResult>
    {
        private ManualResetValueTaskSourceCore<RequestResult> _core = new() { RunContinuationsAsynchronously = true };
        private CancellationTokenRegistration _cancellation;
        private int _completed;

        public Operation Asked => asked;

        public ulong Id { get; set; }

        public long DueAt { get; set; }

        public bool IsCompleted => Volatile.Read(ref _completed) == 1;

        public ValueTask<RequestResult> Result => new(this, _core.Version);

        public void WatchCancellation()
        {
            if (!cancellationToken.CanBeCanceled)
            {
                return;
            }

            _cancellation = cancellationToken.UnsafeRegister(static state => ((PendingRequest)state!).OnCancelled(), this);

            // Whoever completes it writes the one and reads the other, too: without a fence both could miss what the other wrote, and the
            // registration would live as long as the caller's source.
            Interlocked.MemoryBarrier();
            if (IsCompleted)
            {
                // The reply was faster than the registration, which nobody has undone then.
                _cancellation.Unregister();
            }
        }

        public void TryComplete(RequestResult result, bool here = false)
        {
            if (Interlocked.Exchange(ref _completed, 1) == 0)
            {
                _cancellation.Unregister();
                _core.RunContinuationsAsynchronously = !here;
                _core.SetResult(result);
            }
        }

        public RequestResult GetResult(short token) => _core.GetResult(token);

        public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

        public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
            _core.OnCompleted(continuation, state, token, flags);

        private void OnCancelled()
        {
            if (Interlocked.Exchange(ref _completed, 1) == 0)
            {
                channel.OnCallerGone(Id);
                _core.SetException(new OperationCanceledException(cancellationToken));
            }
        }
    }
}
