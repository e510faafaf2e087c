using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace KvStore.Protocol;

/// <summary>
/// The answering side of a <see cref="RequestChannel"/>, one per connection: reads requests, hands each to the handler and writes
/// the replies in whatever order they come, whole or in parts.
/// </summary>
public sealed class RequestServer
{
    /// <summary>A reply to a read up to this is kept for a client that reads too slowly: saying that it was not takes as much.</summary>
    private const int SmallReplyBytes = 256;

    /// <summary>A buffer that one large frame made bigger than this is not kept for the next one.</summary>
    internal const int KeptScratchBytes = 256 << 10;

    private readonly IDuplexPipe _transport;
    private readonly Action<KvRequest, ReplyTicket> _handler;
    private readonly RequestServerOptions _options;
    private readonly AnswerStreams _streams;
    private readonly IncomingFrame _incoming;
    private readonly Action? _pinged;
    private readonly Signal _room = new();
    private readonly Func<bool> _mustNotRead;
    private InlineTurns _turns;

    // Guards everything below, and what the outbound half has collected.
    private readonly Lock _gate = new();
    private readonly OutboundFrames _outbound;

    // Requests handed to the handler and not answered, those that are being answered in parts not among them.
    private readonly Dictionary<ulong, OpenRequest> _open = [];
    private bool _waitingForRoom;
    private bool _stopping;

    // Of the open ones, and 1 at the end: whoever asks before each read does so without the lock while there is none.
    private int _cancelled;
    private ConnectionEnd? _end;

    private RequestServer(
        IDuplexPipe transport, Action<KvRequest, ReplyTicket> handler, RequestServerOptions options, RequestServers servers, Action? pinged)
    {
        _pinged = pinged;
        _transport = transport;
        _handler = handler;
        _options = options;
        _mustNotRead = MustNotRead;
        _outbound = new OutboundFrames(transport.Output, _gate);
        _streams = new AnswerStreams(servers, options, _gate, _outbound, EndStream);
        _incoming = new IncomingFrame(servers, options, OnFrameTimedOut, OnFrameGranted);
    }

    /// <summary>
    /// Serves a connection whose handshake is finished, until the client closes it, something is wrong with it, or stopping is
    /// cancelled. On stopping and on an orderly close by the client nothing more is read, what is open is still answered, and the
    /// handler must answer everything it was given. It is called on the reading loop, one request at a time, and must not block.
    /// Closes the transport (completes both halves, disposes it if it is disposable); never faults. Without servers it is alone. Pinged is
    /// called on the reading loop at each ping: a client that asks nothing is there all the same.
    /// </summary>
    public static async Task<ConnectionEnd> ServeAsync(
        IDuplexPipe transport,
        Action<KvRequest, ReplyTicket> handler,
        RequestServerOptions? options = null,
        RequestServers? servers = null,
        Action? pinged = null,
        CancellationToken stopping = default)
    {
        servers ??= new RequestServers();
        var server = new RequestServer(transport, handler, options ?? new RequestServerOptions(), servers, pinged);
        var writing = Task.Run(server.WriteAsync, CancellationToken.None);
        var streaming = server._options.Streams ? Task.Run(server.StreamAsync, CancellationToken.None) : Task.CompletedTask;
        servers.Join(server);
        using (stopping.UnsafeRegister(static state => ((RequestServer)state!).Stop(), server))
        {
            await server.ReadAsync().ConfigureAwait(false);
            await writing.ConfigureAwait(false);
            await streaming.ConfigureAwait(false);
        }

        servers.Leave(server);
        server._incoming.Close();
        server._streams.ForgetBytes();
        await Transports.CloseAsync(transport).ConfigureAwait(false);
        server._outbound.ReturnBuffers();
        return server._end!;
    }

    internal static KvReply Cancelled { get; } = new()
    {
        Code = ErrorCode.Timeout,
        Detail = "cancelled by the client",
    };

    internal bool TryReply(ulong id, KvReply reply)
    {
        Exception? failure;
        lock (_gate)
        {
            if (!TryClose(id, out var request))
            {
                return false;
            }

            failure = TryCollect(id, request.IsCancelled && !request.IsWrite ? Cancelled : reply, request);
            WakeReader();
        }

        return WakeOrEnd(failure);
    }

    internal bool TryStream(ulong id, ItemSource source)
    {
        bool opened = false;
        Exception? failure = null;
        lock (_gate)
        {
            if (TryClose(id, out var request))
            {
                if (request.IsCancelled || !_options.Streams)
                {
                    failure = TryCollect(id, request.IsCancelled ? Cancelled : NoStreams, request);
                }
                else
                {
                    opened = _streams.TryOpen(id, source, request.Credit, request.IsFlat);
                }

                WakeReader();
            }
        }

        if (!opened)
        {
            source.Close();
        }

        return WakeOrEnd(failure) && opened;
    }

