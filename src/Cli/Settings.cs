using System.CommandLine;
using System.Text.Json;
using KvStore.Client;

namespace KvStore.Cli;

/// <summary>How results are printed.</summary>
internal enum OutputForm
{
    Table,
    Json,
    Ndjson,
    Raw,
}

/// <summary>What every command can be told: on the command line, else in KVCTL_* of the environment, else in the context in use.</summary>
internal sealed class Settings
{
    public const string DefaultEndpoints = "localhost:7101";

    private readonly Option<string?> _endpoints = new("--endpoints", "-e")
    {
        Description = "Where to ask for the cluster: host:port of any node, several with commas (KVCTL_ENDPOINTS).",
        Recursive = true,
    };

    private readonly Option<string?> _context = new("--context") { Description = "A saved context (KVCTL_CONTEXT).", Recursive = true };

    private readonly Option<string?> _output = new("--output", "-o")
    {
        Description = "table, json, ndjson or raw (KVCTL_OUTPUT).",
        Recursive = true,
    };

    private readonly Option<string?> _consistency = new("--consistency", "-c")
    {
        Description = "Level of reads: strong, bounded, session, eventual (KVCTL_CONSISTENCY).",
        Recursive = true,
    };

    private readonly Option<string?> _maxStaleness = new("--max-staleness")
    {
        Description = "Largest age of a bounded read, such as 500ms.",
        Recursive = true,
    };

    private readonly Option<string?> _timeout = new("--timeout")
    {
        Description = "For a call with all its attempts, such as 5s (KVCTL_TIMEOUT).",
        Recursive = true,
    };

    private readonly Option<bool> _noColor = new("--no-color") { Description = "Plain text (NO_COLOR).", Recursive = true };

    public Settings()
    {
        string[] levels = ["strong", "bounded", "session", "eventual"];
        _output.AcceptOnlyFromAmong("table", "json", "ndjson", "raw");
        _consistency.AcceptOnlyFromAmong(levels);
    }

    public IReadOnlyList<Option> Options => [_endpoints, _context, _output, _consistency, _maxStaleness, _timeout, _noColor];

    public OutputForm OutputOf(ParseResult parsed) =>
        Enum.Parse<OutputForm>(parsed.GetValue(_output) ?? Variable("OUTPUT") ?? nameof(OutputForm.Table), ignoreCase: true);

    public bool IsPlain(ParseResult parsed) => parsed.GetValue(_noColor) || Environment.GetEnvironmentVariable("NO_COLOR") is { Length: > 0 };

    public KvClient Connect(ParseResult parsed)
    {
        string endpoints = parsed.GetValue(_endpoints) ?? Variable("ENDPOINTS")
            ?? Contexts.Load().Find(parsed.GetValue(_context) ?? Variable("CONTEXT")) ?? DefaultEndpoints;
        string text = endpoints.Contains('=', StringComparison.Ordinal) ? endpoints : $"Endpoints={endpoints}";

        // What is said of reads on the command line is all that is said of them: neither half of it is completed from elsewhere.
        bool readIsNamed = parsed.GetValue(_consistency) is not null || parsed.GetValue(_maxStaleness) is not null;
        string? consistency = parsed.GetValue(_consistency) ?? (readIsNamed ? null : Variable("CONSISTENCY"));
        text = With(text, ("Consistency", consistency), ("MaxStaleness", parsed.GetValue(_maxStaleness)));
        text = With(text, ("Timeout", parsed.GetValue(_timeout) ?? Variable("TIMEOUT")));
        KvClientOptions options = KvClientOptions.Parse(text);
        options.ClientName = "kvctl";
        return new KvClient(options);
    }

    /// <summary>The connection string with these words in place of what it says itself; as it is when none of them has a value.</summary>
    private static string With(string text, params (string Word, string? Value)[] said)
    {
        if (said.All(word => word.Value is null))
        {
            return text;
        }

        IEnumerable<string> rest = text.Split(';').Where(part => !said.Any(
            word => part.Split('=')[0].Trim().Equals(word.Word, StringComparison.OrdinalIgnoreCase)));
        return string.Join(';', [.. rest, .. said.Where(word => word.Value is not null).Select(word => $"{word.Word}={word.Value}")]);
    }

    private static string? Variable(string name) => Environment.GetEnvironmentVariable($"KVCTL_{name}") is { Length: > 0 } value ? value : null;
}

/// <summary>Named clusters in ~/.config/kvctl.json, or the file that KVCTL_CONFIG names.</summary>
internal sealed class Contexts
{
    public string? Current { get; set; }

    /// <summary>Endpoints or a connection string by name.</summary>
    public SortedDictionary<string, string> Clusters { get; init; } = new(StringComparer.Ordinal);

    private static string File => Environment.GetEnvironmentVariable("KVCTL_CONFIG") is { Length: > 0 } file
        ? file
        : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".config", "kvctl.json");

    /// <exception cref="ArgumentException">The file is none.</exception>
    public static Contexts Load()
    {
        try
        {
            return System.IO.File.Exists(File) ? JsonSerializer.Deserialize<Contexts>(System.IO.File.ReadAllText(File))! : new Contexts();
        }
        catch (JsonException e)
        {
            throw new ArgumentException($"{File} cannot be read: {e.Message}; correct it or remove it", e);
        }
    }

    public void Save()
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(File))!);
        System.IO.File.WriteAllText(File, JsonSerializer.Serialize(this, Json.Indented));
    }

    /// <summary>Null when no name is given and none is in use.</summary>
    /// <exception cref="ArgumentException">There is no such context.</exception>
    public string? Find(string? name)
    {
        name ??= Current;
        return name is null ? null
            : Clusters.TryGetValue(name, out string? endpoints) ? endpoints
            : throw new ArgumentException(
                $"there is no context '{name}'; "
                + (Clusters.Count == 0 ? "there are none yet: kvctl context set NAME ENDPOINTS saves one" : $"known are {string.Join(", ", Clusters.Keys)}"));
    }
}

internal static class Json
{
    public static readonly JsonSerializerOptions Lines = new(JsonSerializerDefaults.Web);
    public static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };
    public static readonly JsonSerializerOptions Document = new(JsonSerializerDefaults.Web) { WriteIndented = true };
}
