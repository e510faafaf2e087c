using System.Diagnostics;
using System.Runtime.CompilerServices;
using KvStore.Protocol;
using Microsoft.AspNetCore.Http.Features;

namespace KvStore.Node.Http;

/// <summary>
/// How REST asks for one operation: its routes, and what a request becomes. One class per operation, found by its type
/// (<see cref="AllOf"/>); what all of them share is here. Values travel as they are, never through JSON.
/// </summary>
internal abstract class OperationRoute(FrontDoor door)
{
    /// <summary>/v1/kv/, /v1/b64/ and /v1/incr/ alike.</summary>
    private const int PrefixSegments = 2;

    /// <summary>One of each, by number. They are found by their type, so there is no list to forget one in.</summary>
    public static IReadOnlyList<OperationRoute> AllOf(FrontDoor door) =>
    [
        .. typeof(OperationRoute).Assembly.GetTypes()
            .Where(type => type.IsSubclassOf(typeof(OperationRoute)) && !type.IsAbstract)
            .Select(type => (OperationRoute)Activator.CreateInstance(type, door)!)
            .OrderBy(route => route.Code),
    ];

    /// <summary>Of the operation.</summary>
    public abstract byte Code { get; }

    public abstract IEnumerable<Route> Offered { get; }

    /// <summary>What messages call it: "an increment".</summary>
    protected abstract string Noun { get; }

    /// <summary>
    /// Reads the operation as an item of a JSON body, and throws <see cref="JsonShapeException"/> when a member is missing or not what it
    /// must be; null when it cannot be one.
    /// </summary>
    public virtual Func<OperationJson, Operation>? OfJson => null;

    /// <summary>What an item may call it beside its name; null when nothing.</summary>
    public virtual string? ShortName => null;

    /// <summary>What a success of it is answered with.</summary>
    public virtual int StatusOf(Result result) => StatusCodes.Status200OK;

    protected FrontDoor Door => door;

    /// <summary>The key and the options, checked; not null when something is wrong with them.</summary>
    protected Problem? Read(HttpContext context, Route route, out byte[] key, out RequestOptions options)
    {
        options = default;
        string rawTarget = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        return KeyInUrl.Read(rawTarget, PrefixSegments, route.KeyForm, door.Config.Limits.KeyBytes, out key)
            ?? RequestOptions.Read(context.Request, route.Options, Noun, door.Config, out options);
    }

    /// <summary>Sends a write with everything that is said about writes in general; a failure is answered here.</summary>
    /// <returns>Null when it failed.</returns>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    protected async ValueTask<KvReply?> WriteAsync(HttpContext context, WriteOperation operation, RequestOptions options, long started)
    {
        KvReply reply = await door.SubmitAsync(new KvRequest
        {
            Operation = operation,
            TimeoutMs = options.TimeoutMs,
            HopsLeft = HopsOf(options.Route),
            Ack = options.Ack,
            Session = door.SessionPointOf(operation.Key.Span, options),
            Id = options.IdempotencyKey is { } key
                ? IdempotencyId.Of(operation, context.Request.Method, key, options.FirstSentMs, ContentTypeSaid(context.Request))
                : null,
        });
        door.SetHeaders(context.Response, reply, options.Session, started);
        if (reply.Code == ErrorCode.None)
        {
            return reply;
        }

        await RefuseAsync(context, reply, operation.Key, options.Route);
        return null;
    }

    /// <summary>
    /// Null when the client did not say one. curl says that of a form of every body that -d gives it, and browsers of their forms: nobody
    /// chose it for the value.
    /// </summary>
    protected static string? ContentTypeSaid(HttpRequest http) =>
        http.ContentType is { Length: > 0 } said && !said.Equals("application/x-www-form-urlencoded", StringComparison.OrdinalIgnoreCase) ? said : null;

    /// <summary>Without hops a node that is not the right one says so instead of passing the request on.</summary>
    protected static byte HopsOf(RouteMode route) => route == RouteMode.Proxy ? KvRequest.MostHops : (byte)0;

    protected Task RefuseAsync(HttpContext context, KvReply reply, ReadOnlyMemory<byte> key, RouteMode route)
    {
        HttpResponse response = context.Response;
        if (reply.Code == ErrorCode.WrongNode && route == RouteMode.Redirect)
        {
            if (door.Nodes.UrlOf(reply.LeaderHint) is not { } leader)
            {
                return door.WriteProblemAsync(context, new Problem(
                    ErrorCode.NoLeader, "This node may not answer and knows of no leader to redirect to.")
                {
                    Group = door.Store?.Routing().GroupOf(key.Span),
                });
            }

            string rawTarget = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
            response.StatusCode = StatusCodes.Status307TemporaryRedirect;
            response.Headers[KvHeaders.Leader] = leader;
            response.Headers.Location = string.Concat(leader, KeyInUrl.PathAndQueryOf(rawTarget));
            return Task.CompletedTask;
        }

        if (reply.Code == ErrorCode.ConditionFailed && reply.Revision != 0)
        {
            response.Headers.ETag = ETag.Of(reply.Revision);
        }

        return door.WriteProblemAsync(context, Problem.Of(reply, door.Store?.Routing().GroupOf(key.Span)));
    }
}

/// <summary>What the routes of operations that carry a value in the body have in common.</summary>
internal abstract class ValueRoute(FrontDoor door) : OperationRoute(door)
{
    /// <summary>Reads the value, sends what it becomes, and answers 201 or 204.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    protected async ValueTask WriteValueAsync(HttpContext context, Route route)
    {
        long started = Stopwatch.GetTimestamp();
        HttpRequest http = context.Request;
        Problem? problem = Read(context, route, out byte[] key, out RequestOptions options) ?? CheckContent(http);
        if (problem is not null)
        {
            await Door.WriteProblemAsync(context, problem);
            return;
        }

        byte[]? value = await Door.ReadBodyAsync(context, "valueBytes", Door.Config.Limits.ValueBytes);
        if (value is null)
        {
            return;
        }

        KvReply? reply = await WriteAsync(context, OperationOf(key, value, ContentTypeSaid(http), options), options, started);
        if (reply is { Result: Written written })
        {
            context.Response.Headers.ETag = ETag.Of(written.Revision);
            context.Response.StatusCode = StatusOf(written);
        }
    }

    public override int StatusOf(Result result) =>
        result is Written { Created: true } ? StatusCodes.Status201Created : StatusCodes.Status204NoContent;

    protected abstract WriteOperation OperationOf(byte[] key, byte[] value, string? contentType, in RequestOptions options);

    // What would be lost or misread when the value is given back with nothing but its Content-Type.
    private static Problem? CheckContent(HttpRequest http)
    {
        if (http.Headers.ContentEncoding.Count != 0)
        {
            return Problem.Unsupported(
                "Content-Encoding is not stored with the value: send it unencoded, or give the encoded bytes a Content-Type of their own.");
        }

        if (http.Headers.ContentRange.Count != 0)
        {
            return Problem.Invalid("A value is written as a whole: Content-Range is not offered.");
        }

        if (http.Headers.ContentType.Count > 1)
        {
            return Problem.Invalid("The header Content-Type is there more than once; send it once.");
        }

        return http.ContentType is { } contentType
            && (contentType.Length > Limits.MaxContentTypeBytes || contentType.AsSpan().ContainsAnyExceptInRange(' ', '~'))
            ? Problem.Invalid(
                $"Content-Type is stored with the value and must be at most {Limits.MaxContentTypeBytes} printable ASCII characters.")
            : null;
    }
}
