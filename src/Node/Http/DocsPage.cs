namespace KvStore.Node.Http;

/// <summary>Swagger UI over /openapi/v1.json: its files are embedded in the package, nothing is loaded from elsewhere.</summary>
internal static class DocsPage
{
    public static Task RedirectAsync(HttpContext context)
    {
        context.Response.Redirect("/docs/index.html");
        return Task.CompletedTask;
    }

    /// <summary>Only below /docs/: the middleware looks at every path it is shown, and data requests should not pay for that.</summary>
    public static void Use(WebApplication app) => app.UseWhen(
        context => context.Request.Path.StartsWithSegments("/docs", out PathString rest) && rest.HasValue,
        branch => branch.UseSwaggerUI(ui =>
        {
            ui.RoutePrefix = "docs";
            ui.DocumentTitle = "KvStore";
            ui.SwaggerEndpoint("/openapi/v1.json", "KvStore v1");
        }));
}
