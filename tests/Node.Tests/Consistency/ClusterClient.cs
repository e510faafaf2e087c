using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json;
using KvStore.Node.Hosting;
using KvStore.Node.Tests.Hosting;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Consistency;

/// <summary>What an answer said about itself, checked as far as one answer can be: contradictions fail the test that got it.</summary>
internal sealed record Answer(int Status, string Body, IReadOnlyDictionary<string, string> Headers)
{
    public string? Code => Status >= 400 ? Problem.GetProperty("code").GetString() : null;

    public JsonElement Problem => JsonSerializer.Deserialize<JsonElement>(Body);

    public string? Token => Headers.GetValueOrDefault("Kv-Session");

    public string? Level => Headers.GetValueOrDefault("Kv-Consistency");

    /// <summary>Null: unknown.</summary>
    public long? StalenessMs => Headers["Kv-Staleness"] is var text && text == "unknown" ? null : long.Parse(text, CultureInfo.InvariantCulture);

    public IReadOnlyDictionary<string, string> ServedBy =>
        Headers["Kv-Served-By"].Split("; ").Select(part => part.Split('=')).ToDictionary(part => part[0], part => part[1]);

    /// <summary>Of the group that served it.</summary>
    public GroupId Group => new(uint.Parse(ServedBy["group"], CultureInfo.InvariantCulture));

    public ulong Applied => ulong.Parse(ServedBy["applied"], CultureInfo.InvariantCulture);

    public SessionToken ParsedToken
    {
        get
        {
            Assert.True(SessionToken.TryParse(Token!, "test", out SessionToken? token, out string? problem), problem);
            return token;
        }
    }

    public static async Task<Answer> OfAsync(HttpResponseMessage response)
    {
        using (response)
        {
            return new Answer(
                (int)response.StatusCode,
                await response.Content.ReadAsStringAsync(),
                response.Headers.ToDictionary(header => header.Key, header => string.Join(", ", header.Value)));
        }
    }
}

/// <summary>Requests to chosen nodes, as curl would send them.</summary>
internal static class ClusterClient
{
    public static async Task<Answer> SendAsync(
        this HttpClient http, Uri url, string method, string? body = null, params (string Name, string Value)[] headers)
    {
        using HttpRequestMessage request = new(new HttpMethod(method), url);
        if (body is not null)
        {
            request.Content = new StringContent(body);
        }

        foreach ((string name, string value) in headers)
        {
            if (name == "Content-Type")
            {
                request.Content!.Headers.ContentType = MediaTypeHeaderValue.Parse(value);
            }
            else
            {
                request.Headers.Add(name, value);
            }
        }

        return await Answer.OfAsync(await http.SendAsync(request));
    }

    public static Task<Answer> ReadAsync(
        this RunningCluster cluster, NodeHost node, string pathAndQuery, params (string Name, string Value)[] headers) =>
        cluster.Http.SendAsync(RunningCluster.Url(node, pathAndQuery), "GET", null, headers);

    public static Task<Answer> WriteAsync(
        this RunningCluster cluster, NodeHost node, string pathAndQuery, string value, params (string Name, string Value)[] headers) =>
        cluster.Http.SendAsync(RunningCluster.Url(node, pathAndQuery), "PUT", value, headers);

    public static Task<Answer> IncrementAsync(
        this RunningCluster cluster, NodeHost node, string key, params (string Name, string Value)[] headers) =>
        cluster.Http.SendAsync(RunningCluster.Url(node, "/v1/incr/" + key), "POST", null, headers);
}
