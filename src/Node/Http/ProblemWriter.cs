using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>
/// Writes problems as RFC 9457 documents, always with the same members; what is not known is null. TooStale alone has one more:
/// bestStalenessMs, the best age there was.
/// </summary>
internal static class ProblemWriter
{
    public static async Task WriteAsync(HttpContext context, Problem problem, NodeDirectory nodes)
    {
        ErrorCodeEntry entry = ErrorCodes.Of(problem.Code);
        HttpResponse response = context.Response;
        int status = problem.Status != 0 ? problem.Status : entry.HttpStatus;
        response.StatusCode = status;
        response.Headers.CacheControl = "no-store";

        string? leader = nodes.UrlOf(problem.Leader);
        if (leader is not null && status is StatusCodes.Status421MisdirectedRequest or StatusCodes.Status503ServiceUnavailable)
        {
            response.Headers[KvHeaders.Leader] = leader;
        }

        int retryAfterMs = problem.RetryAfterMs;
        if (status is StatusCodes.Status429TooManyRequests or StatusCodes.Status503ServiceUnavailable)
        {
            retryAfterMs = retryAfterMs > 0 ? retryAfterMs : HttpLimits.DefaultRetryAfterMs;
            response.Headers.RetryAfter = ((retryAfterMs + 999) / 1000).ToString(CultureInfo.InvariantCulture);
        }

        Document document = new(problem, entry, status, leader, retryAfterMs, TraceIdOf(context));
        await JsonBody.WriteAsync(context, "application/problem+json", document, Write);
    }

    private static void Write(Utf8JsonWriter json, Document document)
    {
        Problem problem = document.Problem;
        ProblemType type = problem.Type ?? ProblemType.Of(document.Entry);
        json.WriteString("type", type.Urn);
        json.WriteString("title", type.Title);
        json.WriteNumber("status", document.Status);
        json.WriteString("detail", problem.Detail);
        json.WriteString("code", problem.Code.ToString());
        json.WriteBoolean("retryable", document.Entry.Retryable);
        json.WriteString("outcome", NameOf(problem.Outcome != Outcome.None ? problem.Outcome : document.Entry.Outcome));
        WriteNumberOrNull(json, "group", problem.Group?.Value);
        json.WriteString("leader", document.Leader);
        WriteNumberOrNull(json, "retryAfterMs", document.RetryAfterMs > 0 ? document.RetryAfterMs : null);
        if (problem.Code == ErrorCode.TooStale)
        {
            WriteNumberOrNull(json, "bestStalenessMs", problem.BestStalenessMs);
        }

        json.WriteString("traceId", document.TraceId);
    }

    private static void WriteNumberOrNull(Utf8JsonWriter json, string name, long? number)
    {
        if (number is { } value)
        {
            json.WriteNumber(name, value);
        }
        else
        {
            json.WriteNull(name);
        }
    }

    private static string TraceIdOf(HttpContext context) => Activity.Current?.TraceId.ToHexString() ?? context.TraceIdentifier;

    internal static string? NameOf(Outcome outcome) => outcome switch
    {
        Outcome.NotApplied => "not-applied",
        Outcome.Unknown => "unknown",
        Outcome.Applied => "applied",
        _ => null,
    };

    private readonly record struct Document(
        Problem Problem, ErrorCodeEntry Entry, int Status, string? Leader, int RetryAfterMs, string TraceId);
}
