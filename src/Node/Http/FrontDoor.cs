using KvStore.Node.Config;
using KvStore.Protocol;
using Microsoft.Extensions.ObjectPool;

namespace KvStore.Node.Http;

/// <summary>What the handlers of one node share: its configuration, the way to its store, and how answers are written.</summary>
internal sealed class FrontDoor
{
    /// <summary>Completions kept for reuse; more requests in flight than this allocate theirs.</summary>
    private const int RetainedCompletions = 4096;

    private readonly Func<StoreCalls?> _store;
    private readonly NodeDirectory _configuredNodes;
    private readonly ObjectPool<PendingReply> _pending = PendingReply.CreatePool(RetainedCompletions);

    public FrontDoor(FrontDoorOptions options, Func<StoreCalls?> store)
    {
        Config = options.Config;
        NodeName = options.NodeName;
        _store = store;
        _configuredNodes = new NodeDirectory(options.Config.Nodes);
    }

    public ClusterConfig Config { get; }

    public string NodeName { get; }

    /// <summary>Null until the node has recovered.</summary>
    public StoreCalls? Store => _store();

    public NodeDirectory Nodes => Store?.Nodes ?? _configuredNodes;

    public KvHeaders Headers { get; } = new();

    /// <summary>The one way in for every door.</summary>
    public ValueTask<KvReply> SubmitAsync(KvRequest request)
    {
        if (Store is { } store)
        {
            return PendingReply.SubmitAsync(_pending, store.Submit, request);
        }

        return ValueTask.FromResult(new KvReply
        {
            Code = ErrorCode.Starting,
            Outcome = Outcome.NotApplied,
            Detail = StartingDetail,
            RetryAfterMs = HttpLimits.DefaultRetryAfterMs,
        });
    }

    public Problem Starting() => new(ErrorCode.Starting, StartingDetail) { RetryAfterMs = HttpLimits.DefaultRetryAfterMs };

    public Task WriteProblemAsync(HttpContext context, Problem problem) => ProblemWriter.WriteAsync(context, problem, Nodes);

    private string StartingDetail => $"Node {NodeName} is reading its log; try again in a moment or ask another node.";
}
