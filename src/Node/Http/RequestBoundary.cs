using KvStore.Protocol;
using Microsoft.AspNetCore.Http.Features;

namespace KvStore.Node.Http;

/// <summary>
/// The outermost layer: nothing leaves a node without a body that says what happened. Except what Kestrel refuses while it still
/// reads the request line and the headers (%00 in a path, 414, 431, 505): it has no body to write to before they are read, the
/// listeners of its diagnostic event included.
/// </summary>
internal sealed partial class RequestBoundary(FrontDoor door, KeyRoutes keys, ILogger<RequestBoundary> log)
{
    public async Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        try
        {
            // Before routing, which sees the path with its dot segments already collapsed: /v1/kv/a/../b would be /v1/kv/b.
            string rawTarget = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
            if (KeyInUrl.HasDotSegment(KeyInUrl.PathOf(rawTarget)))
            {
                await door.WriteProblemAsync(context, Problem.DotSegment());
                return;
            }

            if (keys.Find(context.Request.Method, rawTarget) is { Handler: { } handler } route)
            {
                await handler(context, route);
                return;
            }

            await next(context);
            if (context.Response is { HasStarted: false, ContentType: null, StatusCode: 404 or 405 })
            {
                await door.WriteProblemAsync(context, context.Response.StatusCode == 404
                    ? Problem.UnknownRoute(context.Request.Path)
                    : Problem.MethodNotAllowed(context.Request.Method, context.Response.Headers.Allow.ToString()));
            }
        }
        catch (BadHttpRequestException bad) when (!context.Response.HasStarted)
        {
            context.Response.Headers.Connection = "close";
            await door.WriteProblemAsync(context, Problem.Invalid(bad.Message) with { Status = bad.StatusCode });
        }
        catch (Exception) when (context.RequestAborted.IsCancellationRequested)
        {
            // The client has gone: nobody is left to tell.
        }
        catch (Exception error)
        {
            LogFailure(log, error, context.Request.Method, context.Request.Path);
            if (context.Response.HasStarted)
            {
                context.Abort();
                return;
            }

            context.Response.Clear();
            await door.WriteProblemAsync(
                context, new Problem(ErrorCode.Internal, "The node failed while handling this request; its log has the reason."));
        }
    }

    [LoggerMessage(EventId = 3001, Level = LogLevel.Error, Message = "{Method} {Path} failed")]
    private static partial void LogFailure(ILogger log, Exception error, string method, string path);
}
