using System.Net.Sockets;
using KvStore.Node.Config;
using KvStore.Node.Logging;
using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Node.Peers;

/// <summary>
/// Our outgoing half of the pair with one other node: dials, says hello, and sends what is queued. The other node's messages
/// come over its own connection to us, so two nodes never argue about whose connection to keep.
/// </summary>
internal sealed class PeerLink
{
    public const long ControlLaneBytes = 4 << 20;
    public const long AppendLaneBytes = 64 << 20;

    /// <summary>Control frames collected into one write before an append gets its turn.</summary>
    private const int ControlBurstBytes = 256 << 10;
    private const int FirstBackOffMs = 50;
    private const int MaxBackOffMs = 1000;
    private const int DialTimeoutMs = 2000;

    /// <summary>A connection that lived shorter than this does not earn an immediate retry: something keeps closing it.</summary>
    private const int SettledMs = 1000;

    private readonly PeerLane _control = new(ControlLaneBytes);
    private readonly PeerLane _append = new(AppendLaneBytes);
    private readonly PeerHello _hello;
    private readonly NodeAddress _address;
    private readonly int _heartbeatMs;
    private readonly PeerMeter _meter;
    private readonly ILogger _log;

    // Of the connection in use; null: there is none.
    private volatile Signal? _sender;

    // What the last log line about this peer said: only a change is worth another.
    private string _loggedState = string.Empty;

    public PeerLink(NodeId peer, NodeAddress address, PeerHello hello, int heartbeatMs, PeerMeter meter, ILogger log)
    {
        Peer = peer;
        _address = address;
        _hello = hello;
        _heartbeatMs = heartbeatMs;
        _meter = meter;
        _log = log;
    }

    public NodeId Peer { get; }

    /// <summary>What both sides have to know; null where the cluster has no secret.</summary>
    public ClusterSecret? Secret { get; init; }

    /// <summary>The connection is gone and did not come back within a heartbeat interval.</summary>
    public required Action<NodeId> Lost { get; init; }

    /// <summary>The peer has answered our hello; with null it lets us in.</summary>
    public required Action<NodeId, HelloRefused?> Answered { get; init; }

    /// <summary>What our wall clock shows, unix milliseconds.</summary>
    public required Func<ulong> WallMs { get; init; }

    /// <summary>Whether we let the peer in: null, or why not.</summary>
    public required Func<NodeId, HelloAck, HelloRefused?> Judge { get; init; }

    public bool TrySend(Lane lane, ReadOnlyMemory<byte> payload, ushort level)
    {
        if (_sender is not { } sender)
        {
            return false;
        }

        if (payload.Length > Limits.MaxPeerFrameBytes || !(lane == Lane.Control ? _control : _append).TryEnqueue(payload, level))
        {
            _meter.LaneFull();
            return false;
        }

        SendTurn.Wake(sender);
        return true;
    }

    /// <summary>Keeps a connection up until cancelled.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        var backOffMs = 0;
        var hadConnection = false;
        try
        {
            while (true)
            {
                var (dialled, ack) = await ReconnectAsync(hadConnection, backOffMs, stop).ConfigureAwait(false);
                using var connection = dialled;
                hadConnection = true;
                var since = Environment.TickCount64;
                await UseAsync(connection, ack.Level, stop).ConfigureAwait(false);
                backOffMs = Environment.TickCount64 - since >= SettledMs ? 0 : Math.Clamp(2 * backOffMs, FirstBackOffMs, MaxBackOffMs);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // the way this loop ends
        }
    }

    /// <summary>
    /// Dials until it works. After a loss, a heartbeat interval without success is evidence that the peer is gone: told once.
    /// </summary>
    private async Task<(PeerConnection Connection, HelloAck Ack)> ReconnectAsync(bool afterLoss, int backOffMs, CancellationToken stop)
    {
        using var restored = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var watch = afterLoss ? ReportLossAsync(restored.Token) : Task.CompletedTask;
        try
        {
            while (true)
            {
                if (backOffMs > 0)
                {
                    // Jitter: nodes that lost each other at one moment should not go on dialling at one moment.
                    await Task.Delay((int)(backOffMs * (0.75 + (Random.Shared.NextDouble() / 2))), stop).ConfigureAwait(false);
                }

                backOffMs = Math.Clamp(2 * backOffMs, FirstBackOffMs, MaxBackOffMs);
                if (await TryDialAsync(stop).ConfigureAwait(false) is not { } dialled)
                {
                    continue;
                }

                // Judged when no news of the loss can come any more: it would make the store forget what the peer has just said.
                await restored.CancelAsync().ConfigureAwait(false);
                await watch.ConfigureAwait(false);
                if (Judge(Peer, dialled.Ack) is not { } refused)
                {
                    _meter.Connected();
                    Log("connected", () => NodeLog.PeerConnected(_log, _hello.ExpectedPeer, $"{_address}"));
                    return dialled;
                }

                await SayWhyAsync(dialled, refused, stop).ConfigureAwait(false);
                dialled.Connection.Dispose();
                _meter.Refused();
                Log("unusable", () => NodeLog.PeerNotUsed(_log, _hello.ExpectedPeer, $"{_address}", refused.Detail));
            }
        }
        finally
        {
            await restored.CancelAsync().ConfigureAwait(false);
            await watch.ConfigureAwait(false);
        }
    }

