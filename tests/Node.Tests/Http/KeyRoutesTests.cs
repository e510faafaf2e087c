using KvStore.Node.Http;

namespace KvStore.Node.Tests.Http;

public sealed class KeyRoutesTests
{
    private static readonly KeyRoutes Routes = new(
    [
        Of("GET", "/v1/kv/{key}", "get"), Of("PUT", "/v1/kv/{key}", "put"), Of("PUT", "/v1/b64/{key}", "put64"),
    ]);

    [Theory]
    [InlineData("GET", "/v1/kv/a", "get")]
    [InlineData("HEAD", "/v1/kv/a", "get")]
    [InlineData("PUT", "/v1/kv/a/b?timeout=1s", "put")]
    [InlineData("PUT", "/v1/kv/%2F", "put")]
    public void A_key_under_the_prefix_is_found(string method, string target, string expected) =>
        Assert.Equal(expected, Routes.Find(method, target)?.OperationId);

    /// <summary>The router knows other spellings of the prefix, empty keys, and which methods to name in a refusal.</summary>
    [Theory]
    [InlineData("GET", "/v1/kv/")]
    [InlineData("GET", "/v1/kv/?x=1")]
    [InlineData("GET", "/v1/kv")]
    [InlineData("GET", "/V1/kv/a")]
    [InlineData("GET", "http://host/v1/kv/a")]
    [InlineData("POST", "/v1/kv/a")]
    [InlineData("PUT", "/v1/b64/YQ")]
    public void Anything_else_is_the_routers(string method, string target) => Assert.Null(Routes.Find(method, target));

    private static Route Of(string method, string path, string id) => new(method, path, id, Area.Data, "", Handler: null);
}
