using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using KvStore.Protocol;

namespace KvStore.Client;

/// <summary>
/// One connection to one node, many requests at once. Routing, retries and ids are the caller's. Safe for any number of threads.
/// </summary>
public sealed class KvConnection : IAsyncDisposable
{
    private readonly RequestChannel _channel;

    private KvConnection(RequestChannel channel, HelloAck server)
    {
        _channel = channel;
        Server = server;
    }

    /// <summary>What the node said about itself in the handshake.</summary>
    public HelloAck Server { get; }

    public bool IsOpen => _channel.IsOpen;

    /// <summary>Requests sent and not answered.</summary>
    public int InFlight => _channel.InFlight;

    /// <summary>Ends, never faulted, when the connection is over, with the reason.</summary>
#pragma warning disable VSTHRD003 // The channel's loops run on the pool and know no synchronisation context: awaiting them cannot deadlock.
    public Task<ConnectionEnd> Closed => _channel.Completion;
#pragma warning restore VSTHRD003

    /// <exception cref="KvException">The node cannot be reached, refuses, or does not answer within the time limit.</exception>
    public static Task<KvConnection> ConnectAsync(
        string host, int port, KvConnectionOptions? options = null, CancellationToken cancellationToken = default) =>
        ConnectAsync(new DnsEndPoint(host, port), options, cancellationToken);

    /// <exception cref="KvException">The node cannot be reached, refuses, or does not answer within the time limit.</exception>
    public static async Task<KvConnection> ConnectAsync(
        EndPoint endPoint, KvConnectionOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= new KvConnectionOptions();
        using var limit = new TimeLimit(options, cancellationToken);
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        SocketTransport? transport = null;
        try
        {
            await socket.ConnectAsync(endPoint, limit.Token).ConfigureAwait(false);
            transport = new SocketTransport(socket);
            return await OpenAsync(transport, options, limit.Token).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            transport?.Dispose();
            socket.Dispose();
            if (Translate(e, endPoint.ToString(), limit) is { } translated)
            {
                throw translated;
            }

            throw;
        }
    }

    /// <summary>The handshake over a transport that is connected already, in memory for example.</summary>
    /// <exception cref="KvException">The node refuses or does not answer within the time limit.</exception>
    public static async Task<KvConnection> ConnectAsync(
        IDuplexPipe transport, KvConnectionOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= new KvConnectionOptions();
        using var limit = new TimeLimit(options, cancellationToken);
        try
        {
            return await OpenAsync(transport, options, limit.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (Translate(e, "the other end", limit) is { } translated)
        {
            throw translated;
        }
    }

    /// <summary>
    /// Sends a request and returns the node's reply, whatever its code: a refusal is an answer. Without an answer within the request's
    /// TimeoutMs (and the grace) it throws: <see cref="KvOutcomeUnknownException"/> for a write that may have arrived, else a
    /// <see cref="KvException"/> whose Outcome says what is proved. Await the result once.
    /// </summary>
    public async ValueTask<KvReply> SendAsync(KvRequest request, CancellationToken cancellationToken = default)
    {
        var result = await _channel.SendAsync(request, cancellationToken).ConfigureAwait(false);
        return result.Reply ?? throw WithoutReply(request, result.End);
    }

    /// <summary>As <see cref="SendAsync"/>, with every end as a value.</summary>
    public ValueTask<RequestResult> TrySendAsync(KvRequest request, CancellationToken cancellationToken = default) =>
        _channel.SendAsync(request, cancellationToken);

    /// <summary>Closes at once: what is in flight ends without a reply.</summary>
    public ValueTask DisposeAsync() => _channel.DisposeAsync();

    private static async Task<KvConnection> OpenAsync(
        IDuplexPipe transport, KvConnectionOptions options, CancellationToken cancellationToken)
    {
        var hello = new ClientHello { ClusterId = options.ClusterId, ClientName = options.ClientName };
        var answer = await Handshake.DialAsync(transport, hello, cancellationToken).ConfigureAwait(false);
        if (answer.Refused is { } refused)
        {
            throw new KvException(CodeOf(refused.Reason), $"the node refused the connection ({refused.Reason}): {refused.Detail}")
            {
                Outcome = Outcome.NotApplied,
            };
        }

        if (answer.Ack is not { } ack)
        {
            throw new KvException(ErrorCode.InvalidRequest, $"what answered is not a node of this protocol: {answer.Failure}");
        }

        return new KvConnection(RequestChannel.Start(transport, options.Channel with { PeerLevel = ack.Level }, options.Time), ack);
    }

    private static ErrorCode CodeOf(HelloRefusal reason) => reason switch
    {
        HelloRefusal.Starting => ErrorCode.Starting,
        HelloRefusal.TooManyConnections => ErrorCode.Overloaded,
        HelloRefusal.Unauthenticated => ErrorCode.Unauthenticated,
        _ => ErrorCode.InvalidRequest,
    };

    private static KvException? Translate(Exception e, string? where, TimeLimit limit) => e switch
    {
        KvException => null,
        OperationCanceledException when limit.Expired =>
            new KvException(ErrorCode.Timeout, $"no connection to {where} within {limit.Allowed.TotalMilliseconds:0} ms", e)
            {
                Outcome = Outcome.NotApplied,
            },
        SocketException or IOException =>
            new KvException(ErrorCode.NoLeader, $"no connection to {where}: {e.Message}", e) { Outcome = Outcome.NotApplied },
        _ => null,
    };

    private static KvException WithoutReply(KvRequest request, RequestEnd end) => end switch
    {
        RequestEnd.Full => new KvException(ErrorCode.Overloaded, "too many requests are waiting on this connection; this one was not sent"),
        RequestEnd.TooLarge => new KvException(ErrorCode.TooLarge, $"the request is above {Limits.MaxRequestBytes} bytes; it was not sent"),

        // No code of the server's says "nobody was asked"; of those that prove not-applied this is the one that invites another node.
        RequestEnd.NotSent => new KvException(ErrorCode.NoLeader, "the connection ended before the request was sent"),
        _ when request.IsWrite => new KvOutcomeUnknownException(
            (end == RequestEnd.Lost ? "the connection ended before the reply" : "no reply in time") + "; the write may have been applied",
            request.Id),
        _ => new KvException(ErrorCode.Timeout, end == RequestEnd.Lost ? "the connection ended before the reply" : "no reply in time"),
    };

    /// <summary>The caller's token and the time limit, told apart.</summary>
    private sealed class TimeLimit : IDisposable
    {
        private readonly CancellationTokenSource _time;
        private readonly CancellationTokenSource _both;

        public TimeLimit(KvConnectionOptions options, CancellationToken cancellationToken)
        {
            Allowed = options.ConnectTimeout;
            _time = new CancellationTokenSource(Allowed, options.Time);
            _both = CancellationTokenSource.CreateLinkedTokenSource(_time.Token, cancellationToken);
        }

        public TimeSpan Allowed { get; }

        public CancellationToken Token => _both.Token;

        public bool Expired => _time.IsCancellationRequested;

        public void Dispose()
        {
            _both.Dispose();
            _time.Dispose();
        }
    }
}
