using System.Net.Http.Json;
using System.Text.Json;
using KvStore.Node.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace KvStore.Node.Tests.Http;

public sealed class OpenApiTests(ScriptedDoor door) : IClassFixture<ScriptedDoor>
{
    private static readonly string[] Verbs = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"];

    [Fact]
    public async Task The_document_names_exactly_the_routes_the_router_has()
    {
        List<string> documented = [.. (await DocumentedAsync()).Select(route => $"{route.Verb} {route.Path}")];
        EndpointDataSource router = door.Services.GetRequiredService<EndpointDataSource>();
        List<string> routed = [.. router.Endpoints.OfType<RouteEndpoint>().SelectMany(endpoint =>
            endpoint.Metadata.GetMetadata<IHttpMethodMetadata>()!.HttpMethods.Select(verb => $"{verb} {PathOf(endpoint)}"))];
        Assert.Equal(routed.Order(), documented.Order());
    }

    [Fact]
    public async Task Every_documented_verb_answers_and_every_other_one_does_not()
    {
        door.Reset();
        foreach (IGrouping<string, (string Verb, string Path)> path in (await DocumentedAsync()).GroupBy(route => route.Path))
        {
            string url = path.Key.Replace("{key}", "a2V5", StringComparison.Ordinal).Replace("{id}", "1", StringComparison.Ordinal);
            foreach (string verb in Verbs)
            {
                using HttpResponseMessage response = await door.SendAsync(verb, url);
                bool isDocumented = path.Any(route => route.Verb == verb);

                // 415: it answers, and wants a body of another kind than none.
                Assert.True(
                    isDocumented == ((int)response.StatusCode is 200 or 201 or 204 or 302 or 415),
                    $"{verb} {url} answered {(int)response.StatusCode} and is {(isDocumented ? "" : "not ")}in the document.");
            }
        }
    }

    [Fact]
    public async Task The_document_is_OpenAPI_3_1_and_describes_what_matters()
    {
        JsonElement document = await door.Client.GetFromJsonAsync<JsonElement>("/openapi/v1.json");
        Assert.StartsWith("3.1", document.GetProperty("openapi").GetString(), StringComparison.Ordinal);
        JsonElement get = document.GetProperty("paths").GetProperty("/v1/kv/{key}").GetProperty("get");
        string[] parameters = [.. get.GetProperty("parameters").EnumerateArray().Select(item => item.GetProperty("name").GetString()!)];
        Assert.Contains("Kv-Consistency", parameters);
        Assert.Contains("consistency", parameters);
        Assert.DoesNotContain("Idempotency-Key", parameters);
        Assert.True(get.GetProperty("responses").TryGetProperty("304", out _));
        foreach (string status in new[] { "200", "304", "404", "412" })
        {
            JsonElement headers = get.GetProperty("responses").GetProperty(status).GetProperty("headers");
            Assert.NotEmpty(headers.GetProperty("Kv-Staleness").GetProperty("description").GetString()!);
            Assert.NotEmpty(headers.GetProperty("Kv-Session").GetProperty("example").GetString()!);
        }

        Assert.False(get.GetProperty("responses").GetProperty("503").TryGetProperty("headers", out _));
        JsonElement maxStaleness = get.GetProperty("parameters").EnumerateArray()
            .Single(parameter => parameter.GetProperty("name").GetString() == "Kv-Max-Staleness");
        Assert.Equal("500ms", maxStaleness.GetProperty("example").GetString());
        JsonElement increment = document.GetProperty("paths").GetProperty("/v1/incr/{key}").GetProperty("post");
        Assert.True(increment.GetProperty("responses").TryGetProperty("415", out _));
        Assert.All(
            document.GetProperty("paths").EnumerateObject().SelectMany(path => path.Value.EnumerateObject()),
            operation => Assert.NotEmpty(operation.Value.GetProperty("summary").GetString()!));
    }

    [Fact]
    public async Task D4_what_is_answered_to_another_site_and_under_a_foreign_name_is_in_the_document_of_every_operation()
    {
        JsonElement document = await door.Client.GetFromJsonAsync<JsonElement>("/openapi/v1.json");
        foreach (JsonProperty operation in document.GetProperty("paths").EnumerateObject().SelectMany(path => path.Value.EnumerateObject()))
        {
            JsonElement responses = operation.Value.GetProperty("responses");
            Assert.Contains("unknown-host", responses.GetProperty("421").GetProperty("description").GetString(), StringComparison.Ordinal);
            bool isWrite = operation.Name is not ("get" or "head");
            Assert.Equal(isWrite, responses.TryGetProperty("403", out JsonElement forbidden));
            if (isWrite)
            {
                Assert.True(forbidden.GetProperty("content").TryGetProperty("application/problem+json", out _));
            }
        }
    }

    [Fact]
    public async Task Every_operation_has_a_name_of_its_own_that_generated_clients_can_use()
    {
        JsonElement document = await door.Client.GetFromJsonAsync<JsonElement>("/openapi/v1.json");
        string[] names = [.. document.GetProperty("paths").EnumerateObject()
            .SelectMany(path => path.Value.EnumerateObject())
            .Select(operation => operation.Value.GetProperty("operationId").GetString()!)];
        Assert.All(names, name => Assert.Matches("^([A-Z][a-z0-9]+)+$", name));
        Assert.Equal(names.Length, names.Distinct(StringComparer.OrdinalIgnoreCase).Count());
        Assert.Contains("PutValue", names);
    }

    [Fact]
    public void Every_offered_option_is_documented_in_words()
    {
        Assert.All(RequestOption.All.Where(option => option.Offered), option =>
        {
            Assert.NotEmpty(option.Accepts);
            Assert.NotEmpty(option.Summary);
        });
    }

    [Fact]
    public async Task The_docs_page_is_served_without_the_internet()
    {
        using HttpResponseMessage redirect = await door.SendAsync("GET", "/docs");
        Assert.Equal(302, (int)redirect.StatusCode);
        string page = await door.Client.GetStringAsync(redirect.Headers.Location);
        Assert.DoesNotContain("https://", page, StringComparison.Ordinal);
        string script = await door.Client.GetStringAsync("/docs/swagger-ui-bundle.js");
        Assert.True(script.Length > 100_000);
        Assert.Contains("/openapi/v1.json", page + await door.Client.GetStringAsync("/docs/index.js"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_first_page_links_to_the_docs_and_shows_a_first_request()
    {
        string page = await door.Client.GetStringAsync("/");
        Assert.Contains("href=\"/docs\"", page, StringComparison.Ordinal);
        Assert.Contains($"http://{door.Config.Node("n1").Http}/v1/kv/greeting", page, StringComparison.Ordinal);
    }

    private static string PathOf(RouteEndpoint endpoint) => endpoint.RoutePattern.RawText!
        .Replace("{**key}", "{key}", StringComparison.Ordinal)
        .Replace("{documentName}", "v1", StringComparison.Ordinal);

    private async Task<List<(string Verb, string Path)>> DocumentedAsync()
    {
        JsonElement document = await door.Client.GetFromJsonAsync<JsonElement>("/openapi/v1.json");
        return [.. document.GetProperty("paths").EnumerateObject().SelectMany(path =>
            path.Value.EnumerateObject().Select(operation => (operation.Name.ToUpperInvariant(), path.Name)))];
    }
}
