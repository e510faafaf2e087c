using KvStore.Node.Binary;
using KvStore.Node.Doors;
using KvStore.Node.Hosting;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace KvStore.Node.Http;

/// <summary>Builds the web application of one node: Kestrel on the HTTP and the binary endpoint, and every route.</summary>
public static class HttpFrontDoor
{
    /// <summary>Not started: StartAsync binds the ports.</summary>
    public static WebApplication Create(FrontDoorOptions options, StoreHandle store, ILoggerFactory logs) =>
        Create(options, StoreCalls.Of(store, options), logs);

    internal static WebApplication Create(FrontDoorOptions options, Func<StoreCalls?> store, ILoggerFactory logs)
    {
        FrontDoor door = new(options, store);
        BinaryDoor binary = new(door, logs.CreateLogger<BinaryDoor>());

        // Empty: no appsettings, no environment, no command line. Where a node listens is decided by cluster.json alone.
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions
        {
            ApplicationName = "KvStore",
            EnvironmentName = Environments.Production,
        });
        builder.Services.AddSingleton(logs);
        builder.Services.AddSingleton(binary);
        builder.Services.AddSingleton(door);
        builder.Services.AddSingleton<IHostLifetime, HostedElsewhere>();
        builder.Services.AddRoutingCore();
        builder.Services.AddSingleton<IConnectionListenerFactory>(new DoorListenerFactory(logs));
        builder.WebHost.UseKestrelCore();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            HttpLimits.Apply(kestrel.Limits, options.Config.Doors);
            // This order is a contract: the addresses the server reports are in it.
            kestrel.Listen(new DoorEndPoint(options.Http, door.Places, inline: false), listen =>
            {
                listen.Protocols = HttpProtocols.Http1;
                listen.Use(DoorListenerFactory.ServeAsync);
                listen.Use(RestDoor.ServeAsync);
            });
            kestrel.Listen(new DoorEndPoint(options.Binary, binary.Places, inline: true), listen =>
            {
                listen.Use(DoorListenerFactory.ServeAsync);
                listen.Run(binary.ServeAsync);
            });
        });

        IReadOnlyList<Route> routes = Routes.Of(door, binary);
        OpenApiDescription.Add(builder.Services, routes, door.NodeName);

        WebApplication app = builder.Build();
        app.Lifetime.ApplicationStopped.Register(binary.Dispose);
        RequestBoundary boundary = new(door, new KeyRoutes(routes), logs.CreateLogger<RequestBoundary>());
        app.Use(boundary.InvokeAsync);
        DocsPage.Use(app);
        app.UseRouting();
        foreach (Route route in routes)
        {
            if (route.Handler is { } handler)
            {
                app.MapMethods(route.Pattern, MethodsOf(route), context => handler(context, route).AsTask()).ExcludeFromDescription();
            }
        }

        OpenApiDescription.Map(app);
        return app;
    }

    private static string[] MethodsOf(Route route) =>
        route.Method == HttpMethods.Get ? [HttpMethods.Get, HttpMethods.Head] : [route.Method];

    /// <summary>
    /// Signals belong to the process, which may host several nodes and stops each in its own order; the default lifetime would
    /// stop every web application at the first Ctrl-C.
    /// </summary>
    private sealed class HostedElsewhere : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
