namespace KvStore.LoadTests.CommandLine;

/// <param name="Name">Without the dashes.</param>
/// <param name="Value">Placeholder of its value in the help; null for a flag.</param>
/// <param name="Default">Taken when the option is not given; null when there is none.</param>
/// <param name="Help">What it does.</param>
internal sealed record Option(string Name, string? Value, string? Default, string Help);

/// <summary>Bad arguments: the message names the argument and what would be accepted.</summary>
internal sealed class UsageException(string message) : Exception(message);
