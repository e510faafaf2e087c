using System.Globalization;

namespace KvStore.LoadTests.Servers;

/// <summary>Counters of the servers as /metrics shows them (Prometheus text 0.0.4), summed over labels and nodes.</summary>
internal sealed class ServerCounters
{
    private readonly Dictionary<string, double> _sums = [];

    public double? Find(string name) => _sums.TryGetValue(name, out double sum) ? sum : null;

    /// <summary>Adds what one node says. Lines that are not samples are skipped.</summary>
    public void Add(string text)
    {
        foreach (string line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            // name{labels} value [timestamp]; a label's value may contain spaces.
            int nameEnd = line.IndexOfAny(['{', ' ']);
            int valueStart = line.LastIndexOf('}') + 1;
            if (line[0] == '#' || nameEnd <= 0)
            {
                continue;
            }

            string[] rest = line[Math.Max(nameEnd, valueStart)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (rest.Length > 0 && double.TryParse(rest[0], NumberStyles.Float, CultureInfo.InvariantCulture, out double value))
            {
                string name = line[..nameEnd];
                _sums[name] = _sums.GetValueOrDefault(name) + value;
            }
        }
    }
}
