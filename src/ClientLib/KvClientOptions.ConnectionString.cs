using System.Globalization;

namespace KvStore.Client;

public sealed partial class KvClientOptions
{
    private readonly SaidOfReads _said = new();

    /// <summary>A level and a bound make one read together, whichever is said first.</summary>
    private sealed class SaidOfReads
    {
        public Read? Level { get; set; }

        public Read? Bound { get; set; }

        /// <exception cref="ArgumentException">A bound beside a level that has none: one of the two was not meant.</exception>
        public Read Together => Bound is null ? Level!
            : Level is null || Level.Level == Protocol.ReadLevel.Bounded ? Bound
            : throw new ArgumentException(
                $"MaxStaleness bounds a bounded read, but Consistency is {Level.Level.ToString().ToLowerInvariant()}: "
                + "say Consistency=bounded, or no MaxStaleness.");
    }

    /// <summary>
    /// <c>Endpoints=http://n1:7101,http://n2:7101;Consistency=bounded;MaxStaleness=500ms;Timeout=5s;Zone=a</c>, in any order,
    /// each word once. A text without '=' is the list of endpoints alone.
    /// </summary>
    private static class ConnectionString
    {
        private static readonly Dictionary<string, Action<KvClientOptions, string>> Words = new(StringComparer.OrdinalIgnoreCase)
        {
            ["Endpoints"] = (options, value) => AddEndpoints(options, value),
            ["ClusterId"] = (options, value) => options.ClusterId = value,
            ["Consistency"] = (options, value) => SayLevel(options, LevelOf(value)),
            ["MaxStaleness"] = (options, value) => SayBound(options, Read.Within(TimeOf("MaxStaleness", value))),
            ["Timeout"] = (options, value) => options.Timeout = TimeOf("Timeout", value),
            ["ConnectTimeout"] = (options, value) => options.ConnectTimeout = TimeOf("ConnectTimeout", value),
            ["Zone"] = (options, value) => options.Zone = value,
            ["KeyPrefix"] = (options, value) => options.KeyPrefix = value,
            ["ClientName"] = (options, value) => options.ClientName = value,
            ["LeaderAware"] = (options, value) => options.LeaderAware = BoolOf("LeaderAware", value),
            ["Balancing"] = (options, value) => options.Balancing = BalancingOf(value),
        };

        private static readonly string[] Levels = ["strong", "bounded", "session", "eventual"];

        public static KvClientOptions Parse(string text)
        {
            var options = new KvClientOptions();
            Apply(options, text);
            options.Validate();
            return options;
        }

        public static void Apply(KvClientOptions options, string text)
        {
            if (!text.Contains('=', StringComparison.Ordinal))
            {
                AddEndpoints(options, text);
                return;
            }

            HashSet<string> seen = new(StringComparer.OrdinalIgnoreCase);
            foreach (string part in text.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
            {
                int equals = part.IndexOf('=', StringComparison.Ordinal);
                string word = (equals < 0 ? part : part[..equals]).Trim();
                if (equals < 0 && Words.ContainsKey(word))
                {
                    throw new ArgumentException($"The connection string says nothing of '{word}'; write {word}=…");
                }

                if (!seen.Add(word))
                {
                    throw new ArgumentException($"The connection string says '{word}' twice; say it once.");
                }

                Set(options, word, part[(equals + 1)..].Trim());
            }
        }

        public static void Set(KvClientOptions options, string word, string value)
        {
            if (!Words.TryGetValue(word, out Action<KvClientOptions, string>? set))
            {
                throw new ArgumentException($"The connection string has the unknown word '{word}'; did you mean '{Nearest(word, Words.Keys)}'?");
            }

            set(options, value);
        }

        /// <summary>The known word that takes the fewest changes to become.</summary>
        public static string Nearest(string word, IEnumerable<string> known) =>
            known.MinBy(candidate => Distance(word.ToUpperInvariant(), candidate.ToUpperInvariant()))!;

        private static void AddEndpoints(KvClientOptions options, string value)
        {
            foreach (string endpoint in value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
            {
                options.Endpoints.Add(endpoint);
            }
        }

        private static void SayLevel(KvClientOptions options, Read level)
        {
            options._said.Level = level;
            options.DefaultRead = options._said.Together;
        }

        private static void SayBound(KvClientOptions options, Read bound)
        {
            options._said.Bound = bound;
            options.DefaultRead = options._said.Together;
        }

        private static Read LevelOf(string value) => value.ToUpperInvariant() switch
        {
            "STRONG" => Read.Strong,
            "BOUNDED" => Read.Within(TimeSpan.FromSeconds(5)),
            "SESSION" => Read.InSession(),
            "EVENTUAL" => Read.Anything,
            _ => throw new ArgumentException($"Consistency={value} is no level; did you mean '{Nearest(value, Levels)}'?"),
        };

        private static KvBalancing BalancingOf(string value) => Enum.TryParse(value, ignoreCase: true, out KvBalancing balancing)
            ? balancing
            : throw new ArgumentException($"Balancing={value}: did you mean '{Nearest(value, Enum.GetNames<KvBalancing>())}'?");

        private static bool BoolOf(string word, string value) =>
            bool.TryParse(value, out bool flag) ? flag : throw new ArgumentException($"{word}={value}: write true or false.");

        /// <summary>As REST takes them: a whole number and a unit.</summary>
        private static TimeSpan TimeOf(string word, string value)
        {
            (string number, int unitMs) = value switch
            {
                _ when value.EndsWith("ms", StringComparison.Ordinal) => (value[..^2], 1),
                _ when value.EndsWith('s') => (value[..^1], 1000),
                _ when value.EndsWith('m') => (value[..^1], 60_000),
                _ when value.EndsWith('h') => (value[..^1], 3_600_000),
                _ => ("", 0),
            };
            return int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out int count) && count > 0
                ? TimeSpan.FromMilliseconds((long)count * unitMs)
                : throw new ArgumentException($"{word}={value} is no time: write a whole number and a unit, such as 500ms, 5s or 2m.");
        }

        private static int Distance(string from, string to)
        {
            int[] row = [.. Enumerable.Range(0, to.Length + 1)];
            for (int i = 1; i <= from.Length; i++)
            {
                int diagonal = row[0];
                row[0] = i;
                for (int j = 1; j <= to.Length; j++)
                {
                    int above = row[j];
                    row[j] = Math.Min(Math.Min(row[j] + 1, row[j - 1] + 1), diagonal + (from[i - 1] == to[j - 1] ? 0 : 1));
                    diagonal = above;
                }
            }

            return row[^1];
        }
    }
}
