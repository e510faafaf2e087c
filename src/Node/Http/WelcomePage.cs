namespace KvStore.Node.Http;

/// <summary>What somebody sees who opens the node's address in a browser.</summary>
internal static class WelcomePage
{
    private const string Html =
        """
        <!doctype html>
        <html lang="en">
        <meta charset="utf-8">
        <title>KvStore</title>
        <h1>KvStore</h1>
        <p>This is a node of a KvStore cluster.</p>
        <ul>
          <li><a href="/docs">Try the routes</a> (<a href="/openapi/v1.json">OpenAPI document</a>)</li>
          <li><a href="/v1/cluster">The cluster</a>,
              <a href="/v1/cluster/groups">its groups</a>, <a href="/v1/cluster/ring">its ring</a></li>
          <li><a href="/health/ready">Health</a>, <a href="/metrics">metrics</a></li>
        </ul>
        <pre>curl -X PUT -H 'Content-Type: text/plain' -d hello {origin}/v1/kv/greeting
        curl -i {origin}/v1/kv/greeting
        curl -i '{origin}/v1/kv/greeting?maxStaleness=2s'     # from this node, at most two seconds old
        curl '{origin}/v1/explain/greeting?maxStaleness=2s'   # who could serve that now, and who would</pre>
        </html>

        """;

    /// <param name="context">Of the request.</param>
    /// <param name="origin">URL of this node as others are told it: not the Host header, which the client chooses.</param>
    public static Task WriteAsync(HttpContext context, string origin)
    {
        context.Response.ContentType = "text/html; charset=utf-8";
        return context.Response.WriteAsync(Html.Replace("{origin}", origin, StringComparison.Ordinal), context.RequestAborted);
    }
}
