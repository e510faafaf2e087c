using KvStore.Testing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace KvStore.Client.Tests;

/// <summary>What a probe of the application is told about the cluster.</summary>
public sealed class HealthCheckTests
{
    [Fact]
    public async Task It_is_healthy_with_proof_degraded_with_old_data_and_unhealthy_with_neither()
    {
        await using var cluster = await KvTestCluster.StartAsync(nodes: 3);
        var services = new ServiceCollection();
        services.AddLogging();
        services.AddKvStore(options => options.Apply(cluster.ConnectionString)).AddHealthCheck();
        await using ServiceProvider provider = services.BuildServiceProvider();
        var health = provider.GetRequiredService<HealthCheckService>();
        Assert.Equal(HealthStatus.Healthy, (await health.CheckHealthAsync()).Entries["kvstore"].Status);

        await cluster.KillAsync("n1");
        await cluster.KillAsync("n2");
        HealthReportEntry degraded = (await health.CheckHealthAsync()).Entries["kvstore"];
        Assert.Equal(HealthStatus.Degraded, degraded.Status);
        Assert.Contains("n3", degraded.Description, StringComparison.Ordinal);

        await cluster.KillAsync("n3");
        Assert.Equal(HealthStatus.Unhealthy, (await health.CheckHealthAsync()).Entries["kvstore"].Status);
    }
}
