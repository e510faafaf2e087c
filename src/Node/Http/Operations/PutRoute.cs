using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>PUT of one key.</summary>
internal sealed class PutRoute(FrontDoor door) : ValueRoute(door)
{
    public override byte Code => Put.OperationCode;

    protected override string Noun => "a put";

    public override Func<OperationJson, Operation> OfJson =>
        item => new Put(item.Key, item.Value, item.ContentTypeToStore, item.Condition);

    public override IEnumerable<Route> Offered => KeyPaths.Of("PutValue", (path, form, id) =>
        new Route(HttpMethods.Put, path, id, Area.Data, "Write a value", WriteValueAsync)
        {
            Options = RequestKinds.Write | RequestKinds.Match | RequestKinds.Create,
            KeyForm = form,
            RequestMediaTypes = ["text/plain", "application/octet-stream", "application/json"],
            RequestDescription = "The value, as it is. Any Content-Type will do; it is stored with the value.",
            Answers =
            [
                new(201, "Created. ETag and Kv-Revision name the new version."),
                new(204, "Replaced. ETag and Kv-Revision name the new version."),
                RouteAnswer.ConditionFailed,
                new(415, "Content-Encoding is not stored.", "application/problem+json"),
                .. RouteAnswer.EveryWrite,
            ],
        });

    protected override WriteOperation OperationOf(byte[] key, byte[] value, string? contentType, in RequestOptions options) =>
        new Put(key, value, contentType, options.Condition);
}
