using System.Buffers.Text;
using System.Diagnostics;
using System.Text.Json;
using System.Text.Unicode;
using KvStore.Protocol;
using Microsoft.AspNetCore.Http.Features;

namespace KvStore.Node.Http;

/// <summary>GET, HEAD, PUT, DELETE of one key and POST of an increment. Values travel as they are, never through JSON.</summary>
internal sealed class KvEndpoints(FrontDoor door)
{
    private const string DefaultContentType = "application/octet-stream";

    /// <summary>/v1/kv/, /v1/b64/ and /v1/incr/ alike.</summary>
    private const int PrefixSegments = 2;

    public async Task GetAsync(HttpContext context, KeyForm form)
    {
        long started = Stopwatch.GetTimestamp();
        Problem? problem = Read(context, form, RequestKinds.Get, out byte[] key, out RequestOptions options);
        if (problem is not null)
        {
            await door.WriteProblemAsync(context, problem);
            return;
        }

        // HEAD reads the value, too: its length is one of the headers that must be those of GET.
        KvReply reply = await door.SubmitAsync(door.ReadRequest(key, options) with { HopsLeft = HopsOf(options.Route) });

        if (options.Route != RouteMode.Proxy && options.Level == ReadLevel.Strong
            && reply.Evidence is { Role: not ServedRole.Leader } evidence)
        {
            // A follower can prove a strong read by asking the leader; who says redirect or strict does not want that detour.
            reply = NotTheLeader(evidence.Group);
        }

        HttpResponse response = context.Response;
        door.SetHeaders(response, reply, options.Session, started);
        if (options.ReadIfMatch is { } ifMatch && reply.Code is ErrorCode.None or ErrorCode.KeyNotFound
            && !(reply.Code == ErrorCode.None && (ifMatch == "*" || ETag.RevisionOf(ifMatch) == reply.Revision)))
        {
            if (reply.Code == ErrorCode.None)
            {
                response.Headers.ETag = ETag.Of(reply.Revision);
            }

            await door.WriteProblemAsync(context, new Problem(ErrorCode.ConditionFailed, "If-Match names another version of the key.")
            {
                Group = reply.Evidence?.Group,
            });
            return;
        }

        if (reply.Code != ErrorCode.None)
        {
            await RefuseAsync(context, reply, key, options.Route);
            return;
        }

        response.Headers.ETag = ETag.Of(reply.Revision);
        // Anybody in between may keep the value but must ask before using it: the ETag makes that cheap.
        response.Headers.CacheControl = "no-cache";
        response.Headers.Vary = "Accept";
        if (options.ReadIfNoneMatch is { } ifNoneMatch && ETag.Matches(ifNoneMatch, reply.Revision))
        {
            response.StatusCode = StatusCodes.Status304NotModified;
            return;
        }

        // Values are other people's bytes: a browser must not sniff them, nor run them as a page of ours.
        response.Headers.XContentTypeOptions = "nosniff";
        response.Headers.ContentSecurityPolicy = "sandbox";
        if (options.Envelope ?? WantsJson(context.Request))
        {
            await JsonBody.WriteAsync(
                context, "application/json", (key, reply), static (json, hit) => WriteEnvelope(json, hit.key, hit.reply));
            return;
        }

        response.ContentType = reply.ContentType ?? DefaultContentType;
        response.ContentLength = reply.Value.Length;
        if (!HttpMethods.IsHead(context.Request.Method))
        {
            await response.BodyWriter.WriteAsync(reply.Value, context.RequestAborted);
        }
    }

