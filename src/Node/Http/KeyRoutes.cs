namespace KvStore.Node.Http;

/// <summary>
/// The way past the router for reads and writes of a key under /v1/kv/: nearly all requests are, and the router makes objects for each of which
/// nothing is used. Only what the router would find, too, is found here: the prefix as it is written in the table, a key behind
/// it, and a method with a route there. Anything else goes through the router.
/// </summary>
internal sealed class KeyRoutes(IReadOnlyList<Route> routes)
{
    private const string Prefix = "/v1/kv/";

    private readonly Route[] _routes = [.. routes.Where(route => route.Path == Prefix + "{key}")];

    /// <summary>Null: ask the router.</summary>
    public Route? Find(string method, string rawTarget)
    {
        if (rawTarget.Length <= Prefix.Length || rawTarget[Prefix.Length] == '?' || !rawTarget.StartsWith(Prefix, StringComparison.Ordinal))
        {
            return null;
        }

        string asked = HttpMethods.IsHead(method) ? HttpMethods.Get : method;
        foreach (Route route in _routes)
        {
            if (HttpMethods.Equals(route.Method, asked))
            {
                return route;
            }
        }

        return null;
    }
}
