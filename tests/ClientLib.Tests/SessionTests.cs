using KvStore.Protocol;

namespace KvStore.Client.Tests;

[Collection(ThreeNodesGroup.Name)]
public sealed class SessionTests(ThreeNodes cluster)
{
    [Fact]
    public async Task A_session_sees_its_own_writes_on_any_replica_and_takes_them_along()
    {
        await using var one = new KvClient(cluster.Endpoint);
        await using var other = new KvClient(cluster.Endpoint);
        var session = one.CreateSession();
        Assert.Equal("", session.Token.Value);
        int followers = 0;
        for (int i = 0; i < 300; i++)
        {
            await session.PutAsync("session/key", $"{i}");
            KvRead here = await session.GetAsync("session/key");
            KvRead there = await other.CreateSession(session.Token).GetAsync("session/key");
            Assert.Equal(($"{i}", $"{i}"), ((string?)here, (string?)there));
            Assert.Equal((ReadLevel.Session, ReadLevel.Session), (here.Evidence.Level, there.Evidence.Level));
            followers += (here.Evidence.Role == ServedRole.Follower ? 1 : 0) + (there.Evidence.Role == ServedRole.Follower ? 1 : 0);
        }

        Assert.True(followers >= 300, $"{followers} of 600 session reads were answered by followers");
    }

    [Fact]
    public async Task The_session_in_use_is_that_of_the_clients_calls()
    {
        await using var kv = new KvClient(cluster.Endpoint);
        var session = kv.CreateSession();
        Assert.Null(KvSession.Current);
        using (session.Use())
        {
            await kv.PutAsync("ambient", "1");
            Assert.Equal(ReadLevel.Session, (await kv.GetAsync("ambient")).Evidence.Level);
            Assert.Equal(ReadLevel.Strong, (await kv.GetAsync("ambient", Read.Strong)).Evidence.Level);
        }

        Assert.Null(KvSession.Current);
        Assert.Equal(ReadLevel.Strong, (await kv.GetAsync("ambient")).Evidence.Level);
        Assert.NotEqual("", session.Token.Value);
        KvRead read = await kv.GetAsync("ambient", Read.InSession(session.Token));
        Assert.Equal((true, ReadLevel.Session), (read.Found, read.Evidence.Level));
    }

    [Fact]
    public async Task Sessions_merge_and_a_foreign_token_is_named_as_such()
    {
        await using var kv = new KvClient(cluster.Endpoint);
        var one = kv.CreateSession();
        var other = kv.CreateSession();
        await one.PutAsync("merge/a", "1");
        await other.PutAsync("merge/b", "2");
        one.Observe(other.Token);
        Assert.Equal("2", (string?)await one.GetAsync("merge/b"));
        var foreign = Assert.Throws<KvException>(() => one.Observe(new KvSessionToken(SessionToken.Empty("elsewhere").ToString())));
        Assert.Equal(ErrorCode.SessionTokenInvalid, foreign.Code);
        Assert.Contains("another cluster", foreign.Message, StringComparison.Ordinal);
        Assert.Equal("1", (string?)await one.GetAsync("merge/a"));

        // Before the cluster is known a token cannot be judged: the first call does it.
        await using var fresh = new KvClient(cluster.Endpoint);
        var early = fresh.CreateSession(new KvSessionToken("nonsense"));
        var e = await Assert.ThrowsAsync<KvException>(async () => await early.GetAsync("merge/a"));
        Assert.Equal(ErrorCode.SessionTokenInvalid, e.Code);
    }
}