    public async Task PutAsync(HttpContext context, KeyForm form)
    {
        long started = Stopwatch.GetTimestamp();
        HttpRequest http = context.Request;
        Problem? problem = Read(context, form, RequestKinds.Put, out byte[] key, out RequestOptions options) ?? CheckContent(http);
        if (problem is not null)
        {
            await door.WriteProblemAsync(context, problem);
            return;
        }

        int limit = door.Config.Limits.ValueBytes;
        byte[]? value = await RequestBody.ReadAsync(http, limit, context.RequestAborted);
        if (value is null)
        {
            await RefuseBodyAsync(context, "valueBytes", limit);
            return;
        }

        KvReply reply = await door.SubmitAsync(Completed(http, options, new KvRequest
        {
            Operation = KvOperation.Put,
            Key = key,
            Value = value,
            ContentType = http.ContentType is { Length: > 0 } contentType ? contentType : null,
            Condition = options.Condition,
        }));

        door.SetHeaders(context.Response, reply, options.Session, started);
        if (reply.Code != ErrorCode.None)
        {
            await RefuseAsync(context, reply, key, options.Route);
            return;
        }

        context.Response.Headers.ETag = ETag.Of(reply.Revision);
        context.Response.StatusCode = reply.Changed ? StatusCodes.Status201Created : StatusCodes.Status204NoContent;
    }

