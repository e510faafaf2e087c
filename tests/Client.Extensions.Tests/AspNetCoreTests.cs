using System.Net;
using System.Xml.Linq;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.DataProtection.KeyManagement;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.TestHost;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace KvStore.Client.Tests;

/// <summary>Two instances of a web service in front of one cluster, as behind a round robin.</summary>
public sealed class AspNetCoreTests(OneCluster cluster) : IClassFixture<OneCluster>
{
    [Fact]
    public async Task A_user_reads_on_one_instance_what_it_wrote_on_the_other()
    {
        await using WebApplication one = await StartAsync();
        await using WebApplication two = await StartAsync();
        HttpClient[] instances = [one.GetTestClient(), two.GetTestClient()];
        string? token = null;
        for (int i = 0; i < 200; i++)
        {
            using HttpResponseMessage written = await SendAsync(instances[i % 2], HttpMethod.Post, $"/cart/{i}", token);
            token = Assert.Single(written.Headers.GetValues(KvSessionHandler.Header));
            using HttpResponseMessage read = await SendAsync(instances[(i + 1) % 2], HttpMethod.Get, "/cart", token);
            Assert.Equal($"{i}", await read.Content.ReadAsStringAsync());
        }

        using HttpResponseMessage refused = await SendAsync(instances[0], HttpMethod.Get, "/cart", "not a token");
        Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);
    }

    [Fact]
    public async Task A_service_takes_the_session_along_to_the_next_one()
    {
        await using WebApplication behind = await StartAsync();
        await using var kv = cluster.Nodes.CreateClient();
        using var handler = new KvSessionHandler { InnerHandler = behind.GetTestServer().CreateHandler() };
        using var http = new HttpClient(handler) { BaseAddress = new Uri("http://behind") };
        for (int i = 0; i < 50; i++)
        {
            KvSession session = kv.CreateSession();
            using (session.Use())
            {
                await kv.PutAsync("cart", $"mine {i}");
                Assert.Equal($"mine {i}", await http.GetStringAsync("/cart"));
                using HttpResponseMessage written = await http.PostAsync($"/cart/theirs{i}", null);
                Assert.Equal($"theirs{i}", (string?)await kv.GetAsync("cart"));
            }
        }
    }

    [Fact]
    public async Task What_one_instance_protects_the_other_reads_and_a_third_one_later()
    {
        await using WebApplication one = await StartAsync();
        await using WebApplication two = await StartAsync();
        string secret = ProtectorOf(one).Protect("secret");
        Assert.Equal("secret", ProtectorOf(two).Unprotect(secret));
        await using WebApplication three = await StartAsync();
        Assert.Equal("secret", ProtectorOf(three).Unprotect(secret));
    }

    [Fact]
    public async Task Elements_stored_side_by_side_are_all_there()
    {
        await using WebApplication one = await StartAsync("side by side");
        var repository = one.Services.GetRequiredService<IOptions<KeyManagementOptions>>().Value.XmlRepository!;
        Assert.DoesNotContain(repository.GetAllElements(), element => element.Name == "test");

        // Beside the keys that the application makes for itself.
        // The calls block, so each has a thread of its own: those of the pool are the nodes', too.
        await Task.WhenAll(Enumerable.Range(0, 8).Select(i => Task.Factory.StartNew(
            () => repository.StoreElement(new XElement("test", i), "the same name"), CancellationToken.None, TaskCreationOptions.LongRunning,
            TaskScheduler.Default)));
        Assert.Equal(
            Enumerable.Range(0, 8), repository.GetAllElements().Where(element => element.Name == "test").Select(element => (int)element).Order());
    }

    [Fact]
    public async Task The_application_of_the_page_starts()
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseTestServer();
        builder.Configuration["ConnectionStrings:kv"] = cluster.Nodes.ConnectionString;
        // application
        builder.Services.AddKvStore("kv")     // ConnectionStrings:kv
            .AddHealthCheck()
            .AddDistributedCache()
            .AddSessionPropagation()
            .AddDataProtection("shop");
        // end
        await using WebApplication app = builder.Build();
        app.MapHealthChecks("/health");
        await app.StartAsync();
        Assert.Equal("Healthy", await app.GetTestClient().GetStringAsync("/health"));
    }

    private static IDataProtector ProtectorOf(WebApplication app) => app.Services.GetRequiredService<IDataProtectionProvider>().CreateProtector("tests");

    private static async Task<HttpResponseMessage> SendAsync(HttpClient http, HttpMethod method, string path, string? token)
    {
        using var request = new HttpRequestMessage(method, path);
        if (token is not null)
        {
            request.Headers.TryAddWithoutValidation(KvSessionHandler.Header, token);
        }

        return await http.SendAsync(request);
    }

    private async Task<WebApplication> StartAsync(string application = "shop")
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseTestServer();
        builder.Services.AddKvStore(options =>
        {
            options.Apply(cluster.Nodes.ConnectionString);
            options.Balancing = KvBalancing.RoundRobin;
        }).AddSessionPropagation().AddDataProtection(application);

        // One name for all instances, as instances of one application have it.
        builder.Services.AddDataProtection().SetApplicationName(application);
        WebApplication app = builder.Build();
        app.MapPost("/cart/{item}", async (string item, KvClient kv) => (await kv.PutAsync("cart", item)).Applied ? Results.Ok() : Results.Conflict());
        app.MapGet("/cart", async (KvClient kv) => (string?)await kv.GetAsync("cart") ?? "nothing");
        await app.StartAsync();
        return app;
    }
}
