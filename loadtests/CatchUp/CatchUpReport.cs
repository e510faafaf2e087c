using System.Globalization;
using System.Text;
using KvStore.LoadTests.Chaos;
using KvStore.LoadTests.Reports;

namespace KvStore.LoadTests.CatchUp;

/// <summary>report.md of a catch-up run.</summary>
internal static class CatchUpReport
{
    public static string Write(CatchUpFigures figures, CatchUpOptions options, RunContext context)
    {
        string caughtUp = figures.ToCaughtUp is { } span ? Figures.Seconds(span) + " s" : "never";
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"""
            # catch-up: {ChaosReport.Name(figures.Verdict)}

            A node is stopped ({(options.Kill ? "kill -9" : "SIGTERM")}), the others are written to, it is started again: it
            must come to hold what they hold, by snapshot.

            - when: {context.Started:yyyy-MM-dd HH:mm} UTC, commit {context.Commit}, seed {options.Seed}
            - machine: {context.Machine}; load average before the run {context.LoadAverage:0.00}
            - runtime: {context.Runtime}
            - command: `{context.CommandLine}`

            | | |
            |---|---|
            | writes while {figures.Node} was away | {figures.Writes:N0} |
            | what was written | {options.ValueBytes:N0} B values over {options.Keys:N0} keys, one write in ten a delete |
            | writing them | {Figures.Seconds(figures.Writing)} s, {figures.Writes / figures.Writing.TotalSeconds:N0}/s |
            | snapshots a node that stayed took of each group meanwhile | {figures.SnapshotsPerGroup:0.0} |
            | from the start of the restart to ready | {Figures.Seconds(figures.ToReady)} s |
            | from the start of the restart to caught up in every group | {caughtUp} |
            | snapshots fetched | {figures.SnapshotBytes / 1e6:N1} MB |

            | group | stopped at | leader's log starts at | written to | applied | snapshots installed | hash at index | equal |
            |---:|---:|---:|---:|---:|---:|---|---|

            """);
        foreach (var group in figures.Groups)
        {
            string hash = group.Hashes is { } found ? $"{found[0].Hash} at {found[0].Applied}" : "n/a";
            string equal = group.Hashes is null ? "n/a" : group.Hashes.Distinct().Count() == 1 ? $"on {group.Hashes.Count} nodes" : "no";
            text.Append(CultureInfo.InvariantCulture, $"| {group.Group} | {group.StoppedAt} | {group.LogStartsAt} | {group.Target} ");
            text.Append(CultureInfo.InvariantCulture, $"| {group.Applied} | {group.SnapshotsInstalled} | {hash} | {equal} |\n");
        }

        AppendList(text, "Why it fails", figures.Failures());
        AppendList(text, "Why there is no verdict", figures.Voids());
        return text.ToString();
    }

    private static void AppendList(StringBuilder text, string title, IEnumerable<string> lines)
    {
        string list = string.Concat(lines.Select(line => $"- {line}\n"));
        if (list.Length > 0)
        {
            text.Append("\n## ").Append(title).Append("\n\n").Append(list);
        }
    }
}
