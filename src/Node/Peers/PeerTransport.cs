using System.Net.Sockets;
using KvStore.Node.Config;
using KvStore.Node.Doors;
using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Node.Peers;

/// <summary>
/// The network of one node over TCP: to every other node a connection it dials for Raft messages and one for forwarded
/// requests; from every other node the connection that node dials. Created before the store, which sends through it;
/// <see cref="Start"/> opens it.
/// </summary>
internal sealed class PeerTransport : ITransport, IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly PeerMeter _meter = new();
    private readonly Dictionary<NodeId, PeerLink> _links = [];
    private readonly Dictionary<NodeId, ForwardLink> _forwards = [];

    // Peers whose last answer was that our layout is not theirs.
    private readonly HashSet<NodeId> _differing = [];
    private readonly PeerGate _gate;
    private readonly Socket _listener;
    private readonly ILogger _log;
    private readonly Action<string, Exception> _failed;
    private readonly Action<HelloRefused> _refusedByCluster;
    private volatile StoreNode? _store;
    private Task _loops = Task.CompletedTask;

    /// <param name="nodes">All nodes by number - 1, with the ports they really have.</param>
    /// <param name="self">Who we are.</param>
    /// <param name="gate">Who may connect.</param>
    /// <param name="listener">The bound peer port; owned by the transport from here on.</param>
    /// <param name="heartbeatMs">How long a lost connection may take to come back before the peer counts as gone.</param>
    /// <param name="log">Log of this node.</param>
    /// <param name="failed">The node cannot go on: where, and why.</param>
    /// <param name="refusedByCluster">The others do not let us in and are right about it: why.</param>
    public PeerTransport(
        IReadOnlyList<NodeConfig> nodes, NodeId self, PeerGate gate, Socket listener, int heartbeatMs, ILogger log,
        Action<string, Exception> failed, Action<HelloRefused> refusedByCluster)
    {
        (_gate, _listener, _log, _failed, _refusedByCluster) = (gate, listener, log, failed, refusedByCluster);
        for (var i = 0; i < nodes.Count; i++)
        {
            var peer = new NodeId((uint)i + 1);
            if (peer != self)
            {
                _links[peer] = new PeerLink(peer, nodes[i].Peer, gate.HelloTo(nodes[i].Id), heartbeatMs, _meter, log)
                {
                    Secret = gate.Secret,
                    WallMs = () => gate.WallMs,
                    Lost = OnLost,
                    Answered = OnAnswered,
                    Judge = Judge,
                };
                _forwards[peer] = new ForwardLink(nodes[i], gate.ClientHello(), gate.Secret);
            }
        }
    }

    public PeerCounters Counters => _meter.Read() with { IncarnationsRefused = _gate.IncarnationsRefused };

    /// <summary>Of the peer port.</summary>
    public required Places Places { get; init; }

    /// <summary>From accept to a complete hello on the peer port.</summary>
    public required int HelloMs { get; init; }

    /// <summary>Opens both directions: payloads now reach the store.</summary>
    public void Start(StoreNode store)
    {
        _store = store;
        var listener = new PeerListener(_listener, _gate, store, _meter, _log, _failed, OnRefusedByDialler) { Places = Places, HelloMs = HelloMs };
        _loops = Task.WhenAll(
            [
                RunAsync("peer port", listener.RunAsync),
                .. _links.Values.Select(link => RunAsync($"connection to node {link.Peer}", link.RunAsync)),
            ]);
    }

    public bool Send(NodeId to, Lane lane, ReadOnlyMemory<byte> payload, ushort level) => _links[to].TrySend(lane, payload, level);

    public void Forward(NodeId to, KvRequest request, IForwardCompletion completion) => _forwards[to].Forward(request, completion);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _loops.ConfigureAwait(false);
        foreach (var forward in _forwards.Values)
        {
            await forward.DisposeAsync().ConfigureAwait(false);
        }

        _listener.Dispose();
        _stop.Dispose();
    }

    private async Task RunAsync(string what, Func<CancellationToken, Task> loop)
    {
        try
        {
            await loop(_stop.Token).ConfigureAwait(false);
        }
        catch (Exception e) // the top of a loop we own: it must not end in silence
        {
            _failed(what, e);
        }
    }

    private HelloRefused? Judge(NodeId peer, HelloAck ack)
    {
        HelloRefused? refused = _gate.Judge(peer, ack) ?? _store?.OnPeerHello(peer, ack.Incarnation, ack.Level, ack.WallMs);
        if (refused is not null && _store?.EndsBecauseOf(refused) == true)
        {
            _refusedByCluster(refused);
        }

        return refused;
    }

    /// <summary>Somebody whom we let in has found that we are not who we say we are.</summary>
    private void OnRefusedByDialler(HelloRefused refused)
    {
        if (EndsBecauseOf(refused))
        {
            _refusedByCluster(refused);
        }
    }

    private bool EndsBecauseOf(HelloRefused refused) => IsAboutOurPast(refused) || _store?.EndsBecauseOf(refused) == true;

    private static bool IsAboutOurPast(HelloRefused refused) => refused.Reason is HelloRefusal.UuidChanged or HelloRefusal.IncarnationTooOld;

    private void OnLost(NodeId peer) => _store?.OnPeerLost(peer);

    /// <summary>
    /// A refusal that is about our own past ends the node at once. One about the layout says only that two nodes differ, and the
    /// one that asks may be the one that is right: we give way when more than half of the others say so.
    /// </summary>
    private void OnAnswered(NodeId peer, HelloRefused? refused)
    {
        if (refused is null)
        {
            _gate.LetInBy(peer);
        }
        else if (EndsBecauseOf(refused))
        {
            _refusedByCluster(refused);
            return;
        }

        var differs = refused?.Reason is HelloRefusal.LayoutMismatch or HelloRefusal.WrongCluster;
        bool outvoted;
        lock (_differing)
        {
            _ = differs ? _differing.Add(peer) : _differing.Remove(peer);
            outvoted = differs && 2 * _differing.Count > _links.Count;
        }

        if (outvoted)
        {
            _refusedByCluster(refused!);
        }
    }
}
