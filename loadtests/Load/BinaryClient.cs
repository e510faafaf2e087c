using System.Diagnostics;
using KvStore.Client;
using KvStore.LoadTests.Servers;
using KvStore.Protocol;

namespace KvStore.LoadTests.Load;

/// <summary>The binary door: a few connections per node, each with many requests in flight. A broken one is dialled again.</summary>
/// <param name="nodes">Nodes to ask; the index in this list is the node of SendAsync.</param>
/// <param name="connectionsPerNode">To each of them.</param>
/// <param name="ring">Whose part of a token a request carries; needed only where sessions are.</param>
internal sealed class BinaryClient(IReadOnlyList<NodeAddress> nodes, int connectionsPerNode, Ring? ring = null) : IStoreClient
{
    private readonly Line[][] _lines =
        [.. nodes.Select(node => Enumerable.Range(0, connectionsPerNode).Select(_ => new Line(node)).ToArray())];

    public int NodeCount => nodes.Count;

    public ValueTask<KvReply> SendAsync(int node, int lane, KvRequest request, ClientSession? session = null)
    {
        // User i has node i mod n, so its lane counts on from i / n: otherwise every user of a node would share one connection.
        var lines = _lines[node];
        var line = lines[lane / nodes.Count % lines.Length];
        return session is null ? line.SendAsync(request) : SendAsync(line, request, session);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var line in _lines.SelectMany(line => line))
        {
            await line.DisposeAsync();
        }
    }

    private async ValueTask<KvReply> SendAsync(Line line, KvRequest request, ClientSession session)
    {
        var token = session.Token;
        var group = (ring ?? throw new InvalidOperationException("a session needs the ring")).GroupOf(request.Key.Span);
        bool needsStrong = request.Read.Level == ReadLevel.Session && token.NeedsStrong(group);
        var reply = await line.SendAsync(request with
        {
            Session = token.Find(group),
            Read = needsStrong ? request.Read with { Level = ReadLevel.Strong } : request.Read,
        });
        session.GoOnWith(token.After(reply));
        return reply;
    }

    /// <summary>One connection to one node, or the attempt to have one.</summary>
    private sealed class Line(NodeAddress node) : IAsyncDisposable
    {
        private static readonly KvConnectionOptions Options = new() { ClientName = "loadtests", ConnectTimeout = TimeSpan.FromSeconds(2) };

        // A node that is down is not dialled for every request that is meant for it.
        private static readonly TimeSpan RedialPause = TimeSpan.FromMilliseconds(50);

        private readonly Lock _gate = new();
        private Task<KvConnection>? _dial;
        private long _dialledAt;

        public async ValueTask<KvReply> SendAsync(KvRequest request)
        {
            var dial = Dial();
            KvConnection connection;
            try
            {
                connection = await dial;
            }
            catch (KvException e)
            {
                return new KvReply { Code = e.Code, Outcome = Outcome.NotApplied, Detail = e.Message };
            }

            var result = await connection.TrySendAsync(request);
            if (!connection.IsOpen && Forget(dial))
            {
                await connection.DisposeAsync();
            }

            return result.Reply ?? WithoutReply(request, result);
        }

        public async ValueTask DisposeAsync()
        {
            if (_dial is { IsCompletedSuccessfully: true } dial)
            {
                await (await dial).DisposeAsync();
            }
        }

        private static KvReply WithoutReply(KvRequest request, RequestResult result) => result switch
        {
            { End: RequestEnd.Full } => new KvReply { Code = ErrorCode.Overloaded, Outcome = Outcome.NotApplied },
            { End: RequestEnd.Unsupported } => new KvReply { Code = ErrorCode.Unsupported, Outcome = Outcome.NotApplied },
            { NeverSent: true } => new KvReply { Code = ErrorCode.NoLeader, Outcome = Outcome.NotApplied },
            _ when request.IsWrite => new KvReply { Code = ErrorCode.Indeterminate, Outcome = Outcome.Unknown },
            _ => new KvReply { Code = ErrorCode.Timeout },
        };

        private Task<KvConnection> Dial()
        {
            lock (_gate)
            {
                bool failed = _dial is { IsFaulted: true } && Stopwatch.GetElapsedTime(_dialledAt) > RedialPause;
                if (_dial is null || failed)
                {
                    _dial = KvConnection.ConnectAsync(node.Binary, Options);
                    _dialledAt = Stopwatch.GetTimestamp();
                }

                return _dial;
            }
        }

        // True for whoever notices first; a connection dialled meanwhile stays.
        private bool Forget(Task<KvConnection> dial)
        {
            lock (_gate)
            {
                bool first = _dial == dial;
                _dial = first ? null : _dial;
                return first;
            }
        }
    }
}
