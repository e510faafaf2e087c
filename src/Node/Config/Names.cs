namespace KvStore.Node.Config;

/// <summary>What a cluster or a node may be called. A node's id is also the name of its folder, hence the short alphabet.</summary>
internal static class Names
{
    public const int MaxLength = 63;

    public const string Rule = "1 to 63 letters, digits, '-' or '_', beginning with a letter or digit";

    public static bool IsValid(string name) =>
        name.Length is > 0 and <= MaxLength
        && char.IsAsciiLetterOrDigit(name[0])
        && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_');

    /// <summary>The known name closest to a mistyped one, for error messages; null when nothing is close.</summary>
    public static string? Nearest(string name, IEnumerable<string> known)
    {
        var (best, distance) = known
            .Select(candidate => (candidate, EditDistance(name.ToLowerInvariant(), candidate.ToLowerInvariant())))
            .DefaultIfEmpty((string.Empty, int.MaxValue))
            .MinBy(pair => pair.Item2);
        return distance <= Math.Max(2, name.Length / 2) ? best : null;
    }

    // Levenshtein with one row: row[j] is the distance between the part of a read so far and the first j characters of b.
    private static int EditDistance(string a, string b)
    {
        var row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 1; i <= a.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= b.Length; j++)
            {
                var substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(substitute, 1 + Math.Min(row[j], row[j - 1]));
            }
        }

        return row[b.Length];
    }
}
