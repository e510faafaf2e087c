using KvStore.Node.Binary;
using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>Every route of a node, once: the router and the OpenAPI document are both made from this table.</summary>
internal static class Routes
{
    private const string Json = "application/json";
    private const string ProblemJson = "application/problem+json";

    public static IReadOnlyList<Route> Of(FrontDoor door, BinaryDoor binary)
    {
        IReadOnlyList<OperationRoute> operations = OperationRoute.AllOf(door);
        TopologyEndpoints topology = new(door);
        HealthEndpoints health = new(door);
        MetricsEndpoint metrics = new(door, binary);
        SessionEndpoint session = new(door);
        ExplainEndpoint explain = new(door);
        return
        [
            .. operations.SelectMany(operation => operation.Offered),
            new BatchEndpoint(door).Route,

            new(HttpMethods.Get, "/v1/locate/{key}", "LocateKey", Area.Topology,
                "Where a key lives: slot, group, leader, replicas", Plain(topology.LocateAsync))
            {
                Answers =
                [
                    new(200, "The way from the key to its replicas.", Json),
                    RouteAnswer.Problem(400, ErrorCode.InvalidRequest, ErrorCode.KeyNotAddressable),
                    RouteAnswer.Problem(414, ErrorCode.TooLarge),
                    RouteAnswer.Problem(503, ErrorCode.Starting),
                ],
            },
            new(HttpMethods.Get, "/v1/explain/{key}", "ExplainRead", Area.Topology, "Who could serve a read of this key now, and who would",
                Plain(explain.ExplainAsync))
            {
                Options = RequestKinds.Explain,
                Answers =
                [
                    new(
                        200,
                        "Slot, group, and each replica of it by its own word: role, term, applied index, age, whether it could serve the "
                            + "read and why; wouldServe says which node answers the read when it is sent here, and how.",
                        Json),
                    RouteAnswer.Problem(400, ErrorCode.InvalidRequest, ErrorCode.KeyNotAddressable, ErrorCode.SessionTokenInvalid),
                    RouteAnswer.Problem(414, ErrorCode.TooLarge),
                    new(431, "TooLarge: the session token.", ProblemJson),
                    RouteAnswer.Problem(503, ErrorCode.Starting),
                ],
            },
            new(HttpMethods.Get, "/v1/session", "MintSession", Area.Data, "A session token of what this node has applied now", Plain(session.MintAsync))
            {
                Answers =
                [
                    new(
                        200,
                        """{"session": text, "node": text, "groups": number, "overflow": boolean}; the token is in Kv-Session, too.""",
                        Json),
                    RouteAnswer.Problem(503, ErrorCode.Starting),
                ],
            },
            new(HttpMethods.Get, "/v1/cluster", "GetCluster", Area.Topology, "The cluster and its nodes", Plain(topology.ClusterAsync))
            {
                Answers = [new(200, "ETag is the ring epoch.", Json), RouteAnswer.Problem(503, ErrorCode.Starting)],
            },
            new(HttpMethods.Get, "/v1/cluster/nodes", "ListNodes", Area.Topology,
                "The nodes and how many replicas each holds", Plain(topology.NodesAsync))
            {
                Answers = [new(200, "ETag is the ring epoch.", Json), RouteAnswer.Problem(503, ErrorCode.Starting)],
            },
            new(HttpMethods.Get, "/v1/cluster/ring", "GetRing", Area.Topology,
                "The ring: arcs of slots and the group that owns each", Plain(topology.RingAsync))
            {
                Answers = [new(200, "ETag is the ring epoch.", Json), RouteAnswer.Problem(503, ErrorCode.Starting)],
            },
            new(HttpMethods.Get, "/v1/cluster/groups", "ListGroups", Area.Topology,
                "Every group, and this node's replica of it", Plain(topology.GroupsAsync))
            {
                Answers = [new(200, "Changes with every write, so it has no ETag.", Json), RouteAnswer.Problem(503, ErrorCode.Starting)],
            },
            new(HttpMethods.Get, "/v1/cluster/groups/{id}", "GetGroup", Area.Topology, "One group", Plain(topology.GroupAsync))
            {
                Answers =
                [
                    new(200, "Like one item of /v1/cluster/groups.", Json),
                    new(404, "There is no such group.", ProblemJson),
                    RouteAnswer.Problem(503, ErrorCode.Starting),
                ],
            },
            new(HttpMethods.Get, "/v1/cluster/groups/{id}/hash", "GetGroupHash", Area.Topology,
                "The hash of all that this node's replica of a group holds",
                Plain(topology.StateHashAsync))
            {
                Answers =
                [
                    new(
                        200,
                        "Computed for this request. Replicas that have applied the same index have the same hash, or one of them is wrong.",
                        Json),
                    new(404, "There is no such group.", ProblemJson),
                    RouteAnswer.Problem(421, ErrorCode.WrongNode),
                    RouteAnswer.Problem(429, ErrorCode.Overloaded),
                    RouteAnswer.Problem(503, ErrorCode.Starting),
                    RouteAnswer.Problem(504, ErrorCode.Timeout),
                ],
            },

            new(HttpMethods.Get, "/health/live", "CheckLive", Area.Operations, "The process answers", Plain(HealthEndpoints.LiveAsync))
            {
                Answers = [new(200, "Always.", Json)],
            },
            new(HttpMethods.Get, "/health/startup", "CheckStarted", Area.Operations, "The log has been read", Plain(health.StartupAsync))
            {
                Answers = [new(200, "From then on.", Json), RouteAnswer.Problem(503, ErrorCode.Starting)],
            },
            new(HttpMethods.Get, "/health/ready", "CheckReady", Area.Operations, "Send requests here", Plain(health.ReadyAsync))
            {
                Answers =
                [
                    new(200, "Every group of this node has known a leader since start, and the node is not draining.", Json),
                    RouteAnswer.Problem(503, ErrorCode.Starting, ErrorCode.NoLeader),
                ],
            },
            new(HttpMethods.Get, "/metrics", "GetMetrics", Area.Operations, "Counters and gauges for Prometheus", Plain(metrics.WriteAsync))
            {
                Answers = [new(200, "Text format 0.0.4.", "text/plain")],
            },
            new(HttpMethods.Get, "/openapi/v1.json", "GetOpenApi", Area.Operations, "This document", null)
            {
                Answers = [new(200, "OpenAPI 3.1.", Json)],
            },
            new(HttpMethods.Get, "/docs", "OpenDocs", Area.Operations, "This document as a page to try requests on", Plain(DocsPage.RedirectAsync))
            {
                Answers = [new(302, "To the page.")],
            },
            new(HttpMethods.Get, "/", "OpenHome", Area.Operations, "A page of links", Plain(context => WelcomePage.WriteAsync(context, door.Nodes.UrlOf(door.Nodes.NumberOf(door.NodeName))!)))
            {
                Answers = [new(200, "Where to go from here.", "text/html")],
            },
        ];
    }

    /// <summary>
    /// The REST side of every operation that has one, in the order of <see cref="OperationTable"/>: found by its type, so that an
    /// operation's route is one file.
    /// </summary>
    private static Func<HttpContext, Route, ValueTask> Plain(Func<HttpContext, Task> handler) => (context, _) => new ValueTask(handler(context));
}
