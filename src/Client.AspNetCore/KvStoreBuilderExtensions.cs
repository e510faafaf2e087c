using KvStore.Client;
using Microsoft.AspNetCore.DataProtection.KeyManagement;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>What ASP.NET Core makes of a client.</summary>
public static class KvStoreBuilderExtensions
{
    /// <summary>
    /// Every request runs in a session of the store, taken from the header <c>Kv-Session</c> and given back in it. Also registers
    /// <see cref="KvSessionHandler"/>, for HTTP clients that take the session further.
    /// </summary>
    public static KvStoreBuilder AddSessionPropagation(this KvStoreBuilder builder)
    {
        builder.Services.AddTransient<KvSessionHandler>();
        builder.Services.AddSingleton<IStartupFilter>(provider => new SessionFilter(builder.ClientOf(provider)));
        return builder;
    }

    /// <summary>Keeps the keys of data protection in the store, so that all instances of the application share them.</summary>
    /// <param name="builder">Of the client.</param>
    /// <param name="application">Applications of different names do not see each other's keys.</param>
    public static KvStoreBuilder AddDataProtection(this KvStoreBuilder builder, string application = "default")
    {
        builder.Services.AddDataProtection();
        builder.Services.AddSingleton<IConfigureOptions<KeyManagementOptions>>(provider => new ConfigureOptions<KeyManagementOptions>(
            options => options.XmlRepository = new KvXmlRepository(builder.ClientOf(provider), application)));
        return builder;
    }
}
