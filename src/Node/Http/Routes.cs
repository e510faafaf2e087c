using KvStore.Node.Binary;
using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>Every route of a node, once: the router and the OpenAPI document are both made from this table.</summary>
internal static class Routes
{
    private const string Data = "Data";
    private const string Topology = "Topology";
    private const string Operations = "Operations";
    private const string Json = "application/json";
    private const string ProblemJson = "application/problem+json";

    private static readonly RouteAnswer[] EveryRequest =
    [
        RouteAnswer.Problem(400, ErrorCode.InvalidRequest, ErrorCode.KeyNotAddressable, ErrorCode.SessionTokenInvalid),
        RouteAnswer.Problem(414, ErrorCode.TooLarge),
        RouteAnswer.Problem(421, ErrorCode.WrongNode),
        RouteAnswer.Problem(429, ErrorCode.Overloaded),
        new(431, "TooLarge: the session token.", ProblemJson),
        new(307, "Kv-Route: redirect, and another node leads: Location names the same path there."),
    ];

    private static readonly RouteAnswer[] EveryRead =
    [
        .. EveryRequest,
        RouteAnswer.Problem(503, ErrorCode.NoLeader, ErrorCode.TooStale, ErrorCode.Starting, ErrorCode.Draining),
        RouteAnswer.Problem(504, ErrorCode.Timeout),
    ];

    private static readonly RouteAnswer[] EveryWrite =
    [
        .. EveryRequest,
        RouteAnswer.Problem(409, ErrorCode.NotANumber, ErrorCode.IdempotencyInFlight, ErrorCode.IdempotencyExpired),
        RouteAnswer.Problem(413, ErrorCode.TooLarge),
        RouteAnswer.Problem(422, ErrorCode.IdempotencyReused),
        RouteAnswer.Problem(503, ErrorCode.NoLeader, ErrorCode.Starting, ErrorCode.Draining),
        RouteAnswer.Problem(504, ErrorCode.Indeterminate, ErrorCode.NotOnAll),
        RouteAnswer.Problem(507, ErrorCode.DiskFull),
    ];

    private static readonly RouteAnswer ConditionFailed = RouteAnswer.Problem(412, ErrorCode.ConditionFailed);

