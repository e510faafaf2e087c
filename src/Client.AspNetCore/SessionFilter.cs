using KvStore.Protocol;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;

namespace KvStore.Client;

/// <summary>Puts every request into a session, before anything else of the application sees it.</summary>
internal sealed class SessionFilter(KvClient client) : IStartupFilter
{
    public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next) => app =>
    {
        app.Use(RunAsync);
        next(app);
    };

    private async Task RunAsync(HttpContext context, RequestDelegate next)
    {
        KvSession session = client.CreateSession();
        try
        {
            foreach (string? token in context.Request.Headers[KvSessionHandler.Header])
            {
                session.Observe(new KvSessionToken(token ?? ""));
            }
        }
        catch (KvException e) when (e.Code == ErrorCode.SessionTokenInvalid)
        {
            context.Response.StatusCode = StatusCodes.Status400BadRequest;
            await context.Response.WriteAsync($"{KvSessionHandler.Header}: {e.Message}", context.RequestAborted).ConfigureAwait(false);
            return;
        }

        context.Response.OnStarting(() =>
        {
            if (session.Token.Value is { Length: > 0 } token)
            {
                context.Response.Headers[KvSessionHandler.Header] = token;
            }

            return Task.CompletedTask;
        });
        using (session.Use())
        {
            await next(context).ConfigureAwait(false);
        }
    }
}
