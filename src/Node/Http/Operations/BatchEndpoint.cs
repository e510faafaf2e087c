using System.Diagnostics;
using System.Text.Json;
using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>
/// POST of many operations that have nothing to do with each other: each becomes a request of its own, under an id of its own, and has an
/// outcome of its own. Nothing is atomic here (that is /v1/txn), and operations on one key are done in no promised order.
/// </summary>
internal sealed class BatchEndpoint(FrontDoor door)
{
    /// <summary>Requests of one batch under way at a time; the others wait for their turn.</summary>
    private const int MaxUnderWay = 32;

    /// <summary>Bytes of values in one answer; gets behind that are answered TooLarge and not asked.</summary>
    private const int MaxAnswerBytes = Limits.MaxRequestBytes;

    private const string Json = "application/json";

    private static readonly KvReply NoTime = new()
    {
        Code = ErrorCode.Timeout,
        Outcome = Outcome.NotApplied,
        Detail = "The deadline passed before it was the operation's turn; send it again, or give the batch more time by Kv-Timeout.",
    };

    private static readonly KvReply NoRoom = new()
    {
        Code = ErrorCode.TooLarge,
        Outcome = Outcome.NotApplied,
        Detail = $"The values before it have more than {MaxAnswerBytes} bytes, which is all that one answer takes; ask for it in another batch.",
    };

    private readonly Lazy<OperationItems> _items = new(() => new OperationItems(door));

    public Route Route => new(HttpMethods.Post, "/v1/batch", "RunBatch", Area.Data, "Many operations, each for itself", RunAsync)
    {
        Options = RequestKinds.ReadOrWrite,
        RequestMediaTypes = [Json],
        RequestDescription = """
            {"items": [operation, …]}, 1 to 512, spelled as in /v1/txn, with any keys. Each is done or refused by itself; on one key their order is not
            promised. With an Idempotency-Key the whole batch may be sent again: what was done is not done twice.
            """,
        Answers =
        [
            new(
                200,
                """
                {"atomic": false, "results": [in the order of the items]}: "status" is what the operation alone would have been answered with; a
                failure has "code", "outcome" ("not-applied", "unknown", "applied"), "retryable" and "detail".
                """,
                Json),
            RouteAnswer.Problem(400, ErrorCode.InvalidRequest, ErrorCode.SessionTokenInvalid),
            RouteAnswer.Problem(413, ErrorCode.TooLarge),
            new(415, "The body is not JSON.", "application/problem+json"),
            new(431, "TooLarge: the session token.", "application/problem+json"),
            RouteAnswer.Problem(503, ErrorCode.Starting),
        ],
    };

    private async ValueTask RunAsync(HttpContext context, Route route)
    {
        long started = Stopwatch.GetTimestamp();
        Problem? problem = RequestOptions.Read(context.Request, route.Options, "a batch", door.Config, out RequestOptions options)
            ?? (context.Request.HasJsonContentType() ? null : Problem.Unsupported("A batch is JSON: send Content-Type: application/json."))
            ?? (door.Store is null ? door.Starting() : null);
        if (problem is not null)
        {
            await door.WriteProblemAsync(context, problem);
            return;
        }

        if (await RequestBody.ReadAsync(context.Request, door.Config.Limits.RequestBytes, door.Bodies, context.RequestAborted) is not { } body)
        {
            context.Response.Headers.Connection = "close";
            await door.WriteProblemAsync(context, Problem.BodyTooLarge("requestBytes", door.Config.Limits.RequestBytes));
            return;
        }

        Operation[] operations;
        try
        {
            operations = OperationItems.Read(body, json =>
            {
                Operation[] items = [.. json.List("items").Select(_items.Value.Read)];
                return items.Length is > 0 and <= Limits.MaxBatchItems
                    ? items
                    : throw new JsonShapeException($"A batch has 1 to {Limits.MaxBatchItems} items.");
            });
        }
        catch (JsonShapeException e)
        {
            await door.WriteProblemAsync(context, Problem.Invalid(e.Message));
            return;
        }

        KvReply[] replies = await AskAsync(context, operations, options, started);
        SessionToken session = options.Session ?? SessionToken.Empty(door.Config.ClusterId);
        foreach (KvReply reply in replies.Where(reply => reply is { IsExecuted: true, Evidence: not null }))
        {
            session = session.After(reply);
        }

        context.Response.Headers[KvHeaders.Session] = session.ToString();
        await JsonBody.WriteAsync(context, Json, (operations, replies), static (json, done) => Write(json, done.operations, done.replies));
    }