    internal bool IsCancelled(ulong id)
    {
        if (Volatile.Read(ref _cancelled) == 0)
        {
            return false;
        }

        lock (_gate)
        {
            return _end is not null || (_open.TryGetValue(id, out var request) && request.IsCancelled);
        }
    }

    internal void SayGoAway(GoAway word)
    {
        lock (_gate)
        {
            if (_end is not null || !_options.Streams)
            {
                return;
            }

            var frames = _outbound.Collecting;
            frames.Begin(FrameKind.GoAway, FrameFlags.None, 0);
            StreamCodec.Encode(frames, word);
            frames.TryEnd(_options.MaxFrameBytes);
        }

        _outbound.Wake();
    }

    private static KvReply NotRead { get; } = new()
    {
        Code = ErrorCode.Overloaded,
        Outcome = Outcome.NotApplied,
        Detail = "this connection reads its replies more slowly than it asks; the value was not kept",
    };

    private static KvReply NoStreams { get; } = new()
    {
        Code = ErrorCode.InvalidRequest,
        Outcome = Outcome.NotApplied,
        Detail = "the answer comes in parts, and the hello of this connection did not say that it takes them (feature bit 0)",
    };

    private static KvReply Closing { get; } = new()
    {
        Code = ErrorCode.Draining,
        Outcome = Outcome.NotApplied,
        Detail = "the connection ends before the answer does; go on over another one",
    };

    private async Task ReadAsync()
    {
        var end = new ConnectionEnd(ConnectionEndReason.ClosedByPeer);
        bool orderly = false;
        try
        {
            (end, orderly) = await ReadRequestsAsync().ConfigureAwait(false);
        }
        catch (Exception e)
        {
            // The top of a loop of ours: whatever the transport or the handler throws ends this connection and no other.
            end = new ConnectionEnd(ConnectionEndReason.Failed, Exception: e);
        }

        _incoming.Forget();
        if (orderly)
        {
            // Nobody sends credit any more.
            lock (_gate)
            {
                _streams.EndAll(Closing);
            }

            while (MustWait(() => _open.Count + _streams.Count > 0) && await _room.WaitAsync().ConfigureAwait(false))
            {
            }
        }

        End(end, orderly);
    }

    private async Task<(ConnectionEnd End, bool Orderly)> ReadRequestsAsync()
    {
        var input = _transport.Input;
        byte[] scratch = [];
        while (true)
        {
            while (MustWait(_mustNotRead))
            {
                if (_incoming.HoldsMemory && HasRepliesToTake())
                {
                    _incoming.StartClock();
                }
                else
                {
                    _incoming.StopClock();
                }

                if (!await _room.WaitAsync().ConfigureAwait(false))
                {
                    break;
                }
            }

            if (_turns.TakeEnd())
            {
                await Task.Yield();
            }

            _incoming.StartClock();
            var result = await input.ReadAsync().ConfigureAwait(false);
            var buffer = result.Buffer;
            long received = buffer.Length;
            ConnectionEnd? problem;
            bool full;
            bool isTurn = SendTurn.TryBegin();
            try
            {
                problem = OnBytes(ref buffer, ref scratch, out full);
            }
            finally
            {
                SendTurn.End(isTurn);
            }

            bool rest = !buffer.IsEmpty;
            _incoming.Look(buffer, lookedAt: !full, isNew: buffer.Length < received);

            // What was left because we are full has not been looked at: the next read returns it at once.
            input.AdvanceTo(buffer.Start, full ? buffer.Start : buffer.End);
            if (problem is not null)
            {
                return (problem, false);
            }

            if (full && !result.IsCanceled)
            {
                continue;
            }

            if (IsStopping())
            {
                return (new ConnectionEnd(ConnectionEndReason.Closed), true);
            }

            if (result.IsCompleted)
            {
                return rest
                    ? (new ConnectionEnd(ConnectionEndReason.Failed), false)
                    : (new ConnectionEnd(ConnectionEndReason.ClosedByPeer), true);
            }
        }
    }

    private ConnectionEnd? OnBytes(ref ReadOnlySequence<byte> buffer, ref byte[] scratch, out bool full)
    {
        full = false;
        while (!IsStopping())
        {
            lock (_gate)
            {
                full = IsFull();
            }

            if (full)
            {
                return null;
            }

            switch (FrameReader.TryRead(ref buffer, _options.MaxFrameBytes, out var frame, out var error))
            {
                case DecodeResult.NeedMoreData:
                    return null;
                case DecodeResult.Malformed:
                    return new ConnectionEnd(ConnectionEndReason.MalformedFrame, error);
            }

            _turns.Count(frame.Payload.Length);
            if (OnFrame(frame, ref scratch) is { } violation)
            {
                return new ConnectionEnd(ConnectionEndReason.ProtocolViolation) { Violation = violation };
            }

            scratch = scratch.Length > KeptScratchBytes ? [] : scratch;
        }

        return null;
    }

