using System.CommandLine;

namespace KvStore.Cli.Commands;

/// <summary>Scripts that let a shell ask kvctl itself what may come next.</summary>
internal static class CompletionCommand
{
    private static readonly Dictionary<string, string> Scripts = new()
    {
        ["bash"] = """
            _kvctl() { local IFS=$'\n'; COMPREPLY=($(compgen -W "$(kvctl "[suggest:${COMP_POINT}]" "${COMP_LINE}" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}")); }
            complete -F _kvctl kvctl
            """,
        ["zsh"] = """
            _kvctl() { compadd -- "${(@f)$(kvctl "[suggest:${CURSOR}]" "${BUFFER}" 2>/dev/null)}"; }
            compdef _kvctl kvctl
            """,
        ["fish"] = """
            complete -f -c kvctl -a '(kvctl "[suggest:"(commandline -C)"]" (commandline -cp))'
            """,
    };

    public static Command Create(Shell shell)
    {
        var name = new Argument<string>("shell") { Description = "bash, zsh or fish." };
        name.AcceptOnlyFromAmong([.. Scripts.Keys]);
        var command = new Command("completion", "Prints a script for completion: source <(kvctl completion bash)") { name };
        command.SetAction(parsed =>
        {
            shell.Output.WriteLine(Scripts[parsed.GetValue(name)!]);
            return ExitCode.Ok;
        });
        return command;
    }
}
