using System.Globalization;
using System.Text;
using System.Text.Json;
using KvStore.LoadTests.Load;

namespace KvStore.LoadTests.Reports;

/// <summary>The results of one command: a table for people (Markdown is readable on a terminal, too) and JSON for programs.</summary>
internal sealed class LoadReport(RunContext context)
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    /// <summary>The first columns are words, the others figures.</summary>
    private const int TextColumns = 3;

    private static readonly string[] Columns =
    [
        "step", "door", "load", "ok/s", "failed", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms",
        "entries/sync", "writes/sync", "CPU s/100k", "RSS MB",
    ];

    private readonly List<Row> _rows = [];
    private readonly List<string> _notes = [];

    public void Add(ScenarioResult result)
    {
        var measurement = result.Measurement;
        string point = $"{result.Scenario.Name} over {result.Door} at {result.Simulation}";
        for (int step = 0; step < result.Scenario.Steps.Count; step++)
        {
            var latency = measurement.LatencyOf(step);
            _rows.Add(new Row
            {
                Step = result.Scenario.Steps[step].Name,
                Door = result.Door,
                Load = result.Simulation.ToString()!,
                OkPerSecond = result.Scenario.Steps.Count == 1 ? result.Throughput : latency.Count / result.Simulation.During.TotalSeconds,
                Failed = result.Failures,
                NotSent = result.NotSent,
                MeanNs = latency.Mean,
                P50Ns = latency.Percentile(50),
                P90Ns = latency.Percentile(90),
                P99Ns = latency.Percentile(99),
                P999Ns = latency.Percentile(99.9),
                MaxNs = latency.Max,
                EntriesPerSync = result.Servers.EntriesPerSync,
                WritesPerSync = result.Servers.WritesPerSync,
                CpuSecondsPer100k = result.CpuSecondsPer100k,
                ResidentBytes = result.After.ResidentBytes,
            });
        }

        if (measurement.Failures.Count > 0)
        {
            var kinds = measurement.Failures.OrderByDescending(kind => kind.Value).Select(kind => $"{kind.Key} {kind.Value}");
            Note($"{point}: failed requests: {string.Join(", ", kinds)}");
        }

        if (result.NotSent > 0)
        {
            Note($"{point}: {result.NotSent:N0} requests were due and never sent; the rate is above what was reached");
        }
    }

    public void Note(string sentence) => _notes.Add(sentence);

    public string ToMarkdown()
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"""
            - when: {context.Started:yyyy-MM-dd HH:mm} UTC, commit {context.Commit}
            - machine: {context.Machine}; load average before the run {context.LoadAverage:0.00}
            - runtime: {context.Runtime}
            - command: `{context.CommandLine}`


            """);
        if (_rows.Count > 0)
        {
            AppendTable(text, [Columns, .. _rows.Select(row => row.Cells())]);
        }

        foreach (string note in _notes)
        {
            text.Append("- ").AppendLine(note);
        }

        return text.ToString();
    }

    public string ToJson() => JsonSerializer.Serialize(new { context, steps = _rows, notes = _notes }, Json);

    /// <summary>NAME.md and NAME.json in the directory.</summary>
    public void Save(string directory, string name)
    {
        Directory.CreateDirectory(directory);
        File.WriteAllText(Path.Combine(directory, name + ".md"), ToMarkdown());
        File.WriteAllText(Path.Combine(directory, name + ".json"), ToJson());
    }

    // Padded, so that it reads as a table before it is rendered as one. Figures are set to the right.
    private static void AppendTable(StringBuilder text, string[][] lines)
    {
        int[] widths = [.. Columns.Select((_, column) => lines.Max(line => line[column].Length))];
        string Pad(string cell, int column) => column < TextColumns ? cell.PadRight(widths[column]) : cell.PadLeft(widths[column]);
        string Rule(int width, int column) => column < TextColumns ? new string('-', width + 2) : new string('-', width + 1) + ":";
        text.Append("| ").AppendJoin(" | ", lines[0].Select(Pad)).AppendLine(" |");
        text.Append('|').AppendJoin('|', widths.Select(Rule)).AppendLine("|");
        foreach (string[] line in lines.Skip(1))
        {
            text.Append("| ").AppendJoin(" | ", line.Select(Pad)).AppendLine(" |");
        }

        text.AppendLine();
    }

    private sealed record Row
    {
        public required string Step { get; init; }
        public required string Door { get; init; }
        public required string Load { get; init; }
        public required double OkPerSecond { get; init; }
        public required long Failed { get; init; }
        public required int NotSent { get; init; }
        public required double MeanNs { get; init; }
        public required long P50Ns { get; init; }
        public required long P90Ns { get; init; }
        public required long P99Ns { get; init; }
        public required long P999Ns { get; init; }
        public required long MaxNs { get; init; }
        public required double? EntriesPerSync { get; init; }
        public required double? WritesPerSync { get; init; }
        public required double? CpuSecondsPer100k { get; init; }
        public required long? ResidentBytes { get; init; }

        public string[] Cells() =>
        [
            Step, Door, Load, Figures.Rate(OkPerSecond), Figures.Rate(Failed + NotSent),
            .. new double[] { P50Ns, P90Ns, P99Ns, P999Ns, MaxNs }.Select(Figures.Milliseconds),
            Figures.OrNotKnown(EntriesPerSync, "0.0"), Figures.OrNotKnown(WritesPerSync, "0.0"),
            Figures.OrNotKnown(CpuSecondsPer100k, "0.00"), Figures.Megabytes(ResidentBytes),
        ];
    }
}
