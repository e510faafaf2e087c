using KvStore.Node.Doors;
using KvStore.Node.Logging;
using KvStore.Protocol;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;

namespace KvStore.Node.Http;

/// <summary>
/// The outermost layer: nothing leaves a node without a body that says what happened. Except what Kestrel refuses while it still
/// reads the request line and the headers (%00 in a path, 414, 431, 505): it has no body to write to before they are read, the
/// listeners of its diagnostic event included.
/// </summary>
internal sealed partial class RequestBoundary(FrontDoor door, KeyRoutes keys, ILogger<RequestBoundary> log)
{
    /// <summary>A client that knows how to make a handler fail must not fill the log: one line of it, with how many were left out.</summary>
    private static readonly TimeSpan LineInterval = TimeSpan.FromSeconds(10);

    private readonly LogThrottle _failures = new(TimeProvider.System, LineInterval);
    private readonly SiteGuard _site = new(door.Config);

    public async Task InvokeAsync(HttpContext context, RequestDelegate next)
    {
        Place? place = context.Features.Get<Place>();
        place?.Begin();
        try
        {
            if (RestDoor.Judge(context, place, door) is { } full)
            {
                await door.WriteProblemAsync(context, full);
                return;
            }

            // Before routing, which sees the path with its dot segments already collapsed: /v1/kv/a/../b would be /v1/kv/b.
            string rawTarget = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
            if (KeyInUrl.HasDotSegment(KeyInUrl.PathOf(rawTarget)))
            {
                await door.WriteProblemAsync(context, Problem.DotSegment());
                return;
            }

            if (_site.Judge(context.Request) is { } refused)
            {
                await door.WriteProblemAsync(context, refused);
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
        catch (OperationCanceledException) when (
            door.Draining.IsCancellationRequested && !context.RequestAborted.IsCancellationRequested && !context.Response.HasStarted)
        {
            // A body that was still coming: nothing has been asked of the store yet.
            context.Response.Headers.Connection = "close";
            await door.WriteProblemAsync(context, door.Stopping());
        }
        catch (Exception error) when (
            context.RequestAborted.IsCancellationRequested || error is ConnectionResetException or ConnectionAbortedException)
        {
            // The client has gone, which whoever reads its body may hear first: nobody is left to tell.
        }
        catch (Exception error)
        {
            if (_failures.TryEnter(out long leftOut))
            {
                LogFailure(log, error, Excerpt.Of(context.Request.Method), Excerpt.Of($"{context.Request.Path}"), leftOut);
            }

            if (context.Response.HasStarted)
            {
                context.Abort();
                return;
            }

            context.Response.Clear();
            await door.WriteProblemAsync(
                context, new Problem(ErrorCode.Internal, "The node failed while handling this request; its log has the reason."));
        }
        finally
        {
            place?.End();
        }
    }

    [LoggerMessage(EventId = 3001, Level = LogLevel.Error, Message = "{Method} {Path} failed (since the last such line: {LeftOut} more)")]
    private static partial void LogFailure(ILogger log, Exception error, string method, string path, long leftOut);
}
