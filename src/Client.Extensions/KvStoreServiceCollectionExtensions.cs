using KvStore.Client;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Brings a <see cref="KvClient"/> into an application.</summary>
public static class KvStoreServiceCollectionExtensions
{
    /// <summary>
    /// One client for the application, as <see cref="KvClient"/> and <see cref="IKvStore"/>. Its options come from <c>ConnectionStrings:name</c>, then from
    /// the words of the section <c>KvStore:Client:name</c>, then from the delegate; they are looked at when the application starts.
    /// </summary>
    /// <param name="services">Of the application.</param>
    /// <param name="name">Of the connection string in the configuration; not the string itself.</param>
    /// <param name="configure">Has the last word.</param>
    public static KvStoreBuilder AddKvStore(this IServiceCollection services, string name, Action<KvClientOptions>? configure = null)
    {
        AddOptions(services, name, configure);
        services.AddSingleton(provider => Make(provider, name));
        services.AddSingleton<IKvStore>(provider => provider.GetRequiredService<KvClient>());
        return new KvStoreBuilder(services, name, isKeyed: false);
    }

    /// <summary>The same for a client that no configuration speaks of.</summary>
    public static KvStoreBuilder AddKvStore(this IServiceCollection services, Action<KvClientOptions> configure) =>
        AddKvStore(services, Options.Options.DefaultName, configure);

    /// <summary>
    /// A client of another cluster beside the first one, as keyed services <see cref="KvClient"/> and <see cref="IKvStore"/>; the key is the name.
    /// </summary>
    /// <param name="services">Of the application.</param>
    /// <param name="name">Key of the services and name of the connection string.</param>
    /// <param name="configure">Has the last word.</param>
    public static KvStoreBuilder AddKeyedKvStore(this IServiceCollection services, string name, Action<KvClientOptions>? configure = null)
    {
        AddOptions(services, name, configure);
        services.AddKeyedSingleton(name, (provider, _) => Make(provider, name));
        services.AddKeyedSingleton<IKvStore>(name, (provider, _) => provider.GetRequiredKeyedService<KvClient>(name));
        return new KvStoreBuilder(services, name, isKeyed: true);
    }

    private static KvClient Make(IServiceProvider provider, string name) =>
        new(provider.GetRequiredService<IOptionsMonitor<KvClientOptions>>().Get(name));

    private static void AddOptions(IServiceCollection services, string name, Action<KvClientOptions>? configure)
    {
        OptionsBuilder<KvClientOptions> options = services.AddOptions<KvClientOptions>(name)
            .Configure<IServiceProvider>((options, provider) => Bind(options, name, provider.GetService<IConfiguration>()));
        if (configure is not null)
        {
            options.Configure(configure);
        }

        options.ValidateOnStart();
        services.AddSingleton<IValidateOptions<KvClientOptions>>(new Validation(name));
    }

    private static void Bind(KvClientOptions options, string name, IConfiguration? configuration)
    {
        if (configuration is null || name.Length == 0)
        {
            return;
        }

        if (configuration.GetConnectionString(name) is { Length: > 0 } text)
        {
            Try(name, $"ConnectionStrings:{name}", () => options.Apply(text));
        }

        foreach (IConfigurationSection word in configuration.GetSection(SectionOf(name)).GetChildren())
        {
            // A list has its items below it.
            string value = word.Value ?? string.Join(',', word.GetChildren().Select(item => item.Value));
            Try(name, word.Path, () => options.Apply(word.Key, value));
        }
    }

    private static void Try(string name, string path, Action apply)
    {
        try
        {
            apply();
        }
        catch (ArgumentException e)
        {
            throw new OptionsValidationException(name, typeof(KvClientOptions), [$"{path}: {e.Message}"]);
        }
    }

    private static string SectionOf(string name) => $"KvStore:Client:{name}";

    private sealed class Validation(string ofName) : IValidateOptions<KvClientOptions>
    {
        public ValidateOptionsResult Validate(string? name, KvClientOptions options)
        {
            if (name != ofName)
            {
                return ValidateOptionsResult.Skip;
            }

            if (options.Endpoints.Count == 0)
            {
                return ValidateOptionsResult.Fail(ofName.Length == 0
                    ? "The client has no endpoint: add one in the delegate, such as options.Endpoints.Add(\"localhost:7101\")."
                    : $"ConnectionStrings:{ofName} is missing, or names no endpoint: write \"Endpoints=localhost:7101\" there, or in {SectionOf(ofName)}.");
            }

            try
            {
                options.Validate();
                return ValidateOptionsResult.Success;
            }
            catch (ArgumentException e)
            {
                return ValidateOptionsResult.Fail(e.Message);
            }
        }
    }
}
