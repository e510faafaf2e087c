using KvStore.Client;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>What else an application makes of a client that it has added.</summary>
public sealed class KvStoreBuilder
{
    private readonly bool _isKeyed;

    internal KvStoreBuilder(IServiceCollection services, string name, bool isKeyed) => (Services, Name, _isKeyed) = (services, name, isKeyed);

    public IServiceCollection Services { get; }

    /// <summary>Of the client's options; empty for a client that has none.</summary>
    public string Name { get; }

    /// <summary>The client this builder is about.</summary>
    public KvClient ClientOf(IServiceProvider provider) =>
        _isKeyed ? provider.GetRequiredKeyedService<KvClient>(Name) : provider.GetRequiredService<KvClient>();

    /// <summary>
    /// An <see cref="IDistributedCache"/> in the store; <see cref="KvDistributedCache"/> says what it keeps and for how long. Keyed like the client.
    /// </summary>
    public KvStoreBuilder AddDistributedCache(Action<KvCacheOptions>? configure = null)
    {
        var options = new KvCacheOptions();
        configure?.Invoke(options);
        if (_isKeyed)
        {
            Services.AddKeyedSingleton<IDistributedCache>(Name, (provider, _) => new KvDistributedCache(ClientOf(provider), options));
        }
        else
        {
            Services.AddSingleton<IDistributedCache>(provider => new KvDistributedCache(ClientOf(provider), options));
        }

        return this;
    }

    /// <summary>
    /// Healthy where a strong read is answered, degraded where only old data can be had, and otherwise what <paramref name="failureStatus"/> says:
    /// unhealthy, unless said otherwise.
    /// </summary>
    public KvStoreBuilder AddHealthCheck(
        string name = "kvstore", HealthStatus? failureStatus = null, IEnumerable<string>? tags = null, TimeSpan? timeout = null)
    {
        Services.AddHealthChecks().Add(
            new HealthCheckRegistration(name, provider => new KvHealthCheck(ClientOf(provider)), failureStatus, tags, timeout));
        return this;
    }
}
