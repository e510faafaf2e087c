using System.Buffers.Text;
using System.Text;
using System.Text.Unicode;
using KvStore.Protocol;
using KvStore.Replication;
using Microsoft.AspNetCore.Http.Features;

namespace KvStore.Node.Http;

/// <summary>
/// GET /v1/explain: who could serve a read now, and who would. Each replica is asked itself, all at once, because nobody else
/// knows how old its state is. The answer is a snapshot: the read itself may meet another one.
/// </summary>
internal sealed class ExplainEndpoint(FrontDoor door)
{
    private const int PrefixSegments = 2;

    /// <summary>Milliseconds a replica has for its answer. Late: not reachable.</summary>
    private const int ReplicaLimitMs = 1000;

    public async Task ExplainAsync(HttpContext context)
    {
        byte[] key = [];
        string rawTarget = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        Problem? problem = RequestOptions.Read(
                context.Request, RequestKinds.Explain, "explain", door.Config, out RequestOptions options)
            ?? KeyInUrl.Read(rawTarget, PrefixSegments, options.KeyForm, door.Config.Limits.KeyBytes, out key);
        if (problem is not null)
        {
            await door.WriteProblemAsync(context, problem);
            return;
        }

        if (door.Store is not { } store)
        {
            await door.WriteProblemAsync(context, door.Starting());
            return;
        }

        RoutingTable routing = store.Routing();
        int virtualNode = routing.VirtualNodeOf(key);
        GroupId group = routing.GroupOf(virtualNode);
        KvRequest read = door.ReadRequest(new Get(key, withoutValue: true), options, hopsLeft: 0);
        ReplicaAnswer[] replicas = await Task.WhenAll(
            routing.ReplicasOf(group).Select(placement => AskAsync(store, placement.Node, read, context.RequestAborted)));

        bool isText = Utf8.IsValid(key);
        Explanation explanation = new(
            isText ? Encoding.UTF8.GetString(key) : Base64Url.EncodeToString(key), isText ? "utf8" : "base64url",
            Slot.Of(key), virtualNode, group.Value, door.NodeName,
            new ExplainedRead(
                KvHeaders.NameOf(read.Read.Level), read.Read.MaxStalenessMs > 0 ? read.Read.MaxStalenessMs : null, read.Read.MaxLag,
                read.Session.IsNone ? null : read.Session.Applied, read.Read.OnUnmet.ToString().ToLowerInvariant()),
            new ReadForecast(
                read with { HopsLeft = 1 }, replicas, store.Groups().FirstOrDefault(own => own.Group == group), store.Nodes,
                store.Nodes.NumberOf(door.NodeName)).Foresee(),
            [.. replicas.Select(replica => Describe(replica, read, store.Nodes))]);
        context.Response.Headers.CacheControl = "no-store";
        await context.Response.WriteAsJsonAsync(
            explanation, ExplanationJson.Default.Explanation, cancellationToken: context.RequestAborted);
    }

    private static async Task<ReplicaAnswer> AskAsync(StoreCalls store, NodeId node, KvRequest read, CancellationToken cancellation)
    {
        Answer answer = new();
        store.SubmitTo(
            node,
            ReadRule.Question(read) with { TimeoutMs = ReplicaLimitMs },
            answer);
        try
        {
            return new ReplicaAnswer(node, await answer.Reply.WaitAsync(TimeSpan.FromMilliseconds(ReplicaLimitMs), cancellation));
        }
        catch (TimeoutException)
        {
            return new ReplicaAnswer(node, null);
        }
    }

    private static ExplainedReplica Describe(ReplicaAnswer replica, KvRequest read, NodeDirectory nodes)
    {
        (bool canServe, string reason) = replica.Judge(read);
        Evidence? evidence = replica.Evidence;
        return new ExplainedReplica(
            nodes.NameOf(replica.Node) ?? replica.Node.ToString(),
            evidence is not null,
            evidence?.Role.ToString().ToLowerInvariant(),
            evidence?.Term,
            evidence?.Applied,
            evidence is { AgeMs: not Evidence.AgeUnknown } ? evidence.Value.AgeMs : null,
            replica.Reply?.Lag?.Entries,
            canServe,
            reason);
    }

    /// <summary>Not the pooled completion of the data routes: this one may be given up before it is completed.</summary>
    private sealed class Answer : IReplySink
    {
        private readonly TaskCompletionSource<KvReply> _reply = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<KvReply> Reply => _reply.Task;

        public void Complete(KvReply reply) => _reply.TrySetResult(reply);
    }
}
