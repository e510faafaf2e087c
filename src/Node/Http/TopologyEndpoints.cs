using System.Buffers.Text;
using System.Globalization;
using System.Text;
using System.Text.Json.Serialization.Metadata;
using System.Text.Unicode;
using KvStore.Node.Config;
using KvStore.Protocol;
using KvStore.Replication;
using Microsoft.AspNetCore.Http.Features;

namespace KvStore.Node.Http;

/// <summary>
/// What this node knows about the cluster. Everything that changes only with the routing table carries its epoch as ETag, so
/// that clients poll for the price of a 304.
/// </summary>
internal sealed class TopologyEndpoints(FrontDoor door)
{
    private const int LocatePrefixSegments = 2;

    /// <summary>A hash is computed beside the snapshots, at their pace; who waits longer than this is told to come back.</summary>
    private static readonly TimeSpan HashTimeout = TimeSpan.FromSeconds(60);

    public Task ClusterAsync(HttpContext context) => WriteVersionedAsync(
        context,
        TopologyJson.Default.ClusterDescription,
        (store, routing) => new ClusterDescription(
            door.Config.ClusterId, door.NodeName, routing.Epoch, door.Config.ReplicationFactor, routing.VirtualNodeCount,
            routing.GroupCount, DescribeNodes(store, routing)));

    public Task NodesAsync(HttpContext context) => WriteVersionedAsync(
        context, TopologyJson.Default.NodeList, (store, routing) => new NodeList(routing.Epoch, DescribeNodes(store, routing)));

    public Task RingAsync(HttpContext context) => WriteVersionedAsync(
        context,
        TopologyJson.Default.RingDescription,
        (_, routing) => new RingDescription(routing.Epoch, Limits.SlotCount, routing.VirtualNodeCount, DescribeArcs(routing)));

    public Task GroupsAsync(HttpContext context) => door.Store is { } store
        ? WriteAsync(context, TopologyJson.Default.GroupList, DescribeGroups(store))
        : door.WriteProblemAsync(context, door.Starting());

    public Task GroupAsync(HttpContext context)
    {
        if (door.Store is not { } store)
        {
            return door.WriteProblemAsync(context, door.Starting());
        }

        RoutingTable routing = store.Routing();
        string? text = context.Request.RouteValues["id"] as string;
        return TryParseGroup(text, routing, out GroupId group)
            ? WriteAsync(context, TopologyJson.Default.GroupDescription, DescribeGroup(store, routing, group, store.Groups()))
            : door.WriteProblemAsync(context, Problem.UnknownGroup(text ?? "", routing.GroupCount));
    }

    public async Task StateHashAsync(HttpContext context)
    {
        if (door.Store is not { } store)
        {
            await door.WriteProblemAsync(context, door.Starting());
            return;
        }

        string? text = context.Request.RouteValues["id"] as string;
        if (!TryParseGroup(text, store.Routing(), out GroupId group))
        {
            await door.WriteProblemAsync(context, Problem.UnknownGroup(text ?? "", store.Routing().GroupCount));
            return;
        }

        if (LocalStatus(store.Groups(), group) is not { } status)
        {
            await door.WriteProblemAsync(context, new Problem(
                ErrorCode.WrongNode,
                $"Node {door.NodeName} has no replica of group {group}; GET /v1/cluster/groups/{group} lists the nodes that have."));
            return;
        }

        // Continuations must not run on the thread that hashes: it is the one that writes snapshots.
        TaskCompletionSource<StateHash> hashed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        if (!store.TryHashState(group, hashed.SetResult))
        {
            await door.WriteProblemAsync(context, new Problem(
                ErrorCode.Overloaded, $"Node {door.NodeName} computes as many hashes as it may; try again later."));
            return;
        }

        try
        {
            StateHash state = await hashed.Task.WaitAsync(HashTimeout, context.RequestAborted);
            context.Response.Headers.CacheControl = "no-store";
            await WriteAsync(
                context, TopologyJson.Default.StateHashDescription,
                new StateHashDescription(group.Value, door.NodeName, status.ReplicaId, state.Applied, state.Hash.ToString("x16")));
        }
        catch (TimeoutException)
        {
            await door.WriteProblemAsync(context, new Problem(
                ErrorCode.Timeout, $"The hash of group {group} was not computed within {HashTimeout.TotalSeconds:0} s; try again later."));
        }
    }

