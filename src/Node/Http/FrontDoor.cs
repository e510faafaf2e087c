using KvStore.Node.Config;
using KvStore.Node.Doors;
using KvStore.Node.Peers;
using KvStore.Protocol;
using KvStore.Replication;
using Microsoft.Extensions.ObjectPool;

namespace KvStore.Node.Http;

/// <summary>What the handlers of one node share: its configuration, the way to its store, and how answers are written.</summary>
internal sealed class FrontDoor : IDisposable
{
    /// <summary>Completions kept for reuse; more requests in flight than this allocate theirs.</summary>
    private const int RetainedCompletions = 4096;

    private readonly CancellationTokenSource _draining = new();
    private readonly Func<StoreCalls?> _store;
    private readonly NodeDirectory _configuredNodes;
    private readonly KvHeaders _headers;
    private readonly ObjectPool<PendingReply> _pending = PendingReply.CreatePool(RetainedCompletions);

    public FrontDoor(FrontDoorOptions options, Func<StoreCalls?> store)
    {
        Config = options.Config;
        NodeName = options.NodeName;
        _store = store;
        Peers = options.Peers;
        _headers = new KvHeaders(options.Config.ClusterId);
        Bodies = new BodyRoom(options.Config.Limits.ShareOfDoors(BodyRoom.MostBytes));
        Answers = new AnswerBudget(Math.Max(AnswerBudget.LeastBytes, options.Config.Limits.ShareOfDoors(AnswerBudget.MostBytes)));
        DoorSettings doors = options.Config.Doors;
        Places = new Places(doors.Connections, doors.ConnectionsPerAddress, doors.PlacesForRefusals);
        _configuredNodes = new NodeDirectory(options.Config.Nodes);
    }

    public ClusterConfig Config { get; }

    public string NodeName { get; }

    public Func<PeerCounters> Peers { get; }

    public RequestMeter Meter { get; } = new();

    /// <summary>For values of answers over REST: a sixteenth of the node's memory, where that is known.</summary>
    public AnswerBudget Answers { get; }

    /// <summary>For bodies that have not come whole: a sixteenth of the node's memory, where that is known.</summary>
    public BodyRoom Bodies { get; }

    /// <summary>Of the REST port.</summary>
    public Places Places { get; }

    /// <summary>Of the peer port: connections that have not proved to be a node's. Those of a node are as many as there are nodes.</summary>
    public Places PeerPlaces { get; } = new(
        DoorSettings.StrangersAtPeerPort, DoorSettings.StrangersAtPeerPort, reservedPerNode: DoorSettings.ConnectionsPerNode);

    /// <summary>Null until the node has recovered.</summary>
    public StoreCalls? Store => _store();

    public NodeDirectory Nodes => Store?.Nodes ?? _configuredNodes;

    /// <summary>The one way in for every door. Any thread; the sink is completed exactly once, here or later.</summary>
    public void Submit(KvRequest request, IReplySink sink)
    {
        if (Store is not { } store)
        {
            sink.Complete(new KvReply
            {
                Code = ErrorCode.Starting,
                Outcome = Outcome.NotApplied,
                Detail = StartingDetail,
                RetryAfterMs = HttpLimits.DefaultRetryAfterMs,
            });
        }
        else
        {
            store.Submit(request, sink);
        }
    }

    /// <param name="request">What is asked.</param>
    /// <param name="aborted">Of a read: whoever asked is gone. It is answered all the same, without being executed if it still waits for its turn.</param>
    public ValueTask<KvReply> SubmitAsync(KvRequest request, CancellationToken aborted = default) =>
        PendingReply.SubmitAsync(_pending, this, request, aborted);

    /// <summary>A read on the terms its caller named.</summary>
    public KvRequest ReadRequest(ReadOperation operation, in RequestOptions options, byte hopsLeft) => new()
    {
        Operation = operation,
        Read = TermsOf(LevelOf(operation.Key.Span, options), options),
        Session = SessionPointOf(operation.Key.Span, options),
        TimeoutMs = options.TimeoutMs,
        HopsLeft = hopsLeft,
    };

    /// <summary>Most reads name no bounds, and share their terms.</summary>
    private static ReadTerms TermsOf(ReadLevel level, in RequestOptions options) =>
        options is { MaxStalenessMs: 0, MaxLag: null, OnUnmet: OnUnmet.Forward } && level is ReadLevel.Strong or ReadLevel.Eventual
            ? level == ReadLevel.Strong ? ReadTerms.Strong : ReadTerms.Eventual
            : new ReadTerms
            {
                Level = level,
                MaxStalenessMs = options.MaxStalenessMs,
                MaxLag = options.MaxLag,
                OnUnmet = options.OnUnmet,
            };

    /// <summary>
    /// A token that dropped groups cannot say what the session saw of an absent one; a strong read shows it, whatever it was.
    /// </summary>
    private ReadLevel LevelOf(ReadOnlySpan<byte> key, in RequestOptions options) =>
        options is { Level: ReadLevel.Session, Session: { } session } && Store is { } store
            && session.NeedsStrong(store.Routing().GroupOf(key))
            ? ReadLevel.Strong
            : options.Level;

    /// <summary>What the caller's session has seen of the key's group; none while the node is starting, which answers nothing.</summary>
    public SessionPoint SessionPointOf(ReadOnlySpan<byte> key, in RequestOptions options) =>
        options.Session is { } session && Store is { } store ? session.Find(store.Routing().GroupOf(key)) : default;

    /// <summary>Cancelled when the node takes nothing new any more.</summary>
    public CancellationToken Draining => _draining.Token;

    /// <summary>Requests whose bodies are still on their way are answered at once: the store would not take them.</summary>
    public void BeginDrain() => _draining.Cancel();

    /// <summary>
    /// The body, or null when it was larger and that has been answered. A node that begins to drain ends the reading as an operation that was
    /// cancelled, which <see cref="RequestBoundary"/> answers.
    /// </summary>
    public async ValueTask<byte[]?> ReadBodyAsync(HttpContext context, string limitName, int limit)
    {
        byte[]? body = await RequestBody.ReadAsync(context.Request, limit, Bodies, Draining, context.RequestAborted);
        if (body is null)
        {
            // The rest of the body is not worth reading: the connection ends with this answer.
            context.Response.Headers.Connection = "close";
            await WriteProblemAsync(context, Problem.BodyTooLarge(limitName, limit));
        }

        return body;
    }

    public Problem Stopping() =>
        new(ErrorCode.Draining, $"Node {NodeName} is stopping; ask another node.") { RetryAfterMs = HttpLimits.DefaultRetryAfterMs };

    public Problem Full() => new(
        ErrorCode.Overloaded, $"Node {NodeName} has as many connections as it takes, and all are at work; try again in a moment or ask another node.")
    {
        Status = StatusCodes.Status503ServiceUnavailable,
        Outcome = Outcome.NotApplied,
        RetryAfterMs = HttpLimits.DefaultRetryAfterMs,
    };

    public Problem Starting() => new(ErrorCode.Starting, StartingDetail) { RetryAfterMs = HttpLimits.DefaultRetryAfterMs };

    public void SetHeaders(HttpResponse response, KvReply reply, SessionToken? session, long started) =>
        _headers.Set(response, reply, session, Nodes, Store?.Routing().Epoch ?? 0, started);

    public Task WriteProblemAsync(HttpContext context, Problem problem) => ProblemWriter.WriteAsync(context, problem, Nodes);

    public void Dispose() => _draining.Dispose();

    private string StartingDetail => $"Node {NodeName} is reading its log; try again in a moment or ask another node.";
}
