using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Serialization;
using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>POST of an increment.</summary>
internal sealed class IncrementRoute(FrontDoor door) : OperationRoute(door)
{
    /// <summary>Two numbers in JSON. Full: 413 TooLarge.</summary>
    private const int MaxBodyBytes = 1024;

    private const string Json = "application/json";

    public override byte Code => Increment.OperationCode;

    protected override string Noun => "an increment";

    public override Func<OperationJson, Operation> OfJson =>
        item => new Increment(item.Key, item.Number("delta", 1), item.Number("initial", 0), item.Condition);

    public override IEnumerable<Route> Offered =>
    [
        new(HttpMethods.Post, "/v1/incr/{key}", "IncrementCounter", Area.Data, "Add to a counter", IncrementAsync)
        {
            Options = RequestKinds.Write,
            RequestMediaTypes = [Json],
            RequestDescription =
                """{"delta": 1, "initial": 0}; members and body may be left out. An absent key becomes initial + delta.""",
            Answers =
            [
                new(200, """{"value": number, "etag": text, "revision": text}""", Json),
                new(415, "The body is not JSON.", "application/problem+json"),
                .. RouteAnswer.EveryWrite,
            ],
        },
    ];

    private async ValueTask IncrementAsync(HttpContext context, Route route)
    {
        long started = Stopwatch.GetTimestamp();
        Problem? problem = Read(context, route, out byte[] key, out RequestOptions options);
        if (problem is not null)
        {
            await Door.WriteProblemAsync(context, problem);
            return;
        }

        byte[]? body = await Door.ReadBodyAsync(context, "incrementBodyBytes", MaxBodyBytes);
        if (body is null)
        {
            return;
        }

        problem = IncrementBody.Read(context.Request, body, out IncrementBody increment);
        if (problem is not null)
        {
            await Door.WriteProblemAsync(context, problem);
            return;
        }

        KvReply? reply = await WriteAsync(context, new Increment(key, increment.Delta, increment.Initial), options, started);
        if (reply is { Result: Counted counted })
        {
            context.Response.Headers.ETag = ETag.Of(counted.Revision);
            await JsonBody.WriteAsync(context, Json, counted, static (json, counted) =>
            {
                json.WriteNumber("value", counted.Number);
                json.WriteString("etag", ETag.Of(counted.Revision));
                json.WriteString("revision", counted.Revision.ToString());
            });
        }
    }
}

/// <summary>Body of POST /v1/incr/{key}; both members may be left out, and so may the body.</summary>
internal sealed class IncrementBody
{
    public long Delta { get; set; } = 1;

    /// <summary>Value of an absent key before the delta.</summary>
    public long Initial { get; set; }

    public static Problem? Read(HttpRequest request, byte[] body, out IncrementBody increment)
    {
        increment = new IncrementBody();
        if (body.Length == 0)
        {
            return null;
        }

        if (!request.HasJsonContentType())
        {
            return Problem.Unsupported("The body of an increment is JSON: send Content-Type: application/json, or no body.");
        }

        try
        {
            increment = JsonSerializer.Deserialize(body, IncrementJson.Default.IncrementBody)!;
            return increment is null ? Problem.Invalid(Expected) : null;
        }
        catch (Exception fault) when (JsonShapeException.IsCause(fault))
        {
            return Problem.Invalid(Expected);
        }
    }

    private const string Expected =
        """The body must be a JSON object with at most "delta" and "initial", both whole numbers of 64 bits, each at most once.""";
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    AllowDuplicateProperties = false,
    NumberHandling = JsonNumberHandling.Strict)]
[JsonSerializable(typeof(IncrementBody))]
internal sealed partial class IncrementJson : JsonSerializerContext;
