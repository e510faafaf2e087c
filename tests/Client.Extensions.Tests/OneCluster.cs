using KvStore.Testing;

namespace KvStore.Client.Tests;

/// <summary>Three nodes for the tests that do not kill any.</summary>
public sealed class OneCluster : IAsyncLifetime
{
    private KvTestCluster? _cluster;

    public KvTestCluster Nodes => _cluster!;

    public async Task InitializeAsync() => _cluster = await KvTestCluster.StartAsync();

    public async Task DisposeAsync() => await _cluster!.DisposeAsync();
}
