using System.Diagnostics;
using System.Threading.Tasks.Sources;
using KvStore.Protocol;
using KvStore.Replication;
using Microsoft.Extensions.ObjectPool;

namespace KvStore.Node.Http;

/// <summary>
/// The bridge from a worker's synchronous completion to an awaiting request: one pooled object, no Task per request. The awaiting
/// request resumes on the thread pool, never on the worker that completed it; when Submit completes inline the await does not
/// even suspend.
/// </summary>
internal sealed class PendingReply : IReplySink, IValueTaskSource<KvReply>
{
    private readonly ObjectPool<PendingReply> _pool;
    private ManualResetValueTaskSourceCore<KvReply> _core = new() { RunContinuationsAsynchronously = true };
    private RequestMeter? _meter;
    private KvRequest? _request;
    private long _started;
    private CancellationToken _aborted;

    private PendingReply(ObjectPool<PendingReply> pool)
    {
        _pool = pool;
    }

    /// <summary>Await exactly once: the object goes back to the pool with the result.</summary>
    public static ValueTask<KvReply> SubmitAsync(ObjectPool<PendingReply> pool, FrontDoor door, KvRequest request, CancellationToken aborted)
    {
        PendingReply pending = pool.Get();
        (pending._meter, pending._request, pending._started, pending._aborted) = (door.Meter, request, Stopwatch.GetTimestamp(), aborted);
        ValueTask<KvReply> reply = new(pending, pending._core.Version);
        door.Submit(request, pending);
        return reply;
    }

    public static ObjectPool<PendingReply> CreatePool(int retained)
    {
        Policy policy = new();
        DefaultObjectPool<PendingReply> pool = new(policy, retained);
        policy.Pool = pool;
        return pool;
    }

    public bool IsUnwanted => _aborted.IsCancellationRequested;

    public void Complete(KvReply reply)
    {
        _meter!.Record(_request!, reply, _started);
        (_request, _aborted) = (null, default); // the pool must not keep keys, values and connections alive
        _core.SetResult(reply);
    }

    public KvReply GetResult(short token)
    {
        KvReply reply = _core.GetResult(token);
        _core.Reset();
        _pool.Return(this);
        return reply;
    }

    public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    private sealed class Policy : IPooledObjectPolicy<PendingReply>
    {
        public ObjectPool<PendingReply>? Pool { get; set; }

        public PendingReply Create() => new(Pool!);

        public bool Return(PendingReply obj) => true;
    }
}
