using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>One line of the route table: what answers, and what the OpenAPI document says about it.</summary>
/// <param name="Method">HTTP method. A GET route answers HEAD, too.</param>
/// <param name="Path">Path in OpenAPI's spelling; {key} stands for the rest of the path, slashes included.</param>
/// <param name="OperationId">What generated clients call the method; never changes once it has been published.</param>
/// <param name="Area">Heading in the document.</param>
/// <param name="Summary">One line.</param>
/// <param name="Handler">Null: the framework's own endpoint answers.</param>
internal sealed record Route(
    string Method, string Path, string OperationId, string Area, string Summary, Func<HttpContext, Task>? Handler)
{
    /// <summary>Which options of <see cref="RequestOption"/> it takes.</summary>
    public RequestKinds Options { get; init; }

    public KeyForm KeyForm { get; init; }

    /// <summary>Media types the document offers for the request body; none when there is no body.</summary>
    public IReadOnlyList<string> RequestMediaTypes { get; init; } = [];

    public string RequestDescription { get; init; } = "";

    public IReadOnlyList<RouteAnswer> Answers { get; init; } = [];

    /// <summary>It reads or writes: an answer that executed something says what it is worth.</summary>
    public bool HasEvidence => (Options & RequestKinds.Any) != 0;

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