    /// <summary>Whoever answered may not know what it lacks. An older build would only wonder about the frame.</summary>
    private static async Task SayWhyAsync((PeerConnection Connection, HelloAck Ack) dialled, HelloRefused refused, CancellationToken stop)
    {
        if (dialled.Ack.Process == 0)
        {
            return;
        }

        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(stop);
        timeout.CancelAfter(DialTimeoutMs);
        try
        {
            await Handshake.RefuseAsync(dialled.Connection.Output, refused, timeout.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (IsConnectionEnd(e) && !stop.IsCancellationRequested)
        {
            // it hears it the next time
        }
    }

    private async Task ReportLossAsync(CancellationToken restored)
    {
        await Task.Delay(_heartbeatMs, restored).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!restored.IsCancellationRequested)
        {
            _meter.Lost();
            Lost(Peer);
        }
    }

    private async Task<(PeerConnection Connection, HelloAck Ack)?> TryDialAsync(CancellationToken stop)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(stop);
        timeout.CancelAfter(DialTimeoutMs);
        Socket? socket = null;
        PeerConnection? connection = null;
        try
        {
            socket = new Socket(SocketType.Stream, ProtocolType.Tcp); // there may be no descriptor left: later, as everything here
            await socket.ConnectAsync(_address.ToEndPoint(), timeout.Token).ConfigureAwait(false);
            connection = new PeerConnection(socket);
            var answer = await Handshake.DialAsync(connection, _hello with { WallMs = WallMs() }, Secret, timeout.Token).ConfigureAwait(false);
            if (Accepts(answer))
            {
                return (connection, answer.Ack!);
            }
        }
        catch (Exception e) when (IsConnectionEnd(e) && !stop.IsCancellationRequested)
        {
            var reason = e is OperationCanceledException ? $"no answer within {DialTimeoutMs} ms" : e.Message;
            Unreachable(reason);
        }

        connection?.Dispose();
        socket?.Dispose();
        return null;
    }

    private bool Accepts(HandshakeResult answer)
    {
        if (answer.Failure is { } failure)
        {
            Unreachable(failure);
            return false;
        }

        if (answer.Ack is { } ack && ack.NodeName != _hello.ExpectedPeer)
        {
            Unreachable($"{Excerpt.Of(ack.NodeName)} answers there");
            return false;
        }

        Answered(Peer, answer.Refused);
        if (answer.Refused is { } refused)
        {
            Log($"refused {refused.Reason}", () => NodeLog.PeerRefusesUs(_log, _hello.ExpectedPeer, $"{_address}", refused.Detail));
            return false;
        }

        return true;
    }

    private void Unreachable(string reason) =>
        Log("unreachable", () => NodeLog.PeerUnreachable(_log, _hello.ExpectedPeer, $"{_address}", reason));

    /// <summary>
    /// Sends until the connection breaks or the other side closes it. What is still queued then is dropped: Raft sends it again.
    /// </summary>
    private async Task UseAsync(PeerConnection connection, ushort level, CancellationToken stop)
    {
        using var closed = CancellationTokenSource.CreateLinkedTokenSource(stop);
        _control.Begin(level);
        _append.Begin(level);
        var sender = new Signal();
        using var ended = closed.Token.UnsafeRegister(static state => ((Signal)state!).End(), sender);
        _sender = sender;
        var watch = WatchAsync(connection, closed);
        var reason = "closed by the other side";
        try
        {
            await SendQueuedAsync(connection, sender, closed.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (IsConnectionEnd(e))
        {
            reason = e is OperationCanceledException ? reason : e.Message;
        }
        finally
        {
            _sender = null;
            await closed.CancelAsync().ConfigureAwait(false);
            await watch.ConfigureAwait(false);
        }

        stop.ThrowIfCancellationRequested();
        Log("disconnected", () => NodeLog.PeerDisconnected(_log, _hello.ExpectedPeer, $"{_address}", reason));
    }

    private async Task SendQueuedAsync(PeerConnection connection, Signal sender, CancellationToken closed)
    {
        var frames = new FrameWriter();
        ulong sequence = 0;
        while (true)
        {
            frames.Clear();
            var payloads = 0;

            // Control first, always: a heartbeat waits for at most one append.
            while (frames.WrittenBytes < ControlBurstBytes && _control.TryDequeue(out var control))
            {
                frames.Write(FrameKind.PeerBatch, FrameFlags.None, ++sequence, control.Span);
                payloads++;
            }

            if (_append.TryDequeue(out var append))
            {
                frames.Write(FrameKind.PeerBatch, FrameFlags.AppendLane, ++sequence, append.Span);
                payloads++;
            }

            if (payloads == 0)
            {
                await sender.WaitAsync().ConfigureAwait(false);
                closed.ThrowIfCancellationRequested();
                continue;
            }

            await connection.SendAsync(frames.Written, closed).ConfigureAwait(false);
            _meter.Sent(payloads, frames.WrittenBytes);
        }
    }

    // Nothing is sent to us on this connection after the handshake: reading only tells when it ends.
    private static async Task WatchAsync(PeerConnection connection, CancellationTokenSource closed)
    {
        try
        {
            await connection.ReceiveAsync(0, (_, _) => false, closed.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (IsConnectionEnd(e))
        {
            // SendQueuedAsync, which is cancelled below, says what happened
        }

        await closed.CancelAsync().ConfigureAwait(false);
    }

    private static bool IsConnectionEnd(Exception e) =>
        e is SocketException or IOException or PeerProtocolException or OperationCanceledException;

    private void Log(string state, Action write)
    {
        if (_loggedState != state)
        {
            _loggedState = state;
            write();
        }
    }
}
