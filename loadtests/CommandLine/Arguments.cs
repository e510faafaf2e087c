using System.Globalization;

namespace KvStore.LoadTests.CommandLine;

/// <summary>Options as given: --name value, --name=value, or --flag. Whatever is not in the list of options is an error.</summary>
internal sealed class Arguments
{
    private const string FlagGiven = "true";
    private readonly Dictionary<string, string> _given = [];
    private readonly IReadOnlyList<Option> _options;

    public Arguments(IReadOnlyList<string> arguments, IReadOnlyList<Option> options)
    {
        _options = options;
        for (int i = 0; i < arguments.Count; i++)
        {
            if (!arguments[i].StartsWith("--", StringComparison.Ordinal))
            {
                throw new UsageException($"'{arguments[i]}' is not an option; options begin with --");
            }

            string[] parts = arguments[i][2..].Split('=', 2);
            var option = options.FirstOrDefault(known => known.Name == parts[0])
                ?? throw new UsageException(
                    $"unknown option --{parts[0]}; known: {string.Join(' ', options.Select(known => "--" + known.Name))}");
            bool valueFollows = option.Value is not null && parts.Length == 1;
            if (valueFollows && i + 1 == arguments.Count)
            {
                throw new UsageException($"--{option.Name} needs a value: {option.Value}");
            }

            if (option.Value is null && parts.Length == 2)
            {
                throw new UsageException($"--{option.Name} takes no value");
            }

            _given[option.Name] = valueFollows ? arguments[++i] : parts.Length == 2 ? parts[1] : FlagGiven;
        }
    }

    public bool Has(string name) => _given.ContainsKey(name);

    public string? TextOrNull(string name) => _given.GetValueOrDefault(name) ?? _options.First(option => option.Name == name).Default;

    public string Text(string name) => TextOrNull(name) ?? throw new UsageException($"--{name} is needed");

    public string Choice(string name, params string[] choices)
    {
        string text = Text(name);
        return choices.Contains(text) ? text : throw new UsageException($"--{name} is one of {string.Join(", ", choices)}, not '{text}'");
    }

    public int Count(string name, int min = 1)
    {
        string text = Text(name);
        return int.TryParse(text, NumberStyles.AllowThousands, CultureInfo.InvariantCulture, out int value) && value >= min
            ? value
            : throw new UsageException($"--{name} is a whole number of at least {min}, not '{text}'");
    }

    public TimeSpan Seconds(string name)
    {
        string text = Text(name);
        bool isNumber = double.TryParse(text.TrimEnd('s'), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value);
        return isNumber && value > 0
            ? TimeSpan.FromSeconds(value)
            : throw new UsageException($"--{name} is a number of seconds above 0, not '{text}'");
    }

    public string[]? ListOrNull(string name) =>
        TextOrNull(name)?.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
}
