namespace KvStore.LoadTests.CommandLine;

/// <summary>One sub-command. Its task ends with the exit code.</summary>
internal sealed record Command(
    string Name, string Summary, IReadOnlyList<Option> Options, Func<Arguments, CancellationToken, Task<int>> RunAsync)
{
    public void WriteHelp(TextWriter output)
    {
        output.WriteLine($"  {Name,-9}{Summary}");
        foreach (var option in Options)
        {
            string left = option.Value is null ? $"--{option.Name}" : $"--{option.Name} {option.Value}";
            string right = option.Default is null ? option.Help : $"{option.Help} [{option.Default}]";
            output.WriteLine($"      {left,-26}{right}");
        }

        output.WriteLine();
    }
}
