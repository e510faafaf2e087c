namespace KvStore.Client;

/// <summary>
/// Takes the session in use (<see cref="KvSession.Use"/>) along with outgoing HTTP requests, as header <c>Kv-Session</c>, and takes over what the
/// answer says was seen or written there. Requests outside a session go as they are.
/// </summary>
public sealed class KvSessionHandler : DelegatingHandler
{
    /// <summary>The header that carries a <see cref="KvSessionToken"/>, to nodes and between applications.</summary>
    public const string Header = "Kv-Session";

    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        KvSession? session = KvSession.Current;
        if (session?.Token.Value is { Length: > 0 } token)
        {
            request.Headers.Remove(Header);
            request.Headers.Add(Header, token);
        }

        HttpResponseMessage response = await base.SendAsync(request, cancellationToken).ConfigureAwait(false);
        if (session is not null && response.Headers.TryGetValues(Header, out IEnumerable<string>? seen))
        {
            foreach (string other in seen)
            {
                session.Observe(new KvSessionToken(other));
            }
        }

        return response;
    }
}
