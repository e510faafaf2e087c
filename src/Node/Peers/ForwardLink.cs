using System.Net.Sockets;
using KvStore.Node.Config;
using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Node.Peers;

/// <summary>
/// Requests of our clients that another node has to answer: one multiplexed connection to its binary port, dialled when first
/// needed and again after it broke. The same protocol and the same request handler as for a client.
/// </summary>
internal sealed class ForwardLink(NodeConfig peer, ClientHello hello, ClusterSecret? secret = null) : IAsyncDisposable
{
    /// <summary>Requests that may wait for a connection; one more is answered Overloaded at once.</summary>
    private const int MaxWaiting = 4096;
    private const int DialTimeoutMs = 1000;

    /// <summary>After a failed dial, requests are given back at once for this long instead of each trying again.</summary>
    private const int DialPauseMs = 50;

    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource _idle = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile RequestChannel? _channel;
    private Task<RequestChannel?>? _dialling;
    private Task _supervised = Task.CompletedTask;
    private long _pauseUntil;
    private int _waiting;

    // One for us while we are open, one per request in the making: at zero all have been answered.
    private int _pending = 1;

    /// <summary>Feature level of the node at the other end of the connection that is open, or was last.</summary>
    public ushort PeerLevel => _channel?.PeerLevel ?? FeatureLevel.First;

    public void Forward(KvRequest request, IForwardCompletion completion)
    {
        Interlocked.Increment(ref _pending);
        _ = ForwardAsync(request, completion); // counted in _pending, awaited by DisposeAsync; reports by the completion
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        Task dialling;
        lock (_gate)
        {
            dialling = _dialling ?? Task.CompletedTask;
        }

        await dialling.ConfigureAwait(false);
        if (_channel is { } channel)
        {
            await channel.DisposeAsync().ConfigureAwait(false);
        }

        Release();
        await _idle.Task.ConfigureAwait(false);
        await _supervised.ConfigureAwait(false);
        _stop.Dispose();
    }

    private async Task ForwardAsync(KvRequest request, IForwardCompletion completion)
    {
        var end = RequestEnd.NotSent;
        KvReply? reply = null;
        try
        {
            // A channel that closed under our hands proves that it sent nothing: once more over a new one.
            for (var attempt = 0; attempt < 2 && end == RequestEnd.NotSent; attempt++)
            {
                (var channel, bool isFull) = _channel is { IsOpen: true } open ? (open, false) : await ConnectAsync().ConfigureAwait(false);
                if (channel is null)
                {
                    end = isFull ? RequestEnd.Full : end;
                    break;
                }

                end = RequestEnd.Lost; // unless the channel tells otherwise
                (end, reply) = await channel.SendAsync(request).ConfigureAwait(false);
            }
        }
        finally
        {
            if (end == RequestEnd.Unsupported)
            {
                completion.Replied(NotKnownThere);
            }
            else if (end == RequestEnd.Full)
            {
                completion.Replied(FullLink);
            }
            else if (reply is not null)
            {
                completion.Replied(reply);
            }
            else
            {
                completion.Lost(new RequestResult(end, null).NeverSent);
            }

            Release();
        }
    }

    private static KvReply NotKnownThere { get; } = new()
    {
        Code = ErrorCode.Unsupported,
        Outcome = Outcome.NotApplied,
        Detail = "The node that would have to answer is of an older version and does not know this request; upgrade all nodes.",
    };

    /// <summary>Of the link, not of the node at its other end: that one is not asked for less because of it.</summary>
    private static KvReply FullLink { get; } = new()
    {
        Code = ErrorCode.Overloaded,
        Outcome = Outcome.NotApplied,
        Detail = "The connection to the node that would have to answer takes no more requests or bytes at the moment; nothing was written, try again later.",
        RetryAfterMs = 100,
    };

    private async Task<(RequestChannel? Channel, bool IsFull)> ConnectAsync()
    {
        Task<RequestChannel?> dialling;
        lock (_gate)
        {
            if (_stop.IsCancellationRequested || _waiting >= MaxWaiting || (_dialling is null && Environment.TickCount64 < _pauseUntil))
            {
                return (null, _waiting >= MaxWaiting);
            }

            _waiting++;
            dialling = _dialling ??= Task.Run(DialAsync);
        }

        var channel = await dialling.ConfigureAwait(false);
        Interlocked.Decrement(ref _waiting);
        return (channel, false);
    }

    private async Task<RequestChannel?> DialAsync()
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        timeout.CancelAfter(DialTimeoutMs);
        Socket? socket = null;
        PeerConnection? connection = null;
        RequestChannel? channel = null;
        try
        {
            socket = new Socket(SocketType.Stream, ProtocolType.Tcp); // there may be no descriptor left: later, as everything here
            await socket.ConnectAsync(peer.Binary.ToEndPoint(), timeout.Token).ConfigureAwait(false);
            connection = new PeerConnection(socket);
            var answer = await Handshake.DialAsync(connection, hello, secret, timeout.Token).ConfigureAwait(false);
            if (answer.Ack?.NodeName == peer.Id)
            {
                channel = RequestChannel.Start(connection, new RequestChannelOptions { PeerLevel = answer.Ack.Level, CallersContinueHere = true });
            }
        }
        catch (Exception e) when (e is SocketException or IOException or PeerProtocolException or OperationCanceledException)
        {
            // The requests that wait are given back as not sent; the store decides what to try next.
        }

        if (channel is null)
        {
            connection?.Dispose();
            socket?.Dispose();
        }

        lock (_gate)
        {
            _channel = channel;
            _dialling = null;
            _pauseUntil = channel is null ? Environment.TickCount64 + DialPauseMs : 0;
            _supervised = channel is null ? _supervised : CloseWithAsync(_supervised, channel, connection!);
        }

        return channel;
    }

    // The channel ends by itself when the connection does; the socket is ours to close then.
    private static async Task CloseWithAsync(Task earlier, RequestChannel channel, PeerConnection connection)
    {
        await earlier.ConfigureAwait(false);
        await channel.Completion.ConfigureAwait(false);
        await channel.DisposeAsync().ConfigureAwait(false);
        connection.Dispose();
    }

    private void Release()
    {
        if (Interlocked.Decrement(ref _pending) == 0)
        {
            _idle.TrySetResult(); // a second time when a worker forwards after the end: given back as not sent
        }
    }
}
