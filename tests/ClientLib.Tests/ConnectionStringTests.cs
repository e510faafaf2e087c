namespace KvStore.Client.Tests;

public sealed class ConnectionStringTests
{
    [Fact]
    public void Every_word_of_the_page_is_understood()
    {
        KvClientOptions options = KvClientOptions.Parse(
            "Endpoints=http://n1:7101,kv://[::1]:7301;ClusterId=c;Consistency=session;Timeout=2s;ConnectTimeout=500ms;Zone=a;KeyPrefix=p/;"
            + "ClientName=x;LeaderAware=false;Balancing=roundrobin");
        Assert.Equal(["http://n1:7101", "kv://[::1]:7301"], options.Endpoints);
        Assert.Equal(("c", TimeSpan.FromSeconds(2), TimeSpan.FromMilliseconds(500), "a", "p/"),
            (options.ClusterId, options.Timeout, options.ConnectTimeout, options.Zone, options.KeyPrefix));
        Assert.Equal(("x", false, KvBalancing.RoundRobin), (options.ClientName, options.LeaderAware, options.Balancing));
        Assert.Equal(Protocol.ReadLevel.Session, options.DefaultRead.Level);
        Assert.Equal(TimeSpan.FromMilliseconds(750), KvClientOptions.Parse("Endpoints=a:1;MaxStaleness=750ms").DefaultRead.MaxStaleness);
        Assert.Equal(["a:1", "b:2"], KvClientOptions.Parse("a:1, b:2").Endpoints);
    }

    [Theory]
    [InlineData("MaxStaleness=100ms;Consistency=bounded", 100)]
    [InlineData("Consistency=bounded;MaxStaleness=100ms", 100)]
    [InlineData("MaxStaleness=100ms", 100)]
    [InlineData("Consistency=bounded", 5000)]
    [InlineData("MaxStaleness=1h", 3_600_000)]
    public void A_level_and_its_bound_mean_the_same_in_any_order(string words, int milliseconds)
    {
        Read read = KvClientOptions.Parse($"Endpoints=a:1;{words}").DefaultRead;
        Assert.Equal((Protocol.ReadLevel.Bounded, TimeSpan.FromMilliseconds(milliseconds)), (read.Level, read.MaxStaleness));
    }

    [Theory]
    [InlineData("Endpoints=a:1;Consistency=session;MaxStaleness=500ms", "session")]
    [InlineData("Endpoints=a:1;MaxStaleness=500ms;Consistency=session", "session")]
    [InlineData("Endpoints=a:1;MaxStaleness=500ms;Consistency=strong", "strong")]
    [InlineData("Endpoints=a:1;Consistency=eventual;MaxStaleness=500ms", "eventual")]
    [InlineData("Endpoints=a:1;Consistency=session;Consistency=strong", "twice")]
    [InlineData("Endpoints=a:1;Timeout=5", "unit")]
    [InlineData("Endpoints=a:1;Timeout=1.5s", "whole number")]
    [InlineData("Endpoints=a:1;MaxStaleness=0s", "MaxStaleness=0s")]
    [InlineData("Endpionts=a:1", "Endpoints")]
    [InlineData("Endpoints=a:1;Time=5s", "Timeout")]
    [InlineData("Endpoints=a:1;Consistency=strog", "strong")]
    [InlineData("Endpoints=a:1;Timeout=soon", "500ms")]
    [InlineData("Endpoints=a:1;Timeout=61s", "60000")]
    [InlineData("Endpoints=ftp://a:1", "kv://")]
    [InlineData("localhost", "localhost:7101")]
    [InlineData("Timeout=5s", "endpoint")]
    public void What_cannot_be_meant_is_refused_with_what_may_be(string text, string hint)
    {
        var e = Assert.Throws<ArgumentException>(() => new KvClient(text));
        Assert.Contains(hint, e.Message, StringComparison.Ordinal);
    }
}
