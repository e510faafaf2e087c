using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.OpenApi;

namespace KvStore.Node.Http;

/// <summary>
/// The OpenAPI document. Plain request delegates have nothing the generator could read, so a transformer writes every path from
/// the route table.
/// </summary>
internal static class OpenApiDescription
{
    private const string DocumentName = "v1";
    private const string ProblemMediaType = "application/problem+json";

    private static readonly (string Name, string Description, string Example)[] EvidenceHeaders =
    [
        (KvHeaders.Consistency, "The level met. Weaker than asked for only with Kv-On-Unmet: serve.", "bounded"),
        (KvHeaders.Staleness,
            "Milliseconds: every write acknowledged longer ago is in the answer. Rounded up; 0 on strong reads and on writes; unknown when "
                + "no age is proved.",
            "87"),
        (KvHeaders.Lag,
            "With Kv-Max-Lag: by how many log entries the replica was behind at most, and how many milliseconds ago it knew that.",
            "entries=3; age=87"),
        (KvHeaders.ServedBy, "Who answered, and from which state.", "node=n2; role=follower; group=17; term=9; applied=88123; path=local"),
        (KvHeaders.Session, "The request's token and what this answer adds to it, or a new one. Send it with the next request.",
            "AQAxjz4KAQKY0QXf7xIAmB3RDA"),
    ];

    public static void Add(IServiceCollection services, IReadOnlyList<Route> routes, string nodeName) =>
        services.AddOpenApi(DocumentName, options =>
        {
            options.OpenApiVersion = OpenApiSpecVersion.OpenApi3_1;
            options.AddDocumentTransformer((document, _, _) =>
            {
                Describe(document, routes, nodeName);
                return Task.CompletedTask;
            });
        });

    public static void Map(WebApplication app) =>
        app.MapOpenApi("/openapi/{documentName}.json").WithMetadata(new HttpMethodMetadata([HttpMethods.Get, HttpMethods.Head]));

    private static void Describe(OpenApiDocument document, IReadOnlyList<Route> routes, string nodeName)
    {
        document.Info = new OpenApiInfo
        {
            Title = "KvStore",
            Version = DocumentName,
            Description = $"A sharded, Raft-replicated key-value store; this is node {nodeName}. "
                + "Every answer says how fresh it is, every failure says what it did.",
        };
        document.Paths = [];
        foreach (Route route in routes)
        {
            if (!document.Paths.TryGetValue(route.Path, out IOpenApiPathItem? item))
            {
                item = new OpenApiPathItem { Operations = [] };
                document.Paths.Add(route.Path, item);
            }

            item.Operations!.Add(HttpMethod.Parse(route.Method), Describe(route));
            if (route.Method == HttpMethods.Get)
            {
                item.Operations.Add(HttpMethod.Head, DescribeHead(route));
            }
        }
    }

    private static OpenApiOperation Describe(Route route)
    {
        OpenApiOperation operation = new()
        {
            OperationId = route.OperationId,
            Summary = route.Summary,
            Tags = new HashSet<OpenApiTagReference> { new(route.Area) },
            Parameters = [.. Parameters(route)],
            Responses = [],
        };
        if (route.RequestMediaTypes.Count > 0)
        {
            operation.RequestBody = new OpenApiRequestBody
            {
                Description = route.RequestDescription,
                Required = false,
                Content = route.RequestMediaTypes.ToDictionary(mediaType => mediaType, _ => new OpenApiMediaType()),
            };
        }

        foreach (RouteAnswer answer in route.AllAnswers)
        {
            operation.Responses.Add(
                answer.Status.ToString(CultureInfo.InvariantCulture), Describe(answer, withBody: true, route.HasEvidence));
        }

        return operation;
    }

    private static OpenApiOperation DescribeHead(Route route)
    {
        OpenApiOperation operation = Describe(route with { RequestMediaTypes = [] });
        operation.OperationId = route.OperationId + "Headers";
        operation.Summary = $"{route.Summary}: the headers alone";
        operation.Responses = [];
        foreach (RouteAnswer answer in route.AllAnswers)
        {
            operation.Responses.Add(
                answer.Status.ToString(CultureInfo.InvariantCulture), Describe(answer, withBody: false, route.HasEvidence));
        }

        return operation;
    }

