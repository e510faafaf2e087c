using System.CommandLine;
using System.CommandLine.Parsing;
using KvStore.Cli.Commands;
using KvStore.Client;

namespace KvStore.Cli;

/// <summary>The commands of kvctl, put together.</summary>
internal static class Kvctl
{
    public static async Task<int> RunAsync(string[] args, TextWriter output, TextWriter errors, TextReader input)
    {
        var settings = new Settings();
        RootCommand root = Build(settings, output, errors, input);
        ParseResult parsed = root.Parse(args);
        var invocation = new InvocationConfiguration { Output = output, Error = errors, EnableDefaultExceptionHandler = false };

        // A shell that asks how a line may go on sends it unfinished.
        bool asks = parsed.Action is System.CommandLine.Help.HelpAction || (args.Length > 0 && args[0].StartsWith("[suggest", StringComparison.Ordinal));
        if (parsed.Errors.Count > 0 && !asks)
        {
            foreach (ParseError error in parsed.Errors)
            {
                await errors.WriteLineAsync($"error: {error.Message}");
            }

            await errors.WriteLineAsync("kvctl --help shows what there is.");
            return ExitCode.Usage;
        }

        try
        {
            return await parsed.InvokeAsync(invocation);
        }
        catch (KvException e)
        {
            await errors.WriteLineAsync($"error: {TextOf(e)}");
            return ExitCode.Of(e);
        }
        catch (OperationCanceledException)
        {
            return ExitCode.Interrupted;
        }
        catch (Exception e) when (e is ArgumentException or FormatException or IOException or UnauthorizedAccessException)
        {
            await errors.WriteLineAsync($"error: {e.Message}");
            return ExitCode.Usage;
        }
    }

    /// <summary>The message, behind the key when it does not name it.</summary>
    internal static string TextOf(KvException e) =>
        e.Key is { } key && !e.Message.Contains($"{key}", StringComparison.Ordinal) ? $"{key}: {e.Message}" : e.Message;

    private static RootCommand Build(Settings settings, TextWriter output, TextWriter errors, TextReader input)
    {
        var root = new RootCommand("Reads, writes and looks into a KvStore cluster.");
        foreach (Option option in settings.Options)
        {
            root.Add(option);
        }

        var shell = new Shell(settings, output, errors, input);
        IEnumerable<Command> commands =
        [
            .. DataCommands.All(shell), .. ClusterCommands.All(shell), BenchCommand.Create(shell), CheckCommand.Create(shell),
            DevCommand.Create(), ContextCommand.Create(shell), CompletionCommand.Create(shell),
        ];
        foreach (Command command in commands)
        {
            root.Add(command);
        }

        return root;
    }
}
