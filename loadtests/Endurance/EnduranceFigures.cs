using System.Globalization;
using System.Text;
using KvStore.LoadTests.Chaos;
using KvStore.LoadTests.Reports;

namespace KvStore.LoadTests.Endurance;

/// <summary>A run of an overload or a soak in figures, and what follows from them.</summary>
internal sealed record EnduranceFigures
{
    /// <summary>Of the peak, that is served under overload.</summary>
    public const double LeastGoodput = 0.80;

    public required IReadOnlyList<NodeSeries> Nodes { get; init; }

    /// <summary>Successes a second with as many clients as are served best; null in a soak.</summary>
    public double? PeakPerSecond { get; init; }

    /// <summary>What was asked for; answers that were successes, and others.</summary>
    public required double OfferedPerSecond { get; init; }

    public required double ServedPerSecond { get; init; }

    public required IReadOnlyDictionary<string, long> Refused { get; init; }

    /// <summary>A node that has ended; null when none has.</summary>
    public required string? Ended { get; init; }

    public double MostMemoryGrowth { get; init; } = NodeSeries.MostMemoryGrowth;

    public IEnumerable<string> Failures()
    {
        if (Ended is not null)
        {
            yield return $"{Ended} has ended";
        }

        if (PeakPerSecond is { } peak && ServedPerSecond < LeastGoodput * peak)
        {
            yield return $"{ServedPerSecond:N0} requests a second were served of {peak:N0} that can be; {LeastGoodput:P0} are promised";
        }

        // Whoever is asked for nothing it may refuse must not fail.
        if (PeakPerSecond is null && Refused.Values.Sum() is > 0 and var failed)
        {
            yield return $"{failed:N0} requests failed: {string.Join(", ", Refused.Select(refused => $"{refused.Key} {refused.Value}"))}";
        }

        foreach (string failure in Nodes.SelectMany(node => node.Failures(MostMemoryGrowth)))
        {
            yield return failure;
        }
    }

    public IEnumerable<string> Voids()
    {
        foreach (var node in Nodes.Where(node => !node.SaysSomething))
        {
            yield return $"{node.Samples.Count} samples of {node.Node}; twice {NodeSeries.LeastSamples} are needed";
        }

        if (ServedPerSecond <= 0)
        {
            yield return "nothing was served";
        }
    }

    public Verdict Verdict => Failures().Any() ? Verdict.Fail : Voids().Any() ? Verdict.Void : Verdict.Pass;

    public string Report(string name, RunContext context)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"""
            # {name}: {ChaosReport.Name(Verdict)}

            - when: {context.Started:yyyy-MM-dd HH:mm} UTC, commit {context.Commit}
            - machine: {context.Machine}; load average before the run {context.LoadAverage:0.00}
            - command: `{context.CommandLine}`

            Asked for {OfferedPerSecond:N0} requests a second, served {ServedPerSecond:N0}
            """);
        text.Append(PeakPerSecond is { } peak ? string.Create(CultureInfo.InvariantCulture, $", {ServedPerSecond / peak:P0} of the peak of {peak:N0}.") : ".");
        text.Append(" Others: ").Append(Refused.Count == 0 ? "none" : string.Join(", ", Refused.Select(refused => $"{refused.Key} {refused.Value}"))).Append(".\n\n");
        text.Append("| node | samples | resident, mean of the second half | growth over it | bytes an hour | handles at the end | handles an hour |\n|---|---:|---:|---:|---:|---:|---:|\n");
        foreach (var node in Nodes.Where(node => node.SaysSomething))
        {
            text.Append(
                CultureInfo.InvariantCulture,
                $"| {node.Node} | {node.Samples.Count} | {node.MeanResidentBytes:N0} | {node.MemoryGrowth:P1} | {node.BytesPerHour:N0} | {node.Samples[^1].Handles} | {node.HandlesPerHour:N1} |\n");
        }

        foreach (string line in Failures().Select(failure => "Fails: " + failure).Concat(Voids().Select(reason => "No verdict: " + reason)))
        {
            text.Append("\n- ").Append(line);
        }

        return text.Append('\n').ToString();
    }
}
