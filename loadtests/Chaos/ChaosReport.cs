using System.Globalization;
using System.Text;
using KvStore.LoadTests.Load;
using KvStore.LoadTests.Reports;

namespace KvStore.LoadTests.Chaos;

/// <summary>report.md of a chaos run.</summary>
internal static class ChaosReport
{
    private const int MostStories = 20;

    public static string Write(ChaosFigures figures, ChaosOptions options, RunContext context)
    {
        var text = new StringBuilder();
        var history = figures.History;
        text.Append(CultureInfo.InvariantCulture, $"""
            # {options.Scenario.Name}: {Name(figures.Verdict)}

            {options.Scenario.Summary}.

            - when: {context.Started:yyyy-MM-dd HH:mm} UTC, commit {context.Commit}, seed {options.Seed}
            - machine: {context.Machine}; load average before the run {context.LoadAverage:0.00}
            - runtime: {context.Runtime}
            - command: `{context.CommandLine}`

            | | |
            |---|---|
            | faults | {figures.Rounds.Count} of {figures.RoundsAsked} asked for |
            | answers/s before the first fault | {figures.AnswersPerSecondBefore:N0} |
            | puts acknowledged | {history.AcknowledgedWrites:N0} |
            | puts with unknown outcome | {history.UnknownWrites:N0} |
            | puts refused | {history.RefusedWrites:N0} |
            | requests refused for want of room, certainly not applied | {figures.RefusedForRoom.NotApplied:N0} |
            | with a full disk as their last word, and perhaps applied by an earlier attempt | {figures.RefusedForRoom.Other:N0} |
            | reads answered | {history.Reads:N0} |
            | final reads among them | {history.FinalReads:N0} |
            | less than the level asked for, where that was allowed | {history.ServedWeaker:N0} |
            | leader changes seen | {history.LeaderChanges:N0} |
            | violations | {history.Violations.Count:N0} |

            """);
        text.Append("\n## Reads by the level they met, and the ages they showed, milliseconds\n\n");
        text.Append("| level | answers | with an age | median | p99 | maximum |\n|---|---:|---:|---:|---:|---:|\n");
        foreach (string level in ReadLevels.All.Select(ReadLevels.NameOf))
        {
            var ages = history.Ages.GetValueOrDefault(level, []);
            text.Append(CultureInfo.InvariantCulture, $"| {level} | {history.ReadsByLevel.GetValueOrDefault(level):N0} | ");
            text.Append(ages.Count == 0 ? "n/a | n/a | n/a | n/a" : string.Create(
                CultureInfo.InvariantCulture, $"{ages.Count:N0} | {Percentile(ages, 50)} | {Percentile(ages, 99)} | {ages[^1]}")).Append(" |\n");
        }

        text.Append("""

            ## From a fault to the first write acknowledged after it, seconds

            Counted from the last moment the node was seen to be well to the acknowledgement of the first write sent after it was
            struck, per group and fault, over the other nodes.

            | groups | n | median | p99 | maximum |
            |---|---:|---:|---:|---:|

            """);
        var outages = figures.Rounds.SelectMany(round => Enumerable.Range(0, figures.Groups).Select(group => (round, group))).ToList();
        AppendOutages(text, "all", outages);
        AppendOutages(text, "those whose leader was struck", outages.Where(at => at.round.LeaderlessGroups.Contains(at.group)));
        AppendOutages(text, "the others", outages.Where(at => !at.round.LeaderlessGroups.Contains(at.group)));

        var restarts = figures.Rounds.Select(round => round.Recovery?.TotalSeconds).OfType<double>().Order().ToList();
        text.Append("\n| from the end of a fault to ready | n | median | p99 | maximum |\n|---|---:|---:|---:|---:|\n");
        text.Append("| all struck nodes of a round | ").Append(Summary(restarts)).Append(" |\n");

        AppendMemory(text, figures);
        AppendList(text, "Why it fails", figures.Failures());
        AppendList(text, "Why there is no verdict", figures.Voids());
        AppendList(text, "Violations", history.Violations.Select(violation => $"{violation.Rule}: {violation.Key}: {violation.Story}"));
        return text.ToString();
    }

    private static void AppendMemory(StringBuilder text, ChaosFigures figures)
    {
        if (figures.Fault != Fault.Memory)
        {
            return;
        }

        text.Append(CultureInfo.InvariantCulture, $"""

            ## Memory

            Processes killed for want of memory: {figures.OutOfMemoryKills}. Resident after the last round, as a share of that after the second: {figures.ResidentGrowth:P1}.

            | round | writes taken | bytes of their values | refused | read while full | deleted | resident afterwards, all nodes |
            |---:|---:|---:|---:|---:|---:|---:|

            """);
        foreach (var (round, number) in figures.Memory.Select((round, index) => (round, index + 1)))
        {
            text.Append(CultureInfo.InvariantCulture, $"| {number} | {round.Taken:N0} | {round.TakenBytes:N0} | {round.Refused:N0} | {round.Read:N0} | ");
            text.Append(CultureInfo.InvariantCulture, $"{round.Deleted:N0} | {round.ResidentBytes:N0} |\n");
        }
    }

    public static string Name(Verdict verdict) => verdict.ToString().ToUpperInvariant();

    private static void AppendOutages(StringBuilder text, string groups, IEnumerable<(FaultRound Round, int Group)> outages)
    {
        var seconds = outages.Select(at => at.Round.OutageOf(at.Group)?.TotalSeconds ?? double.PositiveInfinity).Order().ToList();
        text.Append("| ").Append(groups).Append(" | ").Append(Summary(seconds)).Append(" |\n");
    }

    private static string Summary(List<double> sorted) => sorted.Count == 0
        ? "0 | n/a | n/a | n/a"
        : string.Create(
            CultureInfo.InvariantCulture,
            $"{sorted.Count} | {Percentile(sorted, 50):0.000} | {Percentile(sorted, 99):0.000} | {sorted[^1]:0.000}");

    // Nearest rank: a value that was measured, never one between two.
    private static T Percentile<T>(IReadOnlyList<T> sorted, double percent) =>
        sorted[Math.Max(0, (int)Math.Ceiling(sorted.Count * percent / 100) - 1)];

    private static void AppendList(StringBuilder text, string title, IEnumerable<string> lines)
    {
        var all = lines.ToList();
        if (all.Count == 0)
        {
            return;
        }

        text.Append("\n## ").Append(title).Append("\n\n");
        foreach (string line in all.Take(MostStories))
        {
            text.Append("- ").Append(line).Append('\n');
        }

        if (all.Count > MostStories)
        {
            text.Append(CultureInfo.InvariantCulture, $"- … and {all.Count - MostStories:N0} more\n");
        }
    }
}
