using System.Buffers;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;

namespace KvStore.Client.Tests;

/// <summary>The store as a cache, as ASP.NET Core and others use one.</summary>
public sealed class CacheTests(OneCluster cluster) : IClassFixture<OneCluster>
{
    private static readonly DistributedCacheEntryOptions ForEver = new();

    [Fact]
    public async Task What_is_set_is_there_by_every_call_and_gone_when_it_is_removed()
    {
        await using ServiceProvider services = Services();
        var cache = (IBufferDistributedCache)services.GetRequiredService<IDistributedCache>();
        Assert.Null(await cache.GetAsync("a"));
        for (int i = 0; i < 100; i++)
        {
            // On whichever replica: the cache sees what it has written itself.
            byte[] value = [(byte)i];
            await cache.SetAsync("a", value, ForEver);
            Assert.Equal(value, await cache.GetAsync("a"));
        }

        cache.Set("b", new ReadOnlySequence<byte>([1, 2, 3]), ForEver);
        var output = new ArrayBufferWriter<byte>();
        Assert.True(cache.TryGet("b", output));
        Assert.Equal([1, 2, 3], output.WrittenSpan.ToArray());
        Assert.Equal([1, 2, 3], cache.Get("b"));
        cache.Refresh("b");
        cache.Remove("b");
        Assert.False(await cache.TryGetAsync("b", output));

        var kv = services.GetRequiredService<KvClient>();
        Assert.True(await kv.ExistsAsync("cache/a"));
    }

    [Fact]
    public async Task An_entry_that_is_to_expire_is_refused_and_not_kept_for_ever()
    {
        await using ServiceProvider services = Services();
        var cache = services.GetRequiredService<IDistributedCache>();
        DistributedCacheEntryOptions[] expiring =
        [
            new() { SlidingExpiration = TimeSpan.FromMinutes(1) }, new() { AbsoluteExpirationRelativeToNow = TimeSpan.FromMinutes(1) },
            new() { AbsoluteExpiration = DateTimeOffset.MaxValue },
        ];
        foreach (DistributedCacheEntryOptions options in expiring)
        {
            var refused = await Assert.ThrowsAsync<NotSupportedException>(() => cache.SetAsync("expiring", [1], options));
            Assert.Contains("no expiry yet", refused.Message, StringComparison.Ordinal);
            Assert.Null(await cache.GetAsync("expiring"));
        }
    }

    private ServiceProvider Services()
    {
        var services = new ServiceCollection();
        services.AddKvStore(options => options.Endpoints.Add($"{cluster.Nodes.HttpOf("n1").Authority}")).AddDistributedCache();
        return services.BuildServiceProvider();
    }
}
