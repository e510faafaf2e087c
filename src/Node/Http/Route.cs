using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>One line of the route table: what answers, and what the OpenAPI document says about it.</summary>
/// <param name="Method">HTTP method. A GET route answers HEAD, too.</param>
/// <param name="Path">Path in OpenAPI's spelling; {key} stands for the rest of the path, slashes included.</param>
/// <param name="OperationId">What generated clients call the method; never changes once it has been published.</param>
/// <param name="Area">Heading in the document.</param>
/// <param name="Summary">One line.</param>
/// <param name="Handler">Is given the route it answers for. Null: the framework's own endpoint answers.</param>
internal sealed record Route(
    string Method, string Path, string OperationId, string Area, string Summary, Func<HttpContext, Route, ValueTask>? Handler)
{
    /// <summary>Which options of <see cref="RequestOption"/> it takes.</summary>
    public RequestKinds Options { get; init; }

    public KeyForm KeyForm { get; init; }

    /// <summary>Media types the document offers for the request body; none when there is no body.</summary>
    public IReadOnlyList<string> RequestMediaTypes { get; init; } = [];

    public string RequestDescription { get; init; } = "";

    public IReadOnlyList<RouteAnswer> Answers { get; init; } = [];

    /// <summary>It reads or writes: an answer that executed something says what it is worth.</summary>
    public bool HasEvidence => (Options & (RequestKinds.Read | RequestKinds.Write)) != 0;

    /// <summary>And what the boundary answers for every route (<see cref="SiteGuard"/>), whatever the request.</summary>
    public IEnumerable<RouteAnswer> AllAnswers
    {
        get
        {
            bool isSafe = Method == HttpMethods.Get;
            foreach (RouteAnswer answer in Answers)
            {
                yield return answer.Status == StatusCodes.Status421MisdirectedRequest
                    ? answer with { Description = $"{answer.Description}. {RouteAnswer.UnknownHost.Description}" }
                    : answer;
            }

            if (!isSafe)
            {
                yield return RouteAnswer.OtherSite;
            }

            if (Answers.All(answer => answer.Status != StatusCodes.Status421MisdirectedRequest))
            {
                yield return RouteAnswer.UnknownHost;
            }
        }
    }

    public bool TakesKey => Path.EndsWith("{key}", StringComparison.Ordinal);

    /// <summary>
    /// What the router matches. The catch-all makes a key's slashes part of it; the value the router extracts is never used
    /// (<see cref="KeyInUrl"/>).
    /// </summary>
    public string Pattern => TakesKey ? Path.Replace("{key}", "{**key}", StringComparison.Ordinal) : Path;
}

/// <param name="Status">HTTP status.</param>
/// <param name="Description">When and with what.</param>
/// <param name="MediaType">Null: no body.</param>
internal readonly record struct RouteAnswer(int Status, string Description, string? MediaType = null)
{
    private static readonly RouteAnswer[] EveryRequest =
    [
        Problem(400, ErrorCode.InvalidRequest, ErrorCode.KeyNotAddressable, ErrorCode.SessionTokenInvalid),
        Problem(414, ErrorCode.TooLarge),
        Problem(421, ErrorCode.WrongNode),
        Problem(429, ErrorCode.Overloaded),
        new(431, "TooLarge: the session token.", "application/problem+json"),
        new(307, "Kv-Route: redirect, and another node leads: Location names the same path there."),
    ];

    public static readonly RouteAnswer[] EveryRead =
    [
        .. EveryRequest,
        Problem(503, ErrorCode.NoLeader, ErrorCode.TooStale, ErrorCode.Starting, ErrorCode.Draining),
        Problem(504, ErrorCode.Timeout),
    ];

    public static readonly RouteAnswer[] EveryWrite =
    [
        .. EveryRequest,
        Problem(409, ErrorCode.NotANumber, ErrorCode.IdempotencyInFlight, ErrorCode.IdempotencyExpired),
        Problem(413, ErrorCode.TooLarge),
        Problem(422, ErrorCode.IdempotencyReused),
        Problem(503, ErrorCode.NoLeader, ErrorCode.Starting, ErrorCode.Draining),
        Problem(504, ErrorCode.Indeterminate, ErrorCode.NotOnAll),
        Problem(507, ErrorCode.DiskFull),
    ];

    public static readonly RouteAnswer OtherSite = new(
        403, "Forbidden: a page of another site sent it. Not applied.", "application/problem+json");

    public static readonly RouteAnswer UnknownHost = new(
        421, "InvalidRequest (unknown-host): the Host is no name that the cluster's configuration has.", "application/problem+json");

    public static readonly RouteAnswer ConditionFailed = Problem(412, ErrorCode.ConditionFailed);

    public static RouteAnswer Problem(int status, params ReadOnlySpan<ErrorCode> codes)
    {
        string names = "";
        foreach (ErrorCode code in codes)
        {
            names += (names.Length == 0 ? "" : ", ") + code;
        }

        return new RouteAnswer(status, names, "application/problem+json");
    }
}

/// <summary>Headings of the document.</summary>
internal static class Area
{
    public const string Data = "Data";
    public const string Topology = "Topology";
    public const string Operations = "Operations";
}
