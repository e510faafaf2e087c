using System.Text.Json;

namespace KvStore.Node.Tests.Http;

/// <summary>A problem document, read strictly: every member is there, with the type it should have.</summary>
public sealed record ProblemDocument(
    string Type, string Title, int Status, string Detail, string Code, bool Retryable, string? Outcome, uint? Group, string? Leader,
    int? RetryAfterMs, string TraceId, uint? BestStalenessMs)
{
    public static async Task<ProblemDocument> ReadAsync(HttpResponseMessage response, int status, string code)
    {
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(status == (int)response.StatusCode, $"{(int)response.StatusCode}: {text}");
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType!.MediaType);
        using JsonDocument json = JsonDocument.Parse(text);
        JsonElement root = json.RootElement;
        bool isTooStale = code == "TooStale";
        Assert.Equal(isTooStale ? 12 : 11, root.EnumerateObject().Count());
        ProblemDocument problem = new(
            root.GetProperty("type").GetString()!,
            root.GetProperty("title").GetString()!,
            root.GetProperty("status").GetInt32(),
            root.GetProperty("detail").GetString()!,
            root.GetProperty("code").GetString()!,
            root.GetProperty("retryable").GetBoolean(),
            root.GetProperty("outcome").GetString(),
            root.GetProperty("group") is { ValueKind: JsonValueKind.Number } group ? group.GetUInt32() : null,
            root.GetProperty("leader").GetString(),
            root.GetProperty("retryAfterMs") is { ValueKind: JsonValueKind.Number } retry ? retry.GetInt32() : null,
            root.GetProperty("traceId").GetString()!,
            isTooStale && root.GetProperty("bestStalenessMs") is { ValueKind: JsonValueKind.Number } best ? best.GetUInt32() : null);
        Assert.Equal(status, problem.Status);
        Assert.Equal(code, problem.Code);
        Assert.StartsWith("urn:kvstore:problem:", problem.Type, StringComparison.Ordinal);
        Assert.NotEmpty(problem.Title);
        Assert.Matches(@"^[^a-z\s].*\.$", problem.Detail);
        Assert.NotEmpty(problem.TraceId);
        return problem;
    }
}