    // Null, or what was violated.
    private string? OnFrame(Frame frame, ref byte[] scratch)
    {
        switch (frame.Kind)
        {
            case FrameKind.Request:
                return OnRequest(frame.Sequence, frame.PayloadSpan(ref scratch));
            case FrameKind.Ping:
                _pinged?.Invoke();
                lock (_gate)
                {
                    _outbound.Collecting.Write(FrameKind.Pong, FrameFlags.None, frame.Sequence, []);
                }

                _outbound.Wake();
                return null;
            case FrameKind.Credit when _options.Streams:
                return StreamCodec.TryDecodeCredit(frame.PayloadSpan(ref scratch), out long bytes) != DecodeResult.Ok
                    ? $"a credit for request {frame.Sequence} that is none"
                    : OnCredit(frame.Sequence, bytes) ? null
                    : $"the credit of request {frame.Sequence} came to more than {Limits.MaxStreamCreditBytes} bytes";
            case FrameKind.Cancel when _options.Streams:
                OnCancel(frame.Sequence);
                return null;
            case FrameKind.Credit or FrameKind.Cancel:
                return $"a frame of kind {frame.Kind}, which the hello did not say (feature bit 0)";
            default:
                return $"a frame of kind {frame.Kind}, which a client does not send behind its hello";
        }
    }

    // For an id that is not open: its reply crossed this on the way.
    private bool OnCredit(ulong id, long bytes)
    {
        lock (_gate)
        {
            ref var request = ref CollectionsMarshal.GetValueRefOrNullRef(_open, id);
            if (Unsafe.IsNullRef(ref request))
            {
                return _streams.TryAddCredit(id, bytes);
            }

            request.Credit += bytes;
            return request.Credit <= Limits.MaxStreamCreditBytes;
        }
    }

    private void OnCancel(ulong id)
    {
        lock (_gate)
        {
            ref var request = ref CollectionsMarshal.GetValueRefOrNullRef(_open, id);
            if (Unsafe.IsNullRef(ref request))
            {
                _streams.Cancel(id);
            }
            else if (!request.IsCancelled)
            {
                request.IsCancelled = true;
                Volatile.Write(ref _cancelled, _cancelled + 1);
            }
        }
    }

    // Under the lock. False: it has been answered, or nobody listens any more.
    private bool TryClose(ulong id, out OpenRequest request)
    {
        if (!_open.Remove(id, out request))
        {
            return false;
        }

        if (request.IsCancelled)
        {
            Volatile.Write(ref _cancelled, _cancelled - 1);
        }

        return _end is null;
    }

    private string? OnRequest(ulong id, ReadOnlySpan<byte> body)
    {
        // The frame is right and the id is known, so a body we cannot read costs an answer and not the connection.
        bool readable = KvRequestCodec.TryDecode(body, out var request) == DecodeResult.Ok;
        lock (_gate)
        {
            if (_streams.Has(id)
                || !_open.TryAdd(id, new OpenRequest { IsWrite = request?.IsWrite ?? false, IsFlat = KvRequestCodec.IsFlat(body) }))
            {
                return $"the request id {id} was used again while it was open";
            }
        }

        var ticket = new ReplyTicket(this, id);
        if (readable)
        {
            _handler(request!, ticket);
        }
        else
        {
            Refusal fault = RequestFault.Of(body);
            ticket.TryComplete(new KvReply { Code = fault.Code, Outcome = Outcome.NotApplied, Detail = fault.Detail });
        }

        return null;
    }

    /// <summary>
    /// Under the lock. Not null: it could not be encoded, and the connection is over. Whoever completes a ticket may be a worker, who serves
    /// every other connection as well: what is wrong with one answer costs the connection that asked.
    /// </summary>
    private Exception? TryCollect(ulong id, KvReply reply, in OpenRequest request)
    {
        try
        {
            Collect(id, reply, request);
            return null;
        }
        catch (Exception e)
        {
            _outbound.Collecting.Abandon();
            return e;
        }
    }

    private bool WakeOrEnd(Exception? failure)
    {
        if (failure is not null)
        {
            End(new ConnectionEnd(ConnectionEndReason.Failed, Exception: failure), orderly: false);
            return false;
        }

        _outbound.Wake();
        return true;
    }

