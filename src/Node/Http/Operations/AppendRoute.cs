using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>POST of bytes to the end of a value.</summary>
internal sealed class AppendRoute(FrontDoor door) : ValueRoute(door)
{
    public override byte Code => Append.OperationCode;

    protected override string Noun => "an append";

    public override Func<OperationJson, Operation> OfJson =>
        item => new Append(item.Key, item.Value, item.ContentTypeToStore, item.Condition);

    public override IEnumerable<Route> Offered =>
    [
        new(HttpMethods.Post, "/v1/append/{key}", "AppendValue", Area.Data, "Add bytes to the end of a value", WriteValueAsync)
        {
            Options = RequestKinds.Write | RequestKinds.Match | RequestKinds.Create,
            RequestMediaTypes = ["text/plain", "application/octet-stream"],
            RequestDescription = "The bytes to add. Their Content-Type is stored when the key is created; a key that exists keeps its own.",
            Answers =
            [
                new(201, "Created. ETag and Kv-Revision name the new version."),
                new(204, "Added. ETag and Kv-Revision name the new version."),
                RouteAnswer.ConditionFailed,
                new(415, "Content-Encoding is not stored.", "application/problem+json"),
                .. RouteAnswer.EveryWrite,
            ],
        },
    ];

    protected override WriteOperation OperationOf(byte[] key, byte[] value, string? contentType, in RequestOptions options) =>
        new Append(key, value, contentType, options.Condition);
}
