using KvStore.Node.Doors;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;

namespace KvStore.Node.Http;

/// <summary>What a connection's <see cref="Place"/> means to HTTP.</summary>
internal static class RestDoor
{
    /// <summary>Around Kestrel's reading of requests: closes the connection when its place is needed.</summary>
    public static async Task ServeAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        using CancellationTokenRegistration ended = connection.Features.GetRequiredFeature<Place>().Ended.UnsafeRegister(
            static state => ((ConnectionContext)state!).Abort(new ConnectionAbortedException("somebody else needs the place")), connection);
        await next(connection);
    }

    /// <summary>Null: the request may be answered. A connection beyond the places asks how the node is, once, and nothing else.</summary>
    public static Problem? Judge(HttpContext context, Place? place, FrontDoor door)
    {
        if (place is not { IsBeyond: true })
        {
            return null;
        }

        context.Response.Headers.Connection = "close";
        return context.Request.Path.StartsWithSegments("/health", StringComparison.Ordinal)
            || context.Request.Path.Equals("/metrics", StringComparison.Ordinal)
            ? null
            : door.Full();
    }
}
