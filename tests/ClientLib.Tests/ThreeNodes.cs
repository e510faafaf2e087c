using KvStore.Node.Hosting;
using KvStore.Node.Tests.Hosting;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Client.Tests;

/// <summary>Three real nodes in this process, shared by tests that do not stop them.</summary>
public sealed class ThreeNodes : IAsyncLifetime, IDisposable
{
    private readonly TestCluster _folder = new(nodes: 3);
    private RunningCluster? _cluster;

    internal IReadOnlyList<NodeHost> Nodes => _cluster!.Nodes;

    /// <summary>As a new user would type it.</summary>
    internal string Endpoint => $"localhost:{Nodes[0].Endpoints.Http.Port}";

    public async Task InitializeAsync() => _cluster = await RunningCluster.StartAsync(_folder, NullLoggerFactory.Instance);

    public async Task DisposeAsync() => await _cluster!.DisposeAsync();

    public void Dispose() => _folder.Dispose();
}

[CollectionDefinition(Name)]
public sealed class ThreeNodesGroup : ICollectionFixture<ThreeNodes>
{
    public const string Name = "three nodes";
}
