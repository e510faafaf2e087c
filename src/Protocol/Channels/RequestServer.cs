using System.Buffers;
using System.IO.Pipelines;

namespace KvStore.Protocol;

/// <summary>
/// The answering side of a <see cref="RequestChannel"/>, one per connection: reads requests, hands each to the handler and writes
/// the replies in whatever order they come.
/// </summary>
public sealed class RequestServer
{
    private readonly IDuplexPipe _transport;
    private readonly Action<KvRequest, ReplyTicket> _handler;
    private readonly RequestServerOptions _options;
    private readonly Signal _room = new();

    // Guards everything below, and what the outbound half has collected.
    private readonly Lock _gate = new();
    private readonly OutboundFrames _outbound;

    // Requests handed to the handler and not answered.
    private readonly Dictionary<ulong, OpenRequest> _open = [];
    private bool _waitingForRoom;
    private bool _stopping;
    private ConnectionEnd? _end;

    /// <param name="IsWrite">Its reply is never dropped.</param>
    /// <param name="IsFlat">It came in the form of feature level 1, and so must its reply.</param>
    private readonly record struct OpenRequest(bool IsWrite, bool IsFlat);

    private RequestServer(IDuplexPipe transport, Action<KvRequest, ReplyTicket> handler, RequestServerOptions options)
    {
        _transport = transport;
        _handler = handler;
        _options = options;
        _outbound = new OutboundFrames(transport.Output, _gate);
    }

    /// <summary>
    /// Serves a connection whose handshake is finished, until the client closes it, something is wrong with it, or stopping is
    /// cancelled. On stopping and on an orderly close by the client nothing more is read, what is open is still answered, and the
    /// handler must answer everything it was given. It is called on the reading loop, one request at a time, and must not block.
    /// Closes the transport (completes both halves, disposes it if it is disposable); never faults.
    /// </summary>
    public static async Task<ConnectionEnd> ServeAsync(
        IDuplexPipe transport,
        Action<KvRequest, ReplyTicket> handler,
        RequestServerOptions? options = null,
        CancellationToken stopping = default)
    {
        var server = new RequestServer(transport, handler, options ?? new RequestServerOptions());
        var writing = Task.Run(server.WriteAsync, CancellationToken.None);
        using (stopping.UnsafeRegister(static state => ((RequestServer)state!).Stop(), server))
        {
            await server.ReadAsync().ConfigureAwait(false);
            await writing.ConfigureAwait(false);
        }

        await Transports.CloseAsync(transport).ConfigureAwait(false);
        server._outbound.ReturnBuffers();
        return server._end!;
    }

    internal bool TryReply(ulong id, KvReply reply)
    {
        lock (_gate)
        {
            if (!_open.Remove(id, out OpenRequest open) || _end is not null)
            {
                return false;
            }

            bool drowning = _outbound.WaitingBytes >= 2L * _options.MaxWaitingBytes;
            Collect(id, drowning && !open.IsWrite && reply.Result is { HeldBytes: > 0 } ? NotRead : reply, open.IsFlat);
            WakeReader();
        }

        _outbound.Wake();
        return true;
    }

    private static KvReply NotRead { get; } = new()
    {
        Code = ErrorCode.Overloaded,
        Outcome = Outcome.NotApplied,
        Detail = "this connection reads its replies more slowly than it asks; the value was not kept",
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

        if (orderly)
        {
            while (MustWait(() => _open.Count > 0) && await _room.WaitAsync().ConfigureAwait(false))
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
            while (MustWait(IsFull) && await _room.WaitAsync().ConfigureAwait(false))
            {
            }

            var result = await input.ReadAsync().ConfigureAwait(false);
            var buffer = result.Buffer;
            var problem = OnBytes(ref buffer, ref scratch, out bool full);
            bool rest = !buffer.IsEmpty;

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

            if (!OnFrame(frame, ref scratch))
            {
                return new ConnectionEnd(ConnectionEndReason.ProtocolViolation);
            }
        }

        return null;
    }

    private bool OnFrame(Frame frame, ref byte[] scratch)
    {
        switch (frame.Kind)
        {
            case FrameKind.Request:
                return OnRequest(frame.Sequence, frame.PayloadSpan(ref scratch));
            case FrameKind.Ping:
                lock (_gate)
                {
                    _outbound.Collecting.Write(FrameKind.Pong, FrameFlags.None, frame.Sequence, []);
                }

                _outbound.Wake();
                return true;
            default:
                return false;
        }
    }

    private bool OnRequest(ulong id, ReadOnlySpan<byte> body)
    {
        // The frame is right and the id is known, so a body we cannot read costs an answer and not the connection.
        bool readable = KvRequestCodec.TryDecode(body, out var request) == DecodeResult.Ok;
        lock (_gate)
        {
            if (!_open.TryAdd(id, new OpenRequest(request?.IsWrite ?? false, KvRequestCodec.IsFlat(body))))
            {
                return false;
            }
        }

        var ticket = new ReplyTicket(this, id);
        if (readable)
        {
            _handler(request!, ticket);
        }
        else
        {
            ticket.TryComplete(Unreadable);
        }

        return true;
    }

    private static KvReply Unreadable { get; } = new()
    {
        Code = ErrorCode.InvalidRequest,
        Outcome = Outcome.NotApplied,
        Detail = $"the body is not a request of protocol version {ProtocolVersion.Max}, or has more than {Limits.MaxBatchItems} items",
    };

    private void Collect(ulong id, KvReply reply, bool flat)
    {
        var frames = _outbound.Collecting;
        frames.Begin(FrameKind.Reply, FrameFlags.None, id);
        KvReplyCodec.Encode(frames, reply, flat);
        if (!frames.TryEnd(_options.MaxFrameBytes))
        {
            frames.Begin(FrameKind.Reply, FrameFlags.None, id);
            KvReply tooLarge = reply with
            {
                Code = ErrorCode.Internal,
                Outcome = Outcome.Unknown,
                Result = null,
                Detail = $"the reply is above the frame limit of {_options.MaxFrameBytes} bytes",
            };
            KvReplyCodec.Encode(frames, tooLarge, flat);
            frames.TryEnd(_options.MaxFrameBytes);
        }
    }

    private async Task WriteAsync()
    {
        try
        {
            await _outbound.RunAsync(WakeReader).ConfigureAwait(false);
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
            if (!orderly)
            {
                _outbound.Collecting.Clear();
            }
        }

        _outbound.End();
        _room.End();
        if (!orderly)
        {
            _transport.Input.CancelPendingRead();
            _transport.Output.CancelPendingFlush();
        }
    }

    private bool IsFull() => !_stopping && (_open.Count >= _options.MaxInFlight || _outbound.WaitingBytes >= _options.MaxWaitingBytes);

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
    private void WakeReader()
    {
        if (_waitingForRoom)
        {
            _room.Set();
        }
    }
}
