using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>
/// A request that ended badly, on its way to becoming an RFC 9457 document. Status, retryable and outcome come from the table
/// of <see cref="ErrorCode"/>; what is set here overrides it.
/// </summary>
internal sealed record Problem(ErrorCode Code, string Detail)
{
    /// <summary>0: the one of the code.</summary>
    public int Status { get; init; }

    /// <summary>Null: the one of the code. HTTP's own refusals (unknown route, wrong method or media type) have no code.</summary>
    public ProblemType? Type { get; init; }

    public Outcome Outcome { get; init; }

    public GroupId? Group { get; init; }

    public NodeId Leader { get; init; }

    public int RetryAfterMs { get; init; }

    /// <summary>TooStale: the best age there was; null when no age was proved.</summary>
    public uint? BestStalenessMs { get; init; }

    public static Problem Invalid(string detail) => new(ErrorCode.InvalidRequest, detail);

    public static Problem DotSegment() => new(
        ErrorCode.KeyNotAddressable,
        "The path has a '.' or '..' segment, which clients and proxies collapse. "
            + "Address this key as /v1/b64/{base64url of its bytes, no padding}.");

    public static Problem KeyTooLong(int length, int limit) => new(
        ErrorCode.TooLarge, $"The key has {length} bytes; the limit keyBytes is {limit}.")
    { Status = StatusCodes.Status414UriTooLong };

    public static Problem TokenTooLong(int length) => new(
        ErrorCode.TooLarge, $"The session token has {length} characters; the limit is {SessionToken.MaxTextLength}.")
    {
        Status = StatusCodes.Status431RequestHeaderFieldsTooLarge,
    };

    /// <param name="detail">What is wrong with it, without capital and full stop: a clause of the parser.</param>
    public static Problem BadToken(string detail) =>
        new(ErrorCode.SessionTokenInvalid, string.Concat(detail[..1].ToUpperInvariant(), detail.AsSpan(1), "."));

    public static Problem BodyTooLarge(string limitName, int limit) => new(
        ErrorCode.TooLarge, $"The body is larger than the limit {limitName} of {limit} bytes.");

    public static Problem Unsupported(string detail) => Invalid(detail) with
    {
        Status = StatusCodes.Status415UnsupportedMediaType,
        Type = ProblemType.UnsupportedMediaType,
    };

    public static Problem UnknownRoute(string path) => Invalid(
        $"There is nothing at {Excerpt.Of(path)}. GET /openapi/v1.json lists every route; /docs shows them.") with
    {
        Status = StatusCodes.Status404NotFound,
        Type = ProblemType.UnknownRoute,
    };

    public static Problem MethodNotAllowed(string method, string allow) => Invalid(
        $"{Excerpt.Of(method)} is not offered here; Allow lists what is: {allow}.") with
    {
        Status = StatusCodes.Status405MethodNotAllowed,
        Type = ProblemType.MethodNotAllowed,
    };

    public static Problem UnknownGroup(string text, int groups) => Invalid($"There is no group '{Excerpt.Of(text)}': groups are 1 to {groups}.") with
    {
        Status = StatusCodes.Status404NotFound,
        Type = ProblemType.UnknownRoute,
    };

    public static Problem Of(KvReply reply, GroupId? group) => new(reply.Code, reply.Detail ?? DefaultDetail(reply.Code))
    {
        Outcome = reply.Outcome,
        Group = reply.Evidence?.Group ?? group,
        Leader = reply.LeaderHint,
        RetryAfterMs = reply.RetryAfterMs,
        BestStalenessMs = reply.Evidence is { AgeMs: not Evidence.AgeUnknown } evidence ? evidence.AgeMs : null,
    };

    private static string DefaultDetail(ErrorCode code) =>
        code == ErrorCode.KeyNotFound ? "The key does not exist." : "The node said no more than the code.";
}

/// <summary>type and title of a problem document.</summary>
internal sealed record ProblemType(string Urn, string Title)
{
    public static readonly ProblemType UnknownRoute = new("urn:kvstore:problem:unknown-route", "No such route");
    public static readonly ProblemType UnknownHost = new("urn:kvstore:problem:unknown-host", "Not a name of this node");
    public static readonly ProblemType MethodNotAllowed = new("urn:kvstore:problem:method-not-allowed", "Method not allowed");
    public static readonly ProblemType UnsupportedMediaType = new("urn:kvstore:problem:unsupported-media-type", "Unsupported media type");

    public static ProblemType Of(ErrorCodeEntry entry)
    {
        string words = entry.Kebab.Replace('-', ' ');
        return new ProblemType(entry.Urn, char.ToUpperInvariant(words[0]) + words[1..]);
    }
}