    private static OpenApiResponse Describe(RouteAnswer answer, bool withBody, bool withEvidence) => new()
    {
        Description = answer.Description,
        Headers = withEvidence && answer.Status is 200 or 201 or 204 or 304 or 404 or 412
            ? EvidenceHeaders.ToDictionary(
                header => header.Name,
                header => (IOpenApiHeader)new OpenApiHeader
                {
                    Description = header.Description,
                    Example = JsonValue.Create(header.Example),
                    Schema = Text(),
                })
            : null,
        Content = withBody && answer.MediaType is { } mediaType
            ? new Dictionary<string, OpenApiMediaType>
            {
                [mediaType] = new() { Schema = mediaType == ProblemMediaType ? ProblemSchema() : null },
            }
            : null,
    };

    private static IEnumerable<OpenApiParameter> Parameters(Route route)
    {
        if (route.TakesKey)
        {
            yield return new OpenApiParameter
            {
                Name = "key",
                In = ParameterLocation.Path,
                Required = true,
                Description = route.KeyForm == KeyForm.Text
                    ? "The rest of the path, slashes included, percent-decoded once: 1 to 2048 bytes. '+' is a plus. "
                        + "Keys with '.' or '..' segments go to /v1/b64/."
                    : "The key's bytes in base64url without padding.",
                Schema = Text(),
            };
        }
        else if (route.Path.Contains("{id}", StringComparison.Ordinal))
        {
            yield return new OpenApiParameter
            {
                Name = "id",
                In = ParameterLocation.Path,
                Required = true,
                Description = "Number of the group, from 1.",
                Schema = new OpenApiSchema { Type = JsonSchemaType.Integer },
            };
        }

        foreach (RequestOption option in RequestOption.All)
        {
            if (!option.Offered || (option.Kinds & route.Options) == 0)
            {
                continue;
            }

            string description = $"{option.Summary} Accepted: {option.Accepts}.";
            if (option.Header is { } header)
            {
                yield return new OpenApiParameter
                {
                    Name = header,
                    In = ParameterLocation.Header,
                    Description = description,
                    Example = option.Example is { } example ? JsonValue.Create(example) : null,
                    Schema = Text(),
                };
            }

            if (option.Query is { } query)
            {
                yield return new OpenApiParameter
                {
                    Name = query,
                    In = ParameterLocation.Query,
                    Description = option.Header is null ? description : $"Twin of {option.Header}.",
                    Schema = Text(),
                };
            }
        }
    }

    private static OpenApiSchema Text() => new() { Type = JsonSchemaType.String };

    private static OpenApiSchema ProblemSchema() => new()
    {
        Type = JsonSchemaType.Object,
        Description = "RFC 9457",
        Properties = new Dictionary<string, IOpenApiSchema>
        {
            ["type"] = Text(),
            ["title"] = Text(),
            ["status"] = new OpenApiSchema { Type = JsonSchemaType.Integer },
            ["detail"] = Text(),
            ["code"] = Text(),
            ["retryable"] = new OpenApiSchema { Type = JsonSchemaType.Boolean },
            ["outcome"] = new OpenApiSchema
            {
                Type = JsonSchemaType.String | JsonSchemaType.Null,
                Description = "What it did to the data: not-applied is a proof; unknown means retry only with the same Idempotency-Key; "
                    + "null for reads.",
            },
            ["group"] = new OpenApiSchema { Type = JsonSchemaType.Integer | JsonSchemaType.Null },
            ["leader"] = new OpenApiSchema { Type = JsonSchemaType.String | JsonSchemaType.Null },
            ["retryAfterMs"] = new OpenApiSchema { Type = JsonSchemaType.Integer | JsonSchemaType.Null },
            ["bestStalenessMs"] = new OpenApiSchema
            {
                Type = JsonSchemaType.Integer | JsonSchemaType.Null,
                Description = "TooStale only: the best age there was; null when none was proved.",
            },
            ["traceId"] = Text(),
        },
    };
}
