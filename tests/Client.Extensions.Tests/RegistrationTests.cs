using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace KvStore.Client.Tests;

/// <summary>A client in an application: who gives it its options, and what happens when they cannot be meant.</summary>
public sealed class RegistrationTests(OneCluster cluster) : IClassFixture<OneCluster>
{
    [Fact]
    public async Task A_connection_string_of_the_configuration_makes_a_client()
    {
        using IHost host = HostOf(services => services.AddKvStore("kv"), ("ConnectionStrings:kv", cluster.Nodes.ConnectionString));
        await host.StartAsync();
        var kv = host.Services.GetRequiredService<IKvStore>();
        await kv.PutAsync("registered", "yes");
        Assert.Equal("yes", (string?)await kv.GetAsync("registered"));
        Assert.Same(kv, host.Services.GetRequiredService<KvClient>());
        await host.StopAsync();
        await ((IAsyncDisposable)host).DisposeAsync();
    }

    [Fact]
    public void A_section_goes_over_the_connection_string_and_the_delegate_over_both()
    {
        using IHost host = HostOf(
            services => services.AddKvStore("kv", options => options.Zone = "c"),
            ("ConnectionStrings:kv", "Endpoints=n1:7101;Timeout=1s;Zone=a;ClientName=orders"), ("KvStore:Client:kv:Timeout", "2s"),
            ("KvStore:Client:kv:Zone", "b"), ("KvStore:Client:kv:Endpoints:0", "n2:7101"), ("KvStore:Client:kv:Endpoints:1", "n3:7101"));
        KvClientOptions options = host.Services.GetRequiredService<IOptionsMonitor<KvClientOptions>>().Get("kv");
        Assert.Equal(["n1:7101", "n2:7101", "n3:7101"], options.Endpoints);
        Assert.Equal((TimeSpan.FromSeconds(2), "c", "orders"), (options.Timeout, options.Zone, options.ClientName));
    }

    [Fact]
    public async Task Two_clusters_have_two_clients()
    {
        using IHost host = HostOf(
            services =>
            {
                services.AddKvStore("kv");
                services.AddKeyedKvStore("other", options => options.KeyPrefix = "other/");
            },
            ("ConnectionStrings:kv", cluster.Nodes.ConnectionString), ("ConnectionStrings:other", cluster.Nodes.ConnectionString));
        await host.Services.GetRequiredKeyedService<IKvStore>("other").PutAsync("a", "1");
        Assert.Equal("1", (string?)await host.Services.GetRequiredService<IKvStore>().GetAsync("other/a"));
        Assert.NotSame(host.Services.GetRequiredService<KvClient>(), host.Services.GetRequiredKeyedService<KvClient>("other"));
        await ((IAsyncDisposable)host).DisposeAsync();
    }

    [Theory]
    [InlineData("ConnectionStrings:other", "n1:7101", "ConnectionStrings:kv is missing")]
    [InlineData("ConnectionStrings:kv", "Endpoint=n1:7101", "did you mean 'Endpoints'?")]
    [InlineData("ConnectionStrings:kv", "Endpoints=n1:7101;Timeout=soon", "ConnectionStrings:kv: Timeout=soon is no time")]
    [InlineData("ConnectionStrings:kv", "Endpoints=n1:7101;Timeout=2m", "The timeout must be 1 ms to")]
    [InlineData("KvStore:Client:kv:Consistncy", "session", "KvStore:Client:kv:Consistncy: ")]
    public async Task What_cannot_be_meant_is_said_when_the_application_starts(string key, string value, string expected)
    {
        using IHost host = HostOf(services => services.AddKvStore("kv"), (key, value));
        var refused = await Assert.ThrowsAsync<OptionsValidationException>(() => host.StartAsync());
        Assert.Contains(expected, refused.Message, StringComparison.Ordinal);
    }

    private static IHost HostOf(Action<IServiceCollection> add, params (string Key, string Value)[] configuration)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Configuration.AddInMemoryCollection(configuration.Select(one => KeyValuePair.Create(one.Key, (string?)one.Value)));
        add(builder.Services);
        return builder.Build();
    }
}
