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
    /// <summary>
    /// Requests of one batch under way at a time; the others wait for their turn. Gets fewer, as long as those before them let expect that their
    /// values would not fit into the answer.
    /// </summary>
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
        Detail = $"It does not fit behind the values before it into the {MaxAnswerBytes} bytes of values that one answer takes; ask for it in another batch.",
    };

    private readonly Lazy<OperationItems> _items = new(() => new OperationItems(door));

    private FrontDoor Door => door;

    public Route Route => new(HttpMethods.Post, "/v1/batch", "RunBatch", Area.Data, "Many operations, each for itself", RunAsync)
    {
        Options = RequestKinds.ReadOrWrite,
        RequestMediaTypes = [Json],
        RequestDescription = """
            {"items": [operation, …]}, 1 to 512, spelled as in /v1/txn, with any keys. Each is done or refused by itself; on one key their order is not
            promised. With an Idempotency-Key the whole batch may be sent again: what was done is not done twice. The values of one answer have
            at most 4 MiB: gets behind that are TooLarge. While other answers have all the room this node has for them, gets are Overloaded.
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
        Problem? problem = RequestOptions.Read(context.Request, route.Options, "a batch", door.Config, out RequestOptions options)
            ?? (context.Request.HasJsonContentType() ? null : Problem.Unsupported("A batch is JSON: send Content-Type: application/json."))
            ?? (door.Store is null ? door.Starting() : null);
        if (problem is not null)
        {
            await door.WriteProblemAsync(context, problem);
            return;
        }

        if (await door.ReadBodyAsync(context, "requestBytes", door.Config.Limits.RequestBytes) is not { } body)
        {
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

        using AnswerShare share = new(door.Answers);
        KvReply[] replies = await new Run(this, context, operations, options, share).AskAsync();
        SessionToken session = options.Session ?? SessionToken.Empty(door.Config.ClusterId);
        foreach (KvReply reply in replies.Where(reply => reply is { IsExecuted: true, Evidence: not null }))
        {
            session = session.After(reply);
        }

        context.Response.Headers[KvHeaders.Session] = session.ToString();
        share.Keep(share.Bytes, context);
        await JsonBody.WriteInPartsAsync(context, Json, (operations, replies), (parts, done) => WriteAsync(parts, done.operations, done.replies));
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

    private async ValueTask WriteAsync(JsonParts parts, Operation[] operations, KvReply[] replies)
    {
        Utf8JsonWriter json = parts.Json;
        json.WriteBoolean("atomic", false);
        json.WriteStartArray("results");
        for (int i = 0; i < replies.Length; i++)
        {
            KvReply reply = replies[i];
            ErrorCodeEntry entry = ErrorCodes.Of(reply.Code);
            json.WriteStartObject();
            json.WriteString("op", OperationTable.Find(operations[i].Code)!.Name);
            json.WriteNumber("status", _items.Value.StatusOf(operations[i], reply));
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

            await OperationItems.WriteAsync(parts, new ItemResult(reply.Code, reply.Outcome, reply.Detail, reply.Result));
            if (reply is { IsExecuted: true, Evidence: { } evidence })
            {
                EvidenceJson.Write(json, evidence);
            }

            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    /// <summary>
    /// The requests of one batch: begun in order, a few at a time, and looked at in order. A get takes room for the largest value there may be
    /// before it begins, and keeps what its value has.
    /// </summary>
    private sealed class Run(
        BatchEndpoint batch, HttpContext context, Operation[] operations, RequestOptions options, AnswerShare share)
    {
        private readonly KvReply[] _replies = new KvReply[operations.Length];
        private readonly Queue<(int Place, Task<KvReply> Reply)> _underWay = new(MaxUnderWay);
        /// <summary>The deadline is for the work: a body that came slowly has not used it up.</summary>
        private readonly long _started = Stopwatch.GetTimestamp();
        private readonly int _mostBytes = batch.Door.Config.Limits.ValueBytes;
        private int _getsUnderWay;
        private int? _largestBytes;
        private int _answerBytes;
        private bool _isFull;

        public async Task<KvReply[]> AskAsync()
        {
            for (int i = 0; i < operations.Length; i++)
            {
                while (_underWay.Count == MaxUnderWay
                    || (operations[i] is ReadOperation && _getsUnderWay > 0 && _getsUnderWay >= GetsAtATime))
                {
                    await FinishOneAsync();
                }

                if (_isFull && operations[i] is ReadOperation)
                {
                    _replies[i] = AnswerShare.FullReply;
                }
                else if (LeftMs <= 0)
                {
                    _replies[i] = NoTime;
                }
                else if (operations[i] is ReadOperation read)
                {
                    await BeginAsync(read, i);
                }
                else
                {
                    KvRequest write = batch.WriteRequest(context, (WriteOperation)operations[i], i, options, LeftMs);
                    _underWay.Enqueue((i, batch.Door.SubmitAsync(write).AsTask()));
                }
            }

            while (_underWay.Count > 0)
            {
                await FinishOneAsync();
            }

            return _replies;
        }

        private int LeftMs => options.TimeoutMs - (int)Stopwatch.GetElapsedTime(_started).TotalMilliseconds;

        /// <summary>As many as fit if they are as large as the largest until now, or as large as can be before the first.</summary>
        private int GetsAtATime => (MaxAnswerBytes - _answerBytes) / Math.Max(1, _largestBytes ?? _mostBytes);

        private async ValueTask BeginAsync(ReadOperation read, int place)
        {
            if (_answerBytes >= MaxAnswerBytes)
            {
                _replies[place] = NoRoom;
                return;
            }

            bool hasRoom = share.TryTake(_mostBytes);
            while (!hasRoom && _underWay.Count > 0)
            {
                await FinishOneAsync();
                hasRoom = share.TryTake(_mostBytes);
            }

            // Who holds much already does not wait for others who may wait for it; and what comes behind needs time, too.
            if (!hasRoom && share.Bytes <= AnswerBudget.FreeBytes)
            {
                hasRoom = await share.TakeAsync(_mostBytes, LeftMs / 2, context.RequestAborted);
            }

            if (!hasRoom)
            {
                _isFull = true;
                _replies[place] = AnswerShare.FullReply;
                return;
            }

            _getsUnderWay++;
            KvRequest request = batch.Door.ReadRequest(read, options, hopsLeft: 1) with { TimeoutMs = Math.Max(1, LeftMs) };
            _underWay.Enqueue((place, batch.Door.SubmitAsync(request, context.RequestAborted).AsTask()));
        }

        private async ValueTask FinishOneAsync()
        {
            (int place, Task<KvReply> asked) = _underWay.Dequeue();
            KvReply reply = await asked;
            if (operations[place] is ReadOperation)
            {
                _getsUnderWay--;
                int bytes = reply.Result?.HeldBytes ?? 0;
                _largestBytes = Math.Max(_largestBytes ?? 0, bytes);
                if (_answerBytes + bytes > MaxAnswerBytes)
                {
                    (reply, bytes) = (NoRoom, 0);
                }

                _answerBytes += bytes;
                share.Return(_mostBytes - bytes);
            }

            _replies[place] = reply;
        }
    }
}
