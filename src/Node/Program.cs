using System.Reflection;
using KvStore.Node.Config;
using KvStore.Node.Hosting;
using KvStore.Replication;
using KvStore.Storage;

using var signals = new StopSignals();
OwnerOnly.Apply();

// Sockets continue on the thread that saw them ready, without a hop over the pool: read once, before the first socket.
Environment.SetEnvironmentVariable("DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS", "1");

try
{
    var options = StartOptions.Parse(args);
    switch (options.Verb)
    {
        case StartVerb.Help:
            Console.WriteLine(StartOptions.Usage);
            return ExitCode.Stopped;
        case StartVerb.Version:
            Console.WriteLine(typeof(NodeHost).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion);
            return ExitCode.Stopped;
    }

    var configuration = Configuration.Load(options.ConfigFile, Environment.GetEnvironmentVariables(), options.Overrides, options.Node);
    if (options.Verb == StartVerb.PrintConfig)
    {
        Console.Write(configuration.Describe());
        return ExitCode.Stopped;
    }

    return await new NodeProcess(configuration, options, signals).RunAsync();
}
catch (Exception e) when (e is ConfigurationException or IdentityException or CorruptStorageException)
{
    Console.Error.WriteLine($"error: {e.Message}");
    return ExitCode.BadInput;
}
catch (StorageException e)
{
    Console.Error.WriteLine($"error: the disk failed: {e.Message}");
    return ExitCode.Failed;
}