    public async Task DeleteAsync(HttpContext context, KeyForm form)
    {
        long started = Stopwatch.GetTimestamp();
        Problem? problem = Read(context, form, RequestKinds.Delete, out byte[] key, out RequestOptions options);
        if (problem is not null)
        {
            await door.WriteProblemAsync(context, problem);
            return;
        }

        KvReply reply = await door.SubmitAsync(Completed(context.Request, options, new KvRequest
        {
            Operation = KvOperation.Delete,
            Key = key,
            Condition = options.Condition,
        }));

        if (reply.Code == ErrorCode.None && options.Strict && !reply.Changed)
        {
            reply = reply with { Code = ErrorCode.KeyNotFound, Outcome = Outcome.None, Detail = "There was nothing to delete." };
        }

        door.SetHeaders(context.Response, reply, options.Session, started);
        if (reply.Code != ErrorCode.None)
        {
            await RefuseAsync(context, reply, key, options.Route);
            return;
        }

        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    public async Task IncrementAsync(HttpContext context, KeyForm form)
    {
        long started = Stopwatch.GetTimestamp();
        HttpRequest http = context.Request;
        Problem? problem = Read(context, form, RequestKinds.Increment, out byte[] key, out RequestOptions options);
        if (problem is not null)
        {
            await door.WriteProblemAsync(context, problem);
            return;
        }

        byte[]? body = await RequestBody.ReadAsync(http, HttpLimits.MaxIncrementBodyBytes, context.RequestAborted);
        if (body is null)
        {
            await RefuseBodyAsync(context, "incrementBodyBytes", HttpLimits.MaxIncrementBodyBytes);
            return;
        }

        problem = IncrementBody.Read(http, body, out IncrementBody increment);
        if (problem is not null)
        {
            await door.WriteProblemAsync(context, problem);
            return;
        }

        KvReply reply = await door.SubmitAsync(Completed(http, options, new KvRequest
        {
            Operation = KvOperation.Increment,
            Key = key,
            Delta = increment.Delta,
            Initial = increment.Initial,
        }));

        HttpResponse response = context.Response;
        door.SetHeaders(response, reply, options.Session, started);
        if (reply.Code != ErrorCode.None)
        {
            await RefuseAsync(context, reply, key, options.Route);
            return;
        }

        response.Headers.ETag = ETag.Of(reply.Revision);
        await JsonBody.WriteAsync(context, "application/json", reply, static (json, reply) =>
        {
            json.WriteNumber("value", reply.Number);
            json.WriteString("etag", ETag.Of(reply.Revision));
            json.WriteString("revision", reply.Revision.ToString());
        });
    }

    private Problem? Read(HttpContext context, KeyForm form, RequestKinds kind, out byte[] key, out RequestOptions options)
    {
        options = default;
        string rawTarget = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        return KeyInUrl.Read(rawTarget, PrefixSegments, form, door.Config.Limits.KeyBytes, out key)
            ?? RequestOptions.Read(context.Request, kind, door.Config, out options);
    }

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

    /// <summary>A write with everything that is said about writes in general.</summary>
    private KvRequest Completed(HttpRequest http, in RequestOptions options, KvRequest request) => request with
    {
        TimeoutMs = options.TimeoutMs,
        HopsLeft = HopsOf(options.Route),
        Ack = options.Ack,
        Session = door.SessionPointOf(request.Key.Span, options),
        Id = options.IdempotencyKey is { } key ? IdempotencyId.Of(request, http.Method, key, options.FirstSentMs) : null,
    };

    /// <summary>Without hops a node that is not the right one says so instead of passing the request on.</summary>
    private static byte HopsOf(RouteMode route) => route == RouteMode.Proxy ? (byte)1 : (byte)0;

    private KvReply NotTheLeader(GroupId group) => new()
    {
        Code = ErrorCode.WrongNode,
        Outcome = Outcome.NotApplied,
        Detail = $"Node {door.NodeName} does not lead group {group}.",
        LeaderHint = door.Store?.Groups().FirstOrDefault(status => status.Group == group)?.Leader ?? NodeId.None,
    };

    private Task RefuseBodyAsync(HttpContext context, string limitName, int limit)
    {
        // The rest of the body is not worth reading: the connection ends with this answer.
        context.Response.Headers.Connection = "close";
        return door.WriteProblemAsync(context, Problem.BodyTooLarge(limitName, limit));
    }

    private Task RefuseAsync(HttpContext context, KvReply reply, byte[] key, RouteMode route)
    {
        HttpResponse response = context.Response;
        if (reply.Code == ErrorCode.WrongNode && route == RouteMode.Redirect)
        {
            if (door.Nodes.UrlOf(reply.LeaderHint) is not { } leader)
            {
                return door.WriteProblemAsync(context, new Problem(
                    ErrorCode.NoLeader, "This node may not answer and knows of no leader to redirect to.")
                {
                    Group = door.Store?.Routing().GroupOf(key),
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

        return door.WriteProblemAsync(context, Problem.Of(reply, door.Store?.Routing().GroupOf(key)));
    }

    private static bool WantsJson(HttpRequest request)
    {
        foreach (string? accept in request.Headers.Accept)
        {
            ReadOnlySpan<char> types = accept;
            foreach (Range range in types.Split(','))
            {
                ReadOnlySpan<char> type = types[range];
                int parameters = type.IndexOf(';');
                if ((parameters < 0 ? type : type[..parameters]).Trim().Equals("application/json", StringComparison.OrdinalIgnoreCase))
                {
                    return true;
                }
            }
        }

        return false;
    }

    private static void WriteEnvelope(Utf8JsonWriter json, byte[] key, KvReply reply)
    {
        if (Utf8.IsValid(key))
        {
            json.WriteString("key", key);
        }
        else
        {
            json.WriteString("key", Base64Url.EncodeToString(key));
            json.WriteString("keyEncoding", "base64url");
        }

        bool isText = Utf8.IsValid(reply.Value.Span);
        if (isText)
        {
            json.WriteString("value", reply.Value.Span);
        }
        else
        {
            json.WriteBase64String("value", reply.Value.Span);
        }

        json.WriteString("encoding", isText ? "utf8" : "base64");
        json.WriteString("etag", ETag.Of(reply.Revision));
        json.WriteString("revision", reply.Revision.ToString());
        json.WriteNull("expiresAt");
        json.WriteString("consistency", KvHeaders.NameOf(reply.Evidence?.Level ?? ReadLevel.Eventual));
        switch (reply.Evidence)
        {
            case { Level: ReadLevel.Strong }:
                json.WriteNumber("stalenessMs", 0);
                break;
            case { AgeMs: not Evidence.AgeUnknown } evidence:
                json.WriteNumber("stalenessMs", evidence.AgeMs);
                break;
            default:
                json.WriteNull("stalenessMs");
                break;
        }
    }
}
