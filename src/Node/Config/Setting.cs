using System.Globalization;
using System.Numerics;

namespace KvStore.Node.Config;

public enum SettingKind
{
    Text,
    Number,
    Flag,
    Choice,

    /// <summary>Of a file; empty means none. Not a secret itself.</summary>
    FilePath,
}

/// <summary>
/// One scalar of the configuration: its path as in cluster.json with dots between levels (raft.electionTimeoutMs), what it
/// accepts, and what it is when nobody says anything. Without a default it has to be given.
/// </summary>
public sealed record Setting(string Path, SettingKind Kind, string? Default, string Description)
{
    private const int MaxPathLength = 4096;

    public long Min { get; init; }
    public long Max { get; init; } = long.MaxValue;
    public bool PowerOfTwo { get; init; }
    public IReadOnlyList<string> Choices { get; init; } = [];

    /// <summary>Words that other programs use for one of the choices.</summary>
    public IReadOnlyDictionary<string, string> Synonyms { get; init; } = new Dictionary<string, string>();

    /// <summary>The choice that is meant; everything else as it is.</summary>
    public string Canonical(string value) => Synonyms.GetValueOrDefault(value, value);

    /// <summary>Null when the value is acceptable, otherwise what would be.</summary>
    public string? Reject(string value) => Kind switch
    {
        SettingKind.Number => RejectNumber(value),
        SettingKind.Flag => value is "true" or "false" ? null : "true or false",
        SettingKind.Choice => Choices.Contains(value) ? null : "one of " + string.Join(", ", Choices),
        SettingKind.FilePath => value.Length <= MaxPathLength && !value.Any(char.IsControl) ? null : "the path of a file",
        _ => Names.IsValid(value) ? null : Names.Rule,
    };

    private string? RejectNumber(string value)
    {
        var fits = long.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)
            && number >= Min && number <= Max
            && (!PowerOfTwo || BitOperations.IsPow2(number))
            && (Choices.Count == 0 || Choices.Contains(value));
        if (fits)
        {
            return null;
        }

        return Choices.Count > 0 ? "one of " + string.Join(", ", Choices)
            : PowerOfTwo ? $"a power of two from {Min} to {Max}"
            : Max == long.MaxValue ? $"a whole number of at least {Min}"
            : $"a whole number from {Min} to {Max}";
    }
}