    public static IReadOnlyList<Route> Of(FrontDoor door, BinaryDoor binary)
    {
        KvEndpoints kv = new(door);
        TopologyEndpoints topology = new(door);
        HealthEndpoints health = new(door);
        MetricsEndpoint metrics = new(door, binary);
        SessionEndpoint session = new(door);
        ExplainEndpoint explain = new(door);
        return
        [
            .. KeyRoutes(kv, "/v1/kv/{key}", KeyForm.Text, suffix: ""),
            .. KeyRoutes(kv, "/v1/b64/{key}", KeyForm.Base64Url, suffix: "ByBase64Key"),
            new(HttpMethods.Post, "/v1/incr/{key}", "IncrementCounter", Data,
                "Add to a counter", context => kv.IncrementAsync(context, KeyForm.Text))
            {
                Options = RequestKinds.Increment,
                RequestMediaTypes = [Json],
                RequestDescription =
                    """{"delta": 1, "initial": 0}; members and body may be left out. An absent key becomes initial + delta.""",
                Answers =
                [
                    new(200, """{"value": number, "etag": text, "revision": text}""", Json),
                    new(415, "The body is not JSON.", ProblemJson),
                    .. EveryWrite,
                ],
            },

            new(HttpMethods.Get, "/v1/locate/{key}", "LocateKey", Topology,
                "Where a key lives: slot, group, leader, replicas", topology.LocateAsync)
            {
                Answers =
                [
                    new(200, "The way from the key to its replicas.", Json),
                    RouteAnswer.Problem(400, ErrorCode.InvalidRequest, ErrorCode.KeyNotAddressable),
                    RouteAnswer.Problem(414, ErrorCode.TooLarge),
                    RouteAnswer.Problem(503, ErrorCode.Starting),
                ],
            },
            new(HttpMethods.Get, "/v1/explain/{key}", "ExplainRead", Topology, "Who could serve a read of this key now, and who would",
                explain.ExplainAsync)
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
            new(HttpMethods.Get, "/v1/session", "MintSession", Data, "A session token of what this node has applied now", session.MintAsync)
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
            new(HttpMethods.Get, "/v1/cluster", "GetCluster", Topology, "The cluster and its nodes", topology.ClusterAsync)
            {
                Answers = [new(200, "ETag is the ring epoch.", Json), RouteAnswer.Problem(503, ErrorCode.Starting)],
            },
            new(HttpMethods.Get, "/v1/cluster/nodes", "ListNodes", Topology,
                "The nodes and how many replicas each holds", topology.NodesAsync)
            {
                Answers = [new(200, "ETag is the ring epoch.", Json), RouteAnswer.Problem(503, ErrorCode.Starting)],
            },
            new(HttpMethods.Get, "/v1/cluster/ring", "GetRing", Topology,
                "The ring: arcs of slots and the group that owns each", topology.RingAsync)
            {
                Answers = [new(200, "ETag is the ring epoch.", Json), RouteAnswer.Problem(503, ErrorCode.Starting)],
            },
            new(HttpMethods.Get, "/v1/cluster/groups", "ListGroups", Topology,
                "Every group, and this node's replica of it", topology.GroupsAsync)
            {
                Answers = [new(200, "Changes with every write, so it has no ETag.", Json), RouteAnswer.Problem(503, ErrorCode.Starting)],
            },
            new(HttpMethods.Get, "/v1/cluster/groups/{id}", "GetGroup", Topology, "One group", topology.GroupAsync)
            {
                Answers =
                [
                    new(200, "Like one item of /v1/cluster/groups.", Json),
                    new(404, "There is no such group.", ProblemJson),
                    RouteAnswer.Problem(503, ErrorCode.Starting),
                ],
            },
            new(HttpMethods.Get, "/v1/cluster/groups/{id}/hash", "GetGroupHash", Topology,
                "The hash of all that this node's replica of a group holds",
                topology.StateHashAsync)
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

            new(HttpMethods.Get, "/health/live", "CheckLive", Operations, "The process answers", HealthEndpoints.LiveAsync)
            {
                Answers = [new(200, "Always.", Json)],
            },
            new(HttpMethods.Get, "/health/startup", "CheckStarted", Operations, "The log has been read", health.StartupAsync)
            {
                Answers = [new(200, "From then on.", Json), RouteAnswer.Problem(503, ErrorCode.Starting)],
            },
            new(HttpMethods.Get, "/health/ready", "CheckReady", Operations, "Send requests here", health.ReadyAsync)
            {
                Answers =
                [
                    new(200, "Every group of this node has known a leader since start, and the node is not draining.", Json),
                    RouteAnswer.Problem(503, ErrorCode.Starting, ErrorCode.NoLeader),
                ],
            },
            new(HttpMethods.Get, "/metrics", "GetMetrics", Operations, "Counters and gauges for Prometheus", metrics.WriteAsync)
            {
                Answers = [new(200, "Text format 0.0.4.", "text/plain")],
            },
            new(HttpMethods.Get, "/openapi/v1.json", "GetOpenApi", Operations, "This document", null)
            {
                Answers = [new(200, "OpenAPI 3.1.", Json)],
            },
            new(HttpMethods.Get, "/docs", "OpenDocs", Operations, "This document as a page to try requests on", DocsPage.RedirectAsync)
            {
                Answers = [new(302, "To the page.")],
            },
            new(HttpMethods.Get, "/", "OpenHome", Operations, "A page of links", WelcomePage.WriteAsync)
            {
                Answers = [new(200, "Where to go from here.", "text/html")],
            },
        ];
    }

    /// <param name="kv">What answers.</param>
    /// <param name="path">With {key} at its end.</param>
    /// <param name="form">How the key is written there.</param>
    /// <param name="suffix">Tells the names of the same operations on another path apart.</param>
    private static IEnumerable<Route> KeyRoutes(KvEndpoints kv, string path, KeyForm form, string suffix) =>
    [
        new(HttpMethods.Get, path, "GetValue" + suffix, Data, "Read a value", context => kv.GetAsync(context, form))
        {
            Options = RequestKinds.Get,
            KeyForm = form,
            Answers =
            [
                new(
                    200,
                    "The bytes with the Content-Type they were stored with, or the JSON envelope. "
                        + "Kv-Served-By, Kv-Consistency and Kv-Staleness say what the answer is worth.",
                    "*/*"),
                new(304, "If-None-Match names the version the key still has."),
                RouteAnswer.Problem(404, ErrorCode.KeyNotFound),
                ConditionFailed,
                .. EveryRead,
            ],
        },
        new(HttpMethods.Put, path, "PutValue" + suffix, Data, "Write a value", context => kv.PutAsync(context, form))
        {
            Options = RequestKinds.Put,
            KeyForm = form,
            RequestMediaTypes = ["text/plain", "application/octet-stream", Json],
            RequestDescription = "The value, as it is. Any Content-Type will do; it is stored with the value.",
            Answers =
            [
                new(201, "Created. ETag and Kv-Revision name the new version."),
                new(204, "Replaced. ETag and Kv-Revision name the new version."),
                ConditionFailed,
                new(415, "Content-Encoding is not stored.", ProblemJson),
                .. EveryWrite,
            ],
        },
        new(HttpMethods.Delete, path, "DeleteValue" + suffix, Data, "Delete a key", context => kv.DeleteAsync(context, form))
        {
            Options = RequestKinds.Delete,
            KeyForm = form,
            Answers =
            [
                new(204, "It is not there any more. Kv-Revision is the revision of the delete."),
                new(404, "KeyNotFound: with ?strict, when there was nothing to delete.", ProblemJson),
                ConditionFailed,
                .. EveryWrite,
            ],
        },
    ];
}