    private async Task<KvReply[]> AskAsync(HttpContext context, Operation[] operations, RequestOptions options, long started)
    {
        KvReply[] replies = new KvReply[operations.Length];
        long answerBytes = 0;
        for (int first = 0; first < operations.Length; first += MaxUnderWay)
        {
            int leftMs = options.TimeoutMs - (int)Stopwatch.GetElapsedTime(started).TotalMilliseconds;
            int count = Math.Min(MaxUnderWay, operations.Length - first);
            var asked = new Task<KvReply>[count];
            for (int i = 0; i < count; i++)
            {
                asked[i] = operations[first + i] switch
                {
                    _ when leftMs <= 0 => Task.FromResult(NoTime),
                    ReadOperation when answerBytes > MaxAnswerBytes => Task.FromResult(NoRoom),
                    ReadOperation read => door.SubmitAsync(door.ReadRequest(read, options, hopsLeft: 1) with { TimeoutMs = leftMs }).AsTask(),
                    var write => door.SubmitAsync(WriteRequest(context, (WriteOperation)write, first + i, options, leftMs)).AsTask(),
                };
            }

            for (int i = 0; i < count; i++)
            {
                replies[first + i] = await asked[i];
                answerBytes += replies[first + i].Result?.HeldBytes ?? 0;
            }
        }

        return replies;
    }

    private KvRequest WriteRequest(HttpContext context, WriteOperation operation, int place, in RequestOptions options, int timeoutMs) => new()
    {
        Operation = operation,
        TimeoutMs = timeoutMs,
        HopsLeft = 1,
        Ack = options.Ack,
        Session = door.SessionPointOf(operation.Key.Span, options),
        Id = options.IdempotencyKey is { } key
            ? IdempotencyId.Of(operation, $"{context.Request.Method} item {place}", key, options.FirstSentMs, contentType: null)
            : null,
    };

    private static void Write(Utf8JsonWriter json, Operation[] operations, KvReply[] replies)
    {
        json.WriteBoolean("atomic", false);
        json.WriteStartArray("results");
        for (int i = 0; i < replies.Length; i++)
        {
            KvReply reply = replies[i];
            ErrorCodeEntry entry = ErrorCodes.Of(reply.Code);
            json.WriteStartObject();
            json.WriteString("op", OperationTable.Find(operations[i].Code)!.Name);
            json.WriteNumber("status", reply.Code == ErrorCode.None ? reply.Result is Written { Created: true } ? 201 : 200 : entry.HttpStatus);
            if (reply.Code is not (ErrorCode.None or ErrorCode.KeyNotFound))
            {
                json.WriteString("code", reply.Code.ToString());
                json.WriteBoolean("retryable", entry.Retryable);
                if (ProblemWriter.NameOf(reply.Outcome) is { } outcome)
                {
                    json.WriteString("outcome", outcome);
                }

                json.WriteString("detail", reply.Detail);
            }

            OperationItems.Write(json, new ItemResult(reply.Code, reply.Outcome, reply.Detail, reply.Result));
            if (reply is { IsExecuted: true, Evidence: { } evidence })
            {
                json.WriteString("consistency", KvHeaders.NameOf(evidence.Level));
                if (evidence.Level != ReadLevel.Strong && evidence.AgeMs == Evidence.AgeUnknown)
                {
                    json.WriteNull("stalenessMs");
                }
                else
                {
                    json.WriteNumber("stalenessMs", evidence.Level == ReadLevel.Strong ? 0 : evidence.AgeMs);
                }
            }

            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
