using KvStore.Client;
using KvStore.Protocol;

namespace KvStore.Testing.Tests;

/// <summary>The snippets of docs/client.md about tests. That the page shows them is looked at beside the page's other snippets.</summary>
public sealed class DocumentTests
{
    [Fact]
    public async Task A_cluster_for_a_test()
    {
        // cluster
        await using var cluster = await KvTestCluster.StartAsync(nodes: 3);
        await using KvClient kv = cluster.CreateClient();
        await kv.PutAsync("orders/17", "new");
        string leader = cluster.LeaderOf("orders/17");
        await cluster.KillAsync(leader);
        string? there = await kv.GetAsync("orders/17");

        await cluster.RestartAsync(leader);
        await cluster.UntilReadyAsync();
        // end
        Assert.Equal("new", there);
    }

    [Fact]
    public async Task A_store_without_a_cluster()
    {
        // memory
        var store = new InMemoryKvStore();
        await store.PutAsync("stock/apples", 3);
        store.FailNext(new KvException(ErrorCode.NoLeader, "as if there were none"));
        // end
        await Assert.ThrowsAsync<KvException>(async () => await store.GetAsync("stock/apples"));
        Assert.Equal(3, (await store.GetAsync("stock/apples")).Value.AsInt64());
    }
}
