using System.CommandLine;

namespace KvStore.Cli.Commands;

/// <summary>Names for clusters, so that nobody types addresses twice.</summary>
internal static class ContextCommand
{
    public static Command Create(Shell shell)
    {
        var list = new Command("list", "Lists the contexts; the one in use has a star.");
        list.SetAction(parsed =>
        {
            Contexts contexts = Contexts.Load();
            shell.Print(parsed, ["context", "endpoints", "current"],
                [.. contexts.Clusters.Select(one => new object?[] { one.Key, one.Value, one.Key == contexts.Current ? "*" : "" })]);
            return ExitCode.Ok;
        });

        var name = new Argument<string>("name");
        var endpoints = new Argument<string>("endpoints") { Description = "As for --endpoints, or a connection string." };
        var set = new Command("set", "Saves a context and uses it.") { name, endpoints };
        set.SetAction(parsed =>
        {
            _ = Client.KvClientOptions.Parse(parsed.GetValue(endpoints)!);
            Contexts contexts = Contexts.Load();
            contexts.Clusters[parsed.GetValue(name)!] = parsed.GetValue(endpoints)!;
            contexts.Current = parsed.GetValue(name);
            contexts.Save();
            return ExitCode.Ok;
        });

        var used = new Argument<string>("name");
        var use = new Command("use", "Uses a saved context.") { used };
        use.SetAction(parsed =>
        {
            Contexts contexts = Contexts.Load();
            _ = contexts.Find(parsed.GetValue(used));
            contexts.Current = parsed.GetValue(used);
            contexts.Save();
            return ExitCode.Ok;
        });
        return new Command("context", "Saves names for clusters.") { list, set, use };
    }
}
