using Grpc.Core;
using Grpc.Net.Client;
using KvStore.LoadTests.Servers;
using KvStore.Protocol;

namespace KvStore.LoadTests.Load;

/// <summary>
/// The peer to compare with: etcd over gRPC, asked at its leader, which is what its own clients do at best. Reads: strong is linearizable,
/// eventual is serializable. Messages are three fields, so they are written here (<see cref="Etcd"/>) and not generated.
/// </summary>
internal sealed class EtcdClient(IReadOnlyList<NodeAddress> nodes) : IStoreClient
{
    /// <summary>Streams of one HTTP/2 connection are few and its frames go one by one; etcd's own benchmark uses several, too.</summary>
    private const int ConnectionsPerNode = 8;
    private const int GraceMs = 1000;

    private readonly CallInvoker[][] _invokers =
        [.. nodes.Select(node => Enumerable.Range(0, ConnectionsPerNode).Select(_ => InvokerOf(node)).ToArray())];

    private volatile Task<int>? _leader;

    public int NodeCount => nodes.Count;

    public async ValueTask<KvReply> SendAsync(int node, int lane, KvRequest request, ClientSession? session = null)
    {
        var options = new CallOptions(deadline: DateTime.UtcNow.AddMilliseconds(request.TimeoutMs + GraceMs));
        try
        {
            int leader = await (_leader ??= FindLeaderAsync());
            CallInvoker invoker = _invokers[leader][lane % ConnectionsPerNode];
            using AsyncUnaryCall<byte[]> call = request.Operation is Put put
                ? invoker.AsyncUnaryCall(Etcd.Put, host: null, options, Etcd.PutRequest(put.Key.Span, put.Value.Span))
                : invoker.AsyncUnaryCall(Etcd.Range, host: null, options, Etcd.RangeRequest(request.Key.Span, request.Read.Level != ReadLevel.Strong));
            await call.ResponseAsync;
            return new KvReply();
        }
        catch (RpcException e)
        {
            _leader = null;
            return new KvReply { Code = ErrorCode.Indeterminate, Outcome = Outcome.Unknown, Detail = e.Message };
        }
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    // The node that says that it is the leader itself; the first one while there is none.
    private async Task<int> FindLeaderAsync()
    {
        for (int node = 0; node < nodes.Count; node++)
        {
            using AsyncUnaryCall<byte[]> call = _invokers[node][0].AsyncUnaryCall(Etcd.Status, host: null, default, []);
            if (Etcd.IsLeader(await call.ResponseAsync))
            {
                return node;
            }
        }

        return 0;
    }

    // Each channel has a handler of its own, and so a connection of its own.
    private static CallInvoker InvokerOf(NodeAddress node) => GrpcChannel.ForAddress(node.Http, new GrpcChannelOptions
    {
        HttpHandler = new SocketsHttpHandler { ActivityHeadersPropagator = null, UseProxy = false },
        DisposeHttpClient = true,
    }).CreateCallInvoker();
}
