using System.Globalization;

namespace KvStore.Client;

public sealed partial class KvClientOptions
{
    /// <summary>
    /// <c>Endpoints=http://n1:7101,http://n2:7101;Consistency=session;MaxStaleness=500ms;Timeout=5s;Zone=a</c>. A text without '=' is the list
    /// of endpoints alone.
    /// </summary>
    private static class ConnectionString
    {
        private static readonly Dictionary<string, Action<KvClientOptions, string>> Words = new(StringComparer.OrdinalIgnoreCase)
        {
            ["Endpoints"] = (options, value) => AddEndpoints(options, value),
            ["ClusterId"] = (options, value) => options.ClusterId = value,
            ["Consistency"] = (options, value) => options.DefaultRead = LevelOf(value),
            ["MaxStaleness"] = (options, value) => options.DefaultRead = Read.Within(TimeOf("MaxStaleness", value)),
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
            }
            else
            {
                foreach (string part in text.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
                {
                    int equals = part.IndexOf('=', StringComparison.Ordinal);
                    string word = (equals < 0 ? part : part[..equals]).Trim();
                    if (equals < 0 && Words.ContainsKey(word))
                    {
                        throw new ArgumentException($"The connection string says nothing of '{word}'; write {word}=…");
                    }

                    Set(options, word, part[(equals + 1)..].Trim());
                }
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

        /// <summary>5s, 500ms, 2m, or a number of seconds.</summary>
        private static TimeSpan TimeOf(string word, string value)
        {
            (string number, double unitMs) = value switch
            {
                _ when value.EndsWith("ms", StringComparison.Ordinal) => (value[..^2], 1.0),
                _ when value.EndsWith('s') => (value[..^1], 1000.0),
                _ when value.EndsWith('m') => (value[..^1], 60_000.0),
                _ => (value, 1000.0),
            };
            return double.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double count) && count * unitMs >= 1
                ? TimeSpan.FromMilliseconds(count * unitMs)
                : throw new ArgumentException($"{word}={value} is no time; write 5s, 500ms or 2m.");
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
