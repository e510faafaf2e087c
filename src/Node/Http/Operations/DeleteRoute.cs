using System.Diagnostics;
using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>DELETE of one key.</summary>
internal sealed class DeleteRoute(FrontDoor door) : OperationRoute(door)
{
    public override byte Code => Delete.OperationCode;

    protected override string Noun => "a delete";

    public override Func<OperationJson, Operation> OfJson => item => new Delete(item.Key, item.Condition);

    public override string ShortName => "del";

    public override int StatusOf(Result result) => StatusCodes.Status204NoContent;

    public override IEnumerable<Route> Offered => KeyPaths.Of("DeleteValue", (path, form, id) =>
        new Route(HttpMethods.Delete, path, id, Area.Data, "Delete a key", DeleteAsync)
        {
            Options = RequestKinds.Write | RequestKinds.Match | RequestKinds.Remove,
            KeyForm = form,
            Answers =
            [
                new(204, "It is not there any more. Kv-Revision is the revision of the delete."),
                new(404, "KeyNotFound: with ?strict, when there was nothing to delete.", "application/problem+json"),
                RouteAnswer.ConditionFailed,
                .. RouteAnswer.EveryWrite,
            ],
        });

    private async ValueTask DeleteAsync(HttpContext context, Route route)
    {
        long started = Stopwatch.GetTimestamp();
        Problem? problem = Read(context, route, out byte[] key, out RequestOptions options);
        if (problem is not null)
        {
            await Door.WriteProblemAsync(context, problem);
            return;
        }

        KvReply? reply = await WriteAsync(context, new Delete(key, options.Condition), options, started);
        if (reply is null)
        {
            return;
        }

        if (options.Strict && reply.Result is Deleted { Existed: false })
        {
            KvReply nothing = reply with { Code = ErrorCode.KeyNotFound, Outcome = Outcome.None, Detail = "There was nothing to delete." };
            context.Response.Headers.Remove(KvHeaders.Revision);
            await RefuseAsync(context, nothing, key, options.Route);
            return;
        }

        context.Response.StatusCode = StatusOf(reply.Result!);
    }
}