    // Under the lock.
    private void Collect(ulong id, KvReply reply, in OpenRequest request)
    {
        var frames = _outbound.Collecting;
        bool drowning = _outbound.WaitingBytes >= 2L * _options.MaxWaitingBytes;
        if (drowning && request.IsWrite)
        {
            // What it did is told; what it read can be read again.
            reply = reply with { Result = reply.Result?.WithoutValues() };
        }

        Begin(id, reply, request.IsFlat);
        if (drowning && !request.IsWrite && frames.OpenPayloadBytes > SmallReplyBytes)
        {
            frames.Abandon();
            Begin(id, NotRead, request.IsFlat);
        }

        if (!frames.TryEnd(_options.MaxFrameBytes))
        {
            KvReply tooLarge = reply with
            {
                Code = ErrorCode.Internal,
                Outcome = Outcome.Unknown,
                Result = null,
                Detail = $"the reply is above the frame limit of {_options.MaxFrameBytes} bytes",
            };
            Begin(id, tooLarge, request.IsFlat);
            frames.TryEnd(_options.MaxFrameBytes);
        }
    }

    private void Begin(ulong id, KvReply reply, bool flat)
    {
        _outbound.Collecting.Begin(FrameKind.Reply, FrameFlags.None, id);
        KvReplyCodec.Encode(_outbound.Collecting, reply, flat);
    }

    // Under the lock: the end of an answer in parts.
    private void EndStream(ulong id, KvReply reply, bool isFlat)
    {
        Collect(id, reply, new OpenRequest { IsFlat = isFlat });
        WakeReader();
        _outbound.Wake();
    }

    private async Task StreamAsync()
    {
        try
        {
            await _streams.RunAsync().ConfigureAwait(false);
        }
        catch (Exception e)
        {
            // As for a handler: what a source throws ends this connection and no other.
            End(new ConnectionEnd(ConnectionEndReason.Failed, Exception: e), orderly: false);
        }
    }

    private async Task WriteAsync()
    {
        try
        {
            await _outbound.RunAsync(OnHandingOver, _streams.OnWritten).ConfigureAwait(false);
            End(new ConnectionEnd(ConnectionEndReason.ClosedByPeer), orderly: false);
        }
        catch (Exception e)
        {
            // As for the reader: a transport that cannot write is over.
            End(new ConnectionEnd(ConnectionEndReason.Failed, Exception: e), orderly: false);
        }
    }

    private void Stop()
    {
        lock (_gate)
        {
            _stopping = true;
            WakeReader();
        }

        _transport.Input.CancelPendingRead();
    }

    // The first call decides. Orderly: what is collected is still written; otherwise it is dropped with the connection.
    private void End(ConnectionEnd end, bool orderly)
    {
        lock (_gate)
        {
            if (_end is not null)
            {
                return;
            }

            _end = end;
            _open.Clear();
            Volatile.Write(ref _cancelled, 1);
            if (!orderly)
            {
                _outbound.Collecting.Clear();
            }
        }

        _outbound.End();
        _streams.End();
        _room.End();
        if (!orderly)
        {
            _transport.Input.CancelPendingRead();
            _transport.Output.CancelPendingFlush();
        }
    }

    private bool MustNotRead() => IsFull() || (!_stopping && !_incoming.HasMemory);

    private bool IsFull() => !_stopping && (_open.Count >= _options.MaxInFlight || IsNotRead());

    // The client takes too few of its replies. That is its own doing: others wait for the memory that its half frame holds.
    private bool IsNotRead() => _outbound.WaitingBytes >= _options.MaxWaitingBytes;

    private bool HasRepliesToTake()
    {
        lock (_gate)
        {
            return IsNotRead();
        }
    }

    private bool IsStopping()
    {
        lock (_gate)
        {
            return _stopping || _end is not null;
        }
    }

    private bool MustWait(Func<bool> condition)
    {
        lock (_gate)
        {
            _waitingForRoom = _end is null && condition();
            return _waitingForRoom;
        }
    }

    // Under the lock.
    private void OnHandingOver()
    {
        _streams.OnHandingOver();
        WakeReader();
    }

    private void OnFrameTimedOut() => End(new ConnectionEnd(ConnectionEndReason.FrameTimedOut), orderly: false);

    private void OnFrameGranted()
    {
        lock (_gate)
        {
            WakeReader();
        }
    }

    // Under the lock.
    private void WakeReader()
    {
        if (_waitingForRoom)
        {
            _room.Set();
        }
    }

    private struct OpenRequest
    {
        /// <summary>Its reply is never dropped, only what it read.</summary>
        public bool IsWrite;
        public bool IsCancelled;

        /// <summary>It came in the form of feature level 1, and so must its reply.</summary>
        public bool IsFlat;

        /// <summary>What came for it so far, should it be answered in parts.</summary>
        public long Credit;
    }
}
