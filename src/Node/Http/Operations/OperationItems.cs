using System.Text.Json;
using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>Lists of operations in JSON bodies, and what became of each; an operation's own spelling is at its route.</summary>
internal sealed class OperationItems(FrontDoor door)
{
    private static readonly JsonDocumentOptions Strictly = new() { AllowDuplicateProperties = false, MaxDepth = 8 };

    private readonly Dictionary<byte, OperationRoute> _routes = OperationRoute.AllOf(door).ToDictionary(route => route.Code);

    /// <summary>By every name that "op" may say.</summary>
    private readonly OrderedDictionary<string, Func<OperationJson, Operation>> _operations = new(
        from route in OperationRoute.AllOf(door)
        where route.OfJson is not null
        from name in route.ShortName is { } other ? [OperationTable.Find(route.Code)!.Name, other] : new[] { OperationTable.Find(route.Code)!.Name }
        select KeyValuePair.Create(name, route.OfJson!));

    /// <summary>The whole body, by what <paramref name="read"/> takes from it; members that nobody took are refused.</summary>
    /// <exception cref="JsonShapeException">The body is not JSON, or not of this shape.</exception>
    public static T Read<T>(byte[] body, Func<OperationJson, T> read)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(body, Strictly);
            OperationJson root = new(document.RootElement, "");
            T result = read(root);
            root.End();
            return result;
        }
        catch (Exception fault) when (JsonShapeException.IsCause(fault))
        {
            throw JsonShapeException.Of(fault);
        }
    }

    /// <summary>One of them.</summary>
    /// <exception cref="JsonShapeException">A member is missing, too much, or not what it must be.</exception>
    public Operation Read(OperationJson item)
    {
        string name = item.Operation;
        if (!_operations.TryGetValue(name, out Func<OperationJson, Operation>? read))
        {
            throw item.Wrong("op", $"is \"{Excerpt.Of(name)}\"; known here are {string.Join(", ", _operations.Keys)}");
        }

        Operation operation = read(item);
        item.End();
        return operation;
    }

    /// <summary>What the operation alone would have been answered with.</summary>
    public int StatusOf(Operation operation, KvReply reply) => reply is { Code: ErrorCode.None, Result: { } result }
        ? _routes[operation.Code].StatusOf(result)
        : ErrorCodes.Of(reply.Code).HttpStatus;

    /// <summary>The members that say what became of one.</summary>
    public static async ValueTask WriteAsync(JsonParts parts, ItemResult item)
    {
        Utf8JsonWriter json = parts.Json;
        switch (item.Result)
        {
            case Found found:
                json.WriteBoolean("found", true);
                await parts.WriteValueAsync(found.Value);
                json.WriteString("contentType", found.ContentType ?? "application/octet-stream");
                break;
            case Written written:
                json.WriteBoolean("created", written.Created);
                break;
            case Deleted deleted:
                json.WriteBoolean("existed", deleted.Existed);
                break;
            case Counted counted:
                json.WriteNumber("value", counted.Number);
                break;
            case var _ when item.Code is ErrorCode.KeyNotFound or ErrorCode.Superseded:
                json.WriteBoolean("found", item.Code == ErrorCode.Superseded);
                break;
        }

        if (item.Result is { Revision: not 0 } result)
        {
            json.WriteString("etag", ETag.Of(result.Revision));
            json.WriteString("revision", result.Revision.ToString());
        }

        await parts.SendWholePartAsync();
    }
}
