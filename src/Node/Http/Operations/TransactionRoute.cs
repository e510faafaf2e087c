using System.Diagnostics;
using System.Text.Json;
using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>POST of a transaction: conditions, what is done when they hold, and what otherwise.</summary>
internal sealed class TransactionRoute(FrontDoor door) : OperationRoute(door)
{
    private const string Json = "application/json";

    private readonly Lazy<OperationItems> _items = new(() => new OperationItems(door));

    public override byte Code => Transaction.OperationCode;

    protected override string Noun => "a transaction";

    public override IEnumerable<Route> Offered =>
    [
        new(HttpMethods.Post, "/v1/txn", "RunTransaction", Area.Data, "Compare, then write and read, as one", RunAsync)
        {
            Options = RequestKinds.Write,
            RequestMediaTypes = [Json],
            RequestDescription = """
                {"if": [condition, …], "then": [operation, …], "else": [operation, …]}, each list at most once and possibly left out; all keys
                of one slot: give them one hash tag {…}. A condition is {"key", "is"}, where is says "absent", "exists", {"revision": text} or
                {"value": text, "encoding": "utf8" or "base64", "contentType": text}. An operation is {"op": "put", "key", "value", "encoding",
                "contentType"}, {"op": "append", …}, {"op": "delete", "key"}, {"op": "incr", "key", "delta", "initial"} or {"op": "get", "key"};
                writes also take "ifMatch" or "ifAbsent": when that does not hold nothing of the transaction is written.
                """,
            Answers =
            [
                new(
                    200,
                    """
                    {"succeeded": whether the conditions held, "revision": text, "results": [of each operation that was done, in order]}.
                    Answered again to a repeated Idempotency-Key, a get whose version is gone has the code Superseded.
                    """,
                    Json),
                RouteAnswer.ConditionFailed,
                new(415, "The body is not JSON.", "application/problem+json"),
                .. RouteAnswer.EveryWrite,
            ],
        },
    ];

    private async ValueTask RunAsync(HttpContext context, Route route)
    {
        long started = Stopwatch.GetTimestamp();
        Problem? problem = RequestOptions.Read(context.Request, route.Options, Noun, Door.Config, out RequestOptions options);
        if (problem is null && !context.Request.HasJsonContentType())
        {
            problem = Problem.Unsupported("A transaction is JSON: send Content-Type: application/json.");
        }

        if (problem is not null)
        {
            await Door.WriteProblemAsync(context, problem);
            return;
        }

        if (await Door.ReadBodyAsync(context, "requestBytes", Door.Config.Limits.RequestBytes) is not { } body)
        {
            return;
        }

        Transaction transaction;
        try
        {
            transaction = OperationItems.Read(body, Read);
        }
        catch (JsonShapeException e)
        {
            await Door.WriteProblemAsync(context, Problem.Invalid(e.Message));
            return;
        }

        // Taken before it is done: afterwards it could not be refused any more.
        using AnswerShare share = new(Door.Answers);
        long begun = Stopwatch.GetTimestamp();
        if (!await share.TakeAsync(ReadBytesAtMost(transaction), options.TimeoutMs / 2, context.RequestAborted))
        {
            await Door.WriteProblemAsync(context, AnswerShare.Full);
            return;
        }

        KvReply? reply = await WriteAsync(context, transaction, options.LeftSince(begun), started);
        if (reply is { Result: TransactionResult result })
        {
            share.Keep(result.HeldBytes, context);
            await JsonBody.WriteInPartsAsync(
                context, Json, (transaction, result), static (parts, done) => WriteAsync(parts, done.transaction, done.result));
        }
    }

    private Transaction Read(OperationJson body)
    {
        KeyCondition[] conditions =
        [
            .. body.List("if").Select(condition =>
            {
                KeyCondition read = condition.KeyCondition();
                condition.End();
                return read;
            }),
        ];
        Operation[] then = [.. body.List("then").Select(_items.Value.Read)];
        Operation[] otherwise = [.. body.List("else").Select(_items.Value.Read)];
        body.End();
        return conditions.Length + then.Length + otherwise.Length is > 0 and <= Limits.MaxBatchItems
            ? new Transaction(conditions, then, otherwise)
            : throw new JsonShapeException($"A transaction has 1 to {Limits.MaxBatchItems} conditions and operations in all.");
    }

    private int ReadBytesAtMost(Transaction transaction)
    {
        int reads = Math.Max(transaction.Then.Count(item => item is ReadOperation), transaction.Otherwise.Count(item => item is ReadOperation));
        return (int)Math.Min((long)reads * Door.Config.Limits.ValueBytes, Limits.MaxTransactionReadBytes);
    }

    private static async ValueTask WriteAsync(JsonParts parts, Transaction transaction, TransactionResult result)
    {
        Utf8JsonWriter json = parts.Json;
        IReadOnlyList<Operation> operations = result.Succeeded ? transaction.Then : transaction.Otherwise;
        json.WriteBoolean("succeeded", result.Succeeded);
        json.WriteString("revision", result.Revision.ToString());
        json.WriteStartArray("results");
        for (int i = 0; i < result.Items.Count; i++)
        {
            json.WriteStartObject();
            json.WriteString("op", OperationTable.Find(operations[i].Code)!.Name);
            if (result.Items[i].Code == ErrorCode.Superseded)
            {
                json.WriteString("code", nameof(ErrorCode.Superseded));
            }

            await OperationItems.WriteAsync(parts, result.Items[i]);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
