namespace KvStore.Node.Http;

/// <summary>The two ways to write a key into a path.</summary>
internal static class KeyPaths
{
    /// <param name="operationId">Of the route under /v1/kv/; the other one's ends in ByBase64Key.</param>
    /// <param name="of">Makes the route from its path, how the key is written there, and its operation id.</param>
    public static IEnumerable<Route> Of(string operationId, Func<string, KeyForm, string, Route> of) =>
    [
        of("/v1/kv/{key}", KeyForm.Text, operationId),
        of("/v1/b64/{key}", KeyForm.Base64Url, operationId + "ByBase64Key"),
    ];
}
