using KvStore.Protocol;

// The loop runs on the pool and knows no synchronisation context: awaiting it cannot deadlock.
#pragma warning disable VSTHRD003

namespace KvStore.Client.Routing;

/// <summary>
/// The way to one node: a connection that is dialled again whenever it is gone, for ever, and what was learned of how the node answers. A
/// node that failed several times in a row is left alone for a while, and then asked once before it is trusted again.
/// </summary>
internal sealed class NodeLink : IAsyncDisposable
{
    /// <summary>Attempts in a row that came to nothing until the node is left alone.</summary>
    public const int FailuresUntilLeftAlone = 3;

    private const int FirstPauseMs = 20;
    private const int MaxPauseMs = 500;
    private const int LeftAloneMs = 1000;
    private const int MaxLeftAloneMs = 10_000;

    private const double LeastMeanMs = 0.25;
    private const double HalfLifeSeconds = 1;

    /// <summary>Share of the newest answer in the running mean.</summary>
    private const double Smoothing = 0.2;

    private readonly KvClientOptions _options;
    private readonly Func<string?> _clusterId;
    private readonly Action<NodeLink> _changed;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _dialling;
    private volatile KvConnection? _connection;
    private int _inFlight;
    private int _failures;
    private long _leftAloneUntil;
    private int _probing;
    private double _meanMs = LeastMeanMs;
    private long _measuredAt;

    public NodeLink(AdvertisedNode node, KvClientOptions options, Func<string?> clusterId, Action<NodeLink> changed)
    {
        Node = node;
        _options = options;
        _clusterId = clusterId;
        _changed = changed;
        _dialling = Task.Run(DialForeverAsync);
    }

    public AdvertisedNode Node { get; }

    /// <summary>What the node said of itself when it was dialled last; null before.</summary>
    public HelloAck? Server { get; private set; }

    /// <summary>Why the last dial failed.</summary>
    public KvException? LastFailure { get; private set; }

    public bool IsUsable => _connection is { IsOpen: true, GoAway: null };

    /// <summary>Requests of this client that the node has not answered.</summary>
    public int InFlight => Volatile.Read(ref _inFlight);

    /// <summary>
    /// What another request would cost here, to be compared. What was measured long ago counts less and less: a node that was slow is tried again.
    /// </summary>
    public double Cost
    {
        get
        {
            double idleSeconds = _options.Time.GetElapsedTime(Interlocked.Read(ref _measuredAt)).TotalSeconds;
            return (InFlight + 1) * Math.Max(LeastMeanMs, Volatile.Read(ref _meanMs) * Math.Pow(0.5, idleSeconds / HalfLifeSeconds));
        }
    }

    /// <summary>False while the node is left alone. When that is over one request is let through, and its end decides.</summary>
    public bool IsTrusted => Volatile.Read(ref _failures) < FailuresUntilLeftAlone
        || (_options.Time.GetTimestamp() >= Interlocked.Read(ref _leftAloneUntil) && Volatile.Read(ref _probing) == 0);

    public async ValueTask<RequestResult> SendAsync(KvRequest request, CancellationToken cancellationToken)
    {
        if (_connection is not { } connection)
        {
            return new RequestResult(RequestEnd.NotSent, null);
        }

        bool probes = Volatile.Read(ref _failures) >= FailuresUntilLeftAlone && Interlocked.Exchange(ref _probing, 1) == 0;
        Interlocked.Increment(ref _inFlight);
        long sent = _options.Time.GetTimestamp();
        try
        {
            RequestResult result = await connection.TrySendAsync(request, cancellationToken).ConfigureAwait(false);
            OnEnd(result, _options.Time.GetElapsedTime(sent).TotalMilliseconds);
            return result;
        }
        finally
        {
            Interlocked.Decrement(ref _inFlight);
            if (probes)
            {
                Volatile.Write(ref _probing, 0);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        if (_connection is { } connection)
        {
            await connection.DisposeAsync().ConfigureAwait(false);
        }

        await _dialling.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stopping.Dispose();
    }

    private void OnEnd(in RequestResult result, double ms)
    {
        bool silent = result.End is RequestEnd.TimedOut or RequestEnd.Lost;
        if (silent)
        {
            int failures = Interlocked.Increment(ref _failures);
            if (failures >= FailuresUntilLeftAlone)
            {
                long aloneMs = Math.Min(LeftAloneMs << Math.Min(failures - FailuresUntilLeftAlone, 4), MaxLeftAloneMs);
                Interlocked.Exchange(
                    ref _leftAloneUntil, _options.Time.GetTimestamp() + (aloneMs * _options.Time.TimestampFrequency / 1000));
            }
        }
        else if (result.Reply is not null)
        {
            Volatile.Write(ref _failures, 0);
        }

        double before = Volatile.Read(ref _meanMs);
        Volatile.Write(ref _meanMs, before + (Smoothing * (ms - before)));
        Interlocked.Exchange(ref _measuredAt, _options.Time.GetTimestamp());
    }

    private async Task DialForeverAsync()
    {
        int failures = 0;
        while (!_stopping.IsCancellationRequested)
        {
            try
            {
                KvConnection connection = await DialAsync().ConfigureAwait(false);
                failures = 0;
                _connection = connection;
                Volatile.Write(ref _failures, 0);
                LastFailure = null;
                _changed(this);
                await connection.Closed.ConfigureAwait(false);
                await connection.DisposeAsync().ConfigureAwait(false);
                _connection = null;
                _changed(this);
            }
            catch (KvException e)
            {
                failures++;
                LastFailure = e;
                _changed(this);
            }
            catch (OperationCanceledException)
            {
                return;
            }

            double most = Math.Min(FirstPauseMs << Math.Min(failures, 10), MaxPauseMs);
            var pause = TimeSpan.FromMilliseconds((most / 2) + (Random.Shared.NextDouble() * most / 2));
            await Task.Delay(pause, _options.Time, _stopping.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task<KvConnection> DialAsync()
    {
        KvEndpoint address = KvEndpoint.Parse(Node.Binary);
        string? clusterId = _clusterId();
        var options = new KvConnectionOptions
        {
            ClusterId = clusterId ?? "",
            ClientName = _options.ClientName,
            ConnectTimeout = _options.ConnectTimeout,
            Channel = ChannelOptions,
            Time = _options.Time,
        };
        KvConnection connection = await KvConnection.ConnectAsync(address.Host, address.Port, options, _stopping.Token).ConfigureAwait(false);
        if (Stranger(connection.Server, clusterId) is { } stranger)
        {
            await connection.DisposeAsync().ConfigureAwait(false);
            throw new KvException(ErrorCode.InvalidRequest, stranger) { Outcome = Outcome.NotApplied };
        }

        Server = connection.Server;
        return connection;
    }

    /// <summary>The server answers a little before the client would give up; so it is its reason that is reported.</summary>
    internal const int ReplyGraceMs = 40;

    internal static RequestChannelOptions ChannelOptions { get; } =
        new() { ReplyGraceMs = ReplyGraceMs, PingAfterMs = 1000, PongWithinMs = 1500 };

    // An address may have been given to another node, or to another cluster, since it was learned.
    private string? Stranger(HelloAck server, string? clusterId) =>
        clusterId is not null && server.ClusterId != clusterId
            ? $"{Node.Binary} belongs to cluster '{server.ClusterId}' now, and this client to '{clusterId}'; nothing is sent to it"
            : server.NodeId != Node.Node
                ? $"{Node.Binary} is node {server.NodeName} now, and not {Node.Name}"
                : null;
}
