using System.Net;
using KvStore.Node.Config;
using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>
/// While nothing authenticates clients, a browser inside the network is the way in for any web page: it can send writes with a form, and
/// with a name of its own that it lets point here it can read as well. So writes that another site sent are refused, and so is every name
/// that is not one of the cluster's. Programs say neither and notice nothing; an address, which no page can have to itself, is always taken.
/// </summary>
internal sealed class SiteGuard(ClusterConfig config)
{
    private readonly HashSet<string> _names = new(
        config.Nodes.SelectMany(node => node.Addresses).SelectMany(address => new[] { address.Host, address.ListenHost }).Append("localhost"),
        StringComparer.OrdinalIgnoreCase);

    /// <summary>Null: go on. Otherwise nothing has been done and nothing shall be.</summary>
    public Problem? Judge(HttpRequest request)
    {
        string host = request.Host.Host;
        if (host.Length > 0 && !_names.Contains(host) && !IPAddress.TryParse(host, out _))
        {
            return Problem.Invalid(
                $"This node is not known as {Excerpt.Of(host)}; use its address, or a name that the cluster's configuration has in advertise "
                + "or listen.") with
            {
                Status = StatusCodes.Status421MisdirectedRequest,
                Type = ProblemType.UnknownHost,
            };
        }

        if (HttpMethods.IsGet(request.Method) || HttpMethods.IsHead(request.Method) || HttpMethods.IsOptions(request.Method) || IsOwnSite(request))
        {
            return null;
        }

        return new Problem(
            ErrorCode.Forbidden,
            "A page of another site sent this write, and while nothing authenticates clients none is taken from there; send it from a program, "
            + "or from a page of this node.")
        {
            Outcome = Outcome.NotApplied,
        };
    }

    // Only browsers say where a request comes from, and a page cannot have them say something else.
    private static bool IsOwnSite(HttpRequest request)
    {
        string site = request.Headers["Sec-Fetch-Site"].ToString();
        if (site.Length > 0 && site is not ("same-origin" or "none"))
        {
            return false;
        }

        string origin = request.Headers.Origin.ToString();
        return origin.Length == 0
            || (Uri.TryCreate(origin, UriKind.Absolute, out Uri? from)
                && from.Authority.Equals(WithoutDefaultPort(request.Host, from.Scheme), StringComparison.OrdinalIgnoreCase));
    }

    private static string WithoutDefaultPort(HostString host, string scheme) =>
        host.Port == (scheme == Uri.UriSchemeHttps ? 443 : 80) ? host.Host : host.Value ?? string.Empty;
}