    public Task LocateAsync(HttpContext context)
    {
        string rawTarget = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        Problem? problem = KeyInUrl.Read(rawTarget, LocatePrefixSegments, KeyForm.Text, door.Config.Limits.KeyBytes, out byte[] key);
        if (problem is not null)
        {
            return door.WriteProblemAsync(context, problem);
        }

        if (door.Store is not { } store)
        {
            return door.WriteProblemAsync(context, door.Starting());
        }

        RoutingTable routing = store.Routing();
        int virtualNode = routing.VirtualNodeOf(key);
        GroupId group = routing.GroupOf(virtualNode);
        NodeId leader = LocalStatus(store.Groups(), group)?.Leader ?? NodeId.None;
        bool isText = Utf8.IsValid(key);
        KeyLocation location = new(
            isText ? Encoding.UTF8.GetString(key) : Base64Url.EncodeToString(key), isText ? "utf8" : "base64url",
            Slot.Of(key), virtualNode, group.Value, store.Nodes.NameOf(leader), store.Nodes.UrlOf(leader),
            DescribeReplicas(store.Nodes, routing.ReplicasOf(group)), routing.Epoch);
        return WriteAsync(context, TopologyJson.Default.KeyLocation, location);
    }

    private Task WriteVersionedAsync<T>(HttpContext context, JsonTypeInfo<T> type, Func<StoreCalls, RoutingTable, T> describe)
    {
        if (door.Store is not { } store)
        {
            return door.WriteProblemAsync(context, door.Starting());
        }

        RoutingTable routing = store.Routing();
        context.Response.Headers.ETag = ETag.Of(routing.Epoch);
        context.Response.Headers.CacheControl = "no-cache";
        foreach (string? known in context.Request.Headers.IfNoneMatch)
        {
            if (known is not null && ETag.Matches(known, routing.Epoch))
            {
                context.Response.StatusCode = StatusCodes.Status304NotModified;
                return Task.CompletedTask;
            }
        }

        return WriteAsync(context, type, describe(store, routing));
    }

    private static Task WriteAsync<T>(HttpContext context, JsonTypeInfo<T> type, T body) =>
        context.Response.WriteAsJsonAsync(body, type, cancellationToken: context.RequestAborted);

    private static NodeDescription[] DescribeNodes(StoreCalls store, RoutingTable routing)
    {
        int[] replicas = new int[store.Nodes.Nodes.Count];
        for (uint group = 1; group <= routing.GroupCount; group++)
        {
            foreach (ReplicaPlacement placement in routing.ReplicasOf(new GroupId(group)))
            {
                replicas[placement.Node.Value - 1]++;
            }
        }

        return [.. store.Nodes.Nodes.Select((NodeConfig node, int i) => new NodeDescription(
            node.Id, (uint)i + 1, $"http://{node.Http}", node.Binary.ToString(), node.Zone, node.Weight, replicas[i]))];
    }

    // Neighbouring virtual nodes of one group are one arc: the bootstrap table has one arc per group.
    private static List<ArcDescription> DescribeArcs(RoutingTable routing)
    {
        int slotsPerVirtualNode = Limits.SlotCount / routing.VirtualNodeCount;
        List<ArcDescription> arcs = [];
        for (int first = 0; first < routing.VirtualNodeCount;)
        {
            int end = first + 1;
            while (end < routing.VirtualNodeCount && routing.GroupOf(end) == routing.GroupOf(first))
            {
                end++;
            }

            arcs.Add(new ArcDescription(
                first, end - 1, first * slotsPerVirtualNode, (end * slotsPerVirtualNode) - 1, routing.GroupOf(first).Value));
            first = end;
        }

        return arcs;
    }

    private static GroupList DescribeGroups(StoreCalls store)
    {
        RoutingTable routing = store.Routing();
        IReadOnlyList<GroupStatus> local = store.Groups();
        return new GroupList(routing.Epoch, [.. Enumerable.Range(1, routing.GroupCount).Select(
            number => DescribeGroup(store, routing, new GroupId((uint)number), local))]);
    }

    private static GroupDescription DescribeGroup(StoreCalls store, RoutingTable routing, GroupId group, IReadOnlyList<GroupStatus> local)
    {
        GroupStatus? status = LocalStatus(local, group);
        return new GroupDescription(
            group.Value,
            DescribeReplicas(store.Nodes, routing.ReplicasOf(group)),
            status is null ? null : store.Nodes.NameOf(status.Leader),
            status is null
                ? null
                : new LocalReplica(
                    status.ReplicaId, status.Role.ToLowerInvariant(), status.Term, status.Commit, status.Applied, status.FirstIndex,
                    status.LastIndex, status.LogBytes, status.Keys, status.SnapshotIndex, status.SnapshotsInstalled));
    }

    private static ReplicaDescription[] DescribeReplicas(NodeDirectory nodes, IReadOnlyList<ReplicaPlacement> replicas) =>
        [.. replicas.Select(placement => new ReplicaDescription(
            placement.ReplicaId, nodes.NameOf(placement.Node) ?? placement.Node.ToString(), nodes.UrlOf(placement.Node)))];

    private static bool TryParseGroup(string? text, RoutingTable routing, out GroupId group)
    {
        bool isNumber = uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out uint number);
        group = new GroupId(number);
        return isNumber && number >= 1 && number <= routing.GroupCount;
    }

    private static GroupStatus? LocalStatus(IReadOnlyList<GroupStatus> groups, GroupId group) =>
        groups.FirstOrDefault(status => status.Group == group);
}
