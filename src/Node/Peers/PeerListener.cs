using System.Collections.Concurrent;
using System.Net.Sockets;
using KvStore.Node.Doors;
using KvStore.Node.Logging;
using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Node.Peers;

/// <summary>
/// The peer port: accepts the connections other nodes dial, and hands their payloads to the store. Whoever speaks something
/// else is disconnected and counted; the node takes no harm.
/// </summary>
internal sealed class PeerListener(
    Socket listener, PeerGate gate, StoreNode store, PeerMeter meter, ILogger log, Action<string, Exception> failed,
    Action<HelloRefused> refusedByPeer)
{
    private const int AcceptRetryMs = 10;

    /// <summary>For telling somebody why it has to go.</summary>
    private const int LastWordTimeoutMs = 500;

    /// <summary>
    /// Who dials again and again, a node that waits for its upgrade or a stranger, must not fill the log: one line of a kind, for each
    /// node of the cluster and for all strangers together.
    /// </summary>
    private static readonly TimeSpan LineInterval = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<(HelloRefusal Reason, string Node), LogThrottle> _refused = [];
    private readonly LogThrottle _malformed = new(TimeProvider.System, LineInterval);
    private readonly LogThrottle _notAccepted = new(TimeProvider.System, LineInterval);

    private readonly TrackedTasks _connections = new();

    // The connection in use per peer. A new one replaces it: the peer has dialled again, so the old one is dead to it.
    private readonly Dictionary<NodeId, CancellationTokenSource> _current = [];

    /// <summary>
    /// For connections that have not said who they are; those of a node have places of their own. The oldest stranger makes room for the next,
    /// so none of them keeps a node out.
    /// </summary>
    public required Places Places { get; init; }

    /// <summary>From accept to a complete hello.</summary>
    public required int HelloMs { get; init; }

    public async Task RunAsync(CancellationToken stop)
    {
        try
        {
            while (true)
            {
                if (await AcceptAsync(stop).ConfigureAwait(false) is not { } socket)
                {
                    continue;
                }

                if (Enter(socket) is { } place)
                {
                    _connections.Run(() => ServeAsync(socket, place, stop));
                }
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // the way this loop ends
        }

        await _connections.WhenAllAsync().ConfigureAwait(false);
    }

    private async Task<Socket?> AcceptAsync(CancellationToken stop)
    {
        try
        {
            while (Places.IsFull)
            {
                await Task.Delay(AcceptRetryMs, stop).ConfigureAwait(false);
            }

            return await listener.AcceptAsync(stop).ConfigureAwait(false);
        }
        catch (SocketException e)
        {
            // Out of file descriptors, or the other side was gone before we looked: neither ends the node.
            if (_notAccepted.TryEnter(out long leftOut))
            {
                NodeLog.AcceptFailed(log, e.Message, leftOut);
            }

            await Task.Delay(AcceptRetryMs, stop).ConfigureAwait(false);
            return null;
        }
    }

    private Place? Enter(Socket socket)
    {
        try
        {
            if (Places.TryEnter(socket.RemoteEndPoint) is { } place)
            {
                return place;
            }
        }
        catch (SocketException)
        {
            // the other side is gone already
        }

        meter.Refused();
        socket.Dispose();
        return null;
    }

    private async Task ServeAsync(Socket socket, Place place, CancellationToken stop)
    {
        using var own = CancellationTokenSource.CreateLinkedTokenSource(stop, place.Ended);
        using var owned = socket;
        var remote = "?";
        var peer = NodeId.None;
        try
        {
            remote = $"{socket.RemoteEndPoint}"; // throws when the other side is gone already
            using var connection = new PeerConnection(socket);
            if (await AdmitAsync(connection, remote, place, own.Token).ConfigureAwait(false) is { } hello)
            {
                peer = hello.NodeId;
                remote = $"{hello.NodeName} ({remote})";
                TakeOver(peer, own);
                await ReceiveAsync(connection, peer, own.Token).ConfigureAwait(false);
            }
        }
        catch (PeerProtocolException e)
        {
            meter.Malformed();
            if (_malformed.TryEnter(out long leftOut))
            {
                NodeLog.PeerMalformed(log, remote, e.Message, leftOut);
            }
        }
        catch (Exception e) when (e is SocketException or IOException or OperationCanceledException)
        {
            // The connection is over. The peer dials again; our own connection to it tells whether it is gone.
        }
        catch (Exception e) // the top of a loop we own: what a peer said could not be stored, or an invariant broke
        {
            failed($"connection of {remote}", e);
        }
        finally
        {
            Leave(peer, own);
            place.Dispose();
        }
    }

    private async Task<PeerHello?> AdmitAsync(PeerConnection connection, string remote, Place place, CancellationToken stop)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(stop);
        timeout.CancelAfter(HelloMs);
        ReceivedHello received;
        try
        {
            received = await Handshake.ReceiveAsync(connection.Input, timeout.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (place.Ended.IsCancellationRequested)
        {
            meter.Refused();
            using var limit = new CancellationTokenSource(LastWordTimeoutMs);
            await Handshake.RefuseAsync(connection.Output, Full(), limit.Token).ConfigureAwait(false);
            return null;
        }

        if (received.Peer is not { } hello)
        {
            string problem = received.Failure ?? $"this is the peer port of {gate.Self}, where nodes meet; clients use its other doors";
            if (received.Failure is null || received.Answer is not null)
            {
                await Handshake.RefuseAsync(connection.Output, new HelloRefused(HelloRefusal.Malformed, problem), timeout.Token).ConfigureAwait(false);
            }

            throw new PeerProtocolException(problem);
        }

        // The secret first: nothing that a stranger says is looked at, let alone written down.
        var (proof, unproved) = await SecretRule.ApplyAsync(connection, received, gate.Secret, gate.Self, timeout.Token).ConfigureAwait(false);
        if ((unproved ?? gate.Judge(hello) ?? store.OnPeerHello(hello.NodeId, hello.Incarnation, hello.Level, hello.WallMs)) is not { } refused)
        {
            place.TryReserve(hello.NodeName);
            await Handshake.AcknowledgeAsync(connection.Output, gate.AckTo(hello), proof, timeout.Token).ConfigureAwait(false);
            return hello;
        }

        meter.Refused();
        string known = store.Options.NodeNames.Contains(hello.NodeName) ? hello.NodeName : string.Empty;
        if (_refused.GetOrAdd((refused.Reason, known), _ => new LogThrottle(TimeProvider.System, LineInterval)).TryEnter(out long leftOut))
        {
            NodeLog.PeerRefused(log, remote, refused.Detail, leftOut);
        }

        await Handshake.RefuseAsync(connection.Output, refused, proof, timeout.Token).ConfigureAwait(false);
        if (store.EndsBecauseOf(refused))
        {
            refusedByPeer(refused);
        }

        return null;
    }

    private HelloRefused Full() => new(
        HelloRefusal.TooManyConnections, $"{gate.Self} has as many connections as it takes that have not said who they are; say so at once");

    private async Task ReceiveAsync(PeerConnection connection, NodeId peer, CancellationToken stop) => await connection.ReceiveAsync(
        Limits.MaxPeerFrameBytes,
        (header, payload) =>
        {
            if (header.Kind == FrameKind.HelloRefused && HelloCodec.TryDecode(payload.Span, out HelloRefused? refused) == DecodeResult.Ok)
            {
                // Who dialled does not take us for the node it knew.
                refusedByPeer(refused!);
                return false;
            }

            if (header.Kind != FrameKind.PeerBatch)
            {
                throw new PeerProtocolException($"a frame of kind {header.Kind} does not belong here");
            }

            // A connection that was replaced must not slip older messages in between newer ones.
            if (stop.IsCancellationRequested)
            {
                return false;
            }

            meter.Received(payload.Length);
            if (!store.OnPeerPayload(peer, payload))
            {
                throw new PeerProtocolException("a payload is malformed");
            }

            return true;
        },
        stop).ConfigureAwait(false);

    private void TakeOver(NodeId peer, CancellationTokenSource own)
    {
        lock (_current)
        {
            if (_current.Remove(peer, out var older))
            {
                older.Cancel();
            }

            _current[peer] = own;
        }
    }

    // Under the lock, so that nobody cancels a source that is being disposed.
    private void Leave(NodeId peer, CancellationTokenSource own)
    {
        lock (_current)
        {
            if (_current.TryGetValue(peer, out var current) && current == own)
            {
                _current.Remove(peer);
            }
        }
    }
}
