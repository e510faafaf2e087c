using System.Buffers.Text;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Unicode;
using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>GET and HEAD of one key.</summary>
internal sealed class GetRoute(FrontDoor door) : OperationRoute(door)
{
    private const string DefaultContentType = "application/octet-stream";

    public override byte Code => Get.OperationCode;

    protected override string Noun => "a read";

    public override Func<OperationJson, Operation> OfJson => item => new Get(item.Key);

    public override IEnumerable<Route> Offered => KeyPaths.Of("GetValue", (path, form, id) =>
        new Route(HttpMethods.Get, path, id, Area.Data, "Read a value", GetAsync)
        {
            Options = RequestKinds.Read | RequestKinds.Match | RequestKinds.Create,
            KeyForm = form,
            Answers =
            [
                new(
                    200,
                    "The bytes with the Content-Type they were stored with, or the JSON envelope. "
                        + "Kv-Served-By, Kv-Consistency and Kv-Staleness say what the answer is worth.",
                    "*/*"),
                new(304, "If-None-Match names the version the key still has."),
                RouteAnswer.Problem(404, ErrorCode.KeyNotFound),
                RouteAnswer.ConditionFailed,
                .. RouteAnswer.EveryRead,
            ],
        });

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask GetAsync(HttpContext context, Route route)
    {
        long started = Stopwatch.GetTimestamp();
        Problem? problem = Read(context, route, out byte[] key, out RequestOptions options);
        if (problem is not null)
        {
            await Door.WriteProblemAsync(context, problem);
            return;
        }

        // A follower can prove a strong read by asking the leader; who says redirect or strict does not want that detour, nor to wait for it.
        bool fromLeaderOnly = options.Route != RouteMode.Proxy && options.Level == ReadLevel.Strong;
        KvReply? reply = fromLeaderOnly ? NotTheLeader(key) : null;
        if (reply is null)
        {
            // HEAD reads the value, too: its length is one of the headers that must be those of GET.
            reply = await Door.SubmitAsync(Door.ReadRequest(new Get(key), options, HopsOf(options.Route)), context.RequestAborted);
            if (fromLeaderOnly && reply.Evidence is { Role: not ServedRole.Leader } evidence)
            {
                reply = NotTheLeader(evidence.Group, LeaderOf(evidence.Group));
            }
        }

        HttpResponse response = context.Response;
        Door.SetHeaders(response, reply, options.Session, started);
        if (options.ReadIfMatch is { } ifMatch && reply.Code is ErrorCode.None or ErrorCode.KeyNotFound
            && !(reply.Code == ErrorCode.None && (ifMatch == "*" || ETag.RevisionOf(ifMatch) == reply.Revision)))
        {
            if (reply.Code == ErrorCode.None)
            {
                response.Headers.ETag = ETag.Of(reply.Revision);
            }

            await Door.WriteProblemAsync(context, new Problem(ErrorCode.ConditionFailed, "If-Match names another version of the key.")
            {
                Group = reply.Evidence?.Group,
            });
            return;
        }

        if (reply.Result is not Found found)
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

        ReadOnlyMemory<byte> value = found.Value;
        bool isHead = HttpMethods.IsHead(context.Request.Method);
        using AnswerShare? share = value.Length > AnswerBudget.FreeBytes && !isHead ? new(Door.Answers) : null;
        if (share is not null && !share.TryKeep(value.Length, context))
        {
            response.Headers.Remove("ETag");
            response.Headers.Remove("Vary");
            await Door.WriteProblemAsync(context, AnswerShare.Full);
            return;
        }

        // Values are other people's bytes: a browser must not sniff them, nor run them as a page of ours.
        response.Headers.XContentTypeOptions = "nosniff";
        response.Headers.ContentSecurityPolicy = "sandbox";
        if (options.Envelope ?? WantsJson(context.Request))
        {
            await JsonBody.WriteInPartsAsync(
                context, "application/json", (key, reply), static (parts, hit) => WriteEnvelopeAsync(parts, hit.key, hit.reply));
            return;
        }

        response.ContentType = found.ContentType is { } type && IsSendable(type) ? type : DefaultContentType;
        response.ContentLength = value.Length;
        if (isHead)
        {
            return;
        }

        // In parts: what is written at once lies in the server's buffer as a whole, beside the value.
        for (int from = 0; from < value.Length; from += AnswerBudget.FreeBytes)
        {
            await response.BodyWriter.WriteAsync(value.Slice(from, Math.Min(AnswerBudget.FreeBytes, value.Length - from)), context.RequestAborted);
        }
    }

    /// <summary>A value that an older build took may have a content type that no header can carry.</summary>
    private static bool IsSendable(string contentType) => !contentType.AsSpan().ContainsAnyExceptInRange(' ', '~');

    /// <summary>Null: the replica here leads, or knows no leader to point to, or there is none; the store says what is to be said then.</summary>
    private KvReply? NotTheLeader(byte[] key) =>
        Door.Store is { } store && store.Routing().GroupOf(key) is var group && LeaderOf(group) is { IsNone: false } leader
            && leader != store.Introduction.NodeId
            ? NotTheLeader(group, leader)
            : null;

    /// <summary>As this node's replica of the group knows it.</summary>
    private NodeId LeaderOf(GroupId group) => Door.Store?.Groups().FirstOrDefault(status => status.Group == group)?.Leader ?? NodeId.None;

    private KvReply NotTheLeader(GroupId group, NodeId leader) => new()
    {
        Code = ErrorCode.WrongNode,
        Outcome = Outcome.NotApplied,
        Detail = $"Node {Door.NodeName} does not lead group {group}.",
        LeaderHint = leader,
    };

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

    private static async ValueTask WriteEnvelopeAsync(JsonParts parts, byte[] key, KvReply reply)
    {
        Utf8JsonWriter json = parts.Json;
        if (Utf8.IsValid(key))
        {
            json.WriteString("key", key);
        }
        else
        {
            json.WriteString("key", Base64Url.EncodeToString(key));
            json.WriteString("keyEncoding", "base64url");
        }

        await parts.WriteValueAsync(((Found)reply.Result!).Value);
        json.WriteString("etag", ETag.Of(reply.Revision));
        json.WriteString("revision", reply.Revision.ToString());
        json.WriteNull("expiresAt");
        EvidenceJson.Write(json, reply.Evidence);
    }
}
