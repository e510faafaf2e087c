using System.Globalization;
using System.Text;
using KvStore.LoadTests.Chaos;
using KvStore.LoadTests.Reports;

namespace KvStore.LoadTests.Hostile;

/// <summary>One attack, once. Times in milliseconds, memory in bytes.</summary>
internal sealed record AttackRound
{
    public required Attack Attack { get; init; }
    public required double CalmP99 { get; init; }
    public required double P99 { get; init; }
    public required long Answers { get; init; }
    public required IReadOnlyList<string> Failures { get; init; }
    public required Mounted Mounted { get; init; }

    /// <summary>Of the failures, requests that had no answer in their time; the others were refused or broken off.</summary>
    public int TimedOut => Failures.Count(failure => failure.Contains(Bystander.NoAnswer, StringComparison.Ordinal));

    /// <summary>The most that the attacked node held, and what it plans with.</summary>
    public required long MostResident { get; init; }
    public required long MemoryLimit { get; init; }

    /// <summary>Nodes that ended although nobody ended them.</summary>
    public required IReadOnlyList<string> Ended { get; init; }
}

/// <summary>What follows from a run of attacks.</summary>
internal sealed record HostileFigures(IReadOnlyList<AttackRound> Rounds, int RoundsAsked, string? Breakdown)
{
    /// <summary>Fewer answers to the other client in a round say nothing about it.</summary>
    public const int LeastAnswers = 20;

    /// <summary>Parts of an attack that must have been begun: nine of ten. With fewer the node was not attacked as the round says.</summary>
    public static int LeastMounted(Attack attack) => ((9 * attack.Parts) + 9) / 10;

    public IEnumerable<string> Failures()
    {
        foreach (var round in Rounds)
        {
            if (round.Failures.Count > 0)
            {
                yield return $"{round.Attack.Name}: {round.Failures.Count} of {round.Answers + round.Failures.Count} requests of the other client failed, first: {round.Failures[0]}";
            }

            if (round.Ended.Count > 0)
            {
                yield return $"{round.Attack.Name}: {string.Join(", ", round.Ended)} ended";
            }

            if (round.MemoryLimit > 0 && round.MostResident > round.MemoryLimit)
            {
                yield return string.Create(
                    CultureInfo.InvariantCulture, $"{round.Attack.Name}: the node held {round.MostResident:N0} bytes of {round.MemoryLimit:N0}");
            }
        }
    }

    public IEnumerable<string> Voids()
    {
        if (Breakdown is not null)
        {
            yield return Breakdown;
        }

        if (Rounds.Count < RoundsAsked)
        {
            yield return $"{Rounds.Count} rounds of {RoundsAsked}";
        }

        foreach (var round in Rounds)
        {
            if (round.Mounted.Begun < LeastMounted(round.Attack))
            {
                yield return $"{round.Attack.Name}: {round.Mounted.Begun} of {round.Attack.Parts} parts of the attack were begun, fewer than {LeastMounted(round.Attack)}";
            }

            if (round.Answers < LeastAnswers)
            {
                yield return $"{round.Attack.Name}: {round.Answers} answers to the other client, fewer than {LeastAnswers}";
            }

            if (round.MemoryLimit <= 0 || round.MostResident <= 0)
            {
                yield return $"{round.Attack.Name}: what memory the node held, and what it may hold, is not known";
            }
        }
    }

    public Verdict Verdict => Failures().Any() ? Verdict.Fail : Voids().Any() ? Verdict.Void : Verdict.Pass;

    public string Report(RunContext context, string attackers)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"""
            # hostile: {ChaosReport.Name(Verdict)}

            What another client saw while a node was attacked: every request of it that did not succeed is a failure; it tries nothing twice.

            - when: {context.Started:yyyy-MM-dd HH:mm} UTC, commit {context.Commit}
            - machine: {context.Machine}; load average before the run {context.LoadAverage:0.00}
            - runtime: {context.Runtime}; the attacker: {attackers}
            - command: `{context.CommandLine}`

            | attack | rounds | parts begun, of (least) | most at once (median) | answers | refused or failed | no answer in time | p99 calm, ms (median) | p99, ms (median) | most memory of the node, of its limit, MiB |
            |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|

            """);
        foreach (var rounds in Rounds.GroupBy(round => round.Attack))
        {
            text.Append(
                CultureInfo.InvariantCulture,
                $"| {rounds.Key.Summary} | {rounds.Count()} | {rounds.Min(r => r.Mounted.Begun):N0} of {rounds.Key.Parts:N0} | {Median(rounds.Select(r => (double)r.Mounted.Most)):N0} | {rounds.Sum(r => r.Answers):N0} | ")
                .Append(CultureInfo.InvariantCulture, $"{rounds.Sum(r => r.Failures.Count - r.TimedOut):N0} | {rounds.Sum(r => r.TimedOut):N0} | ")
                .Append(CultureInfo.InvariantCulture, $"{Median(rounds.Select(r => r.CalmP99)):0.0} | {Median(rounds.Select(r => r.P99)):0.0} | ")
                .Append(CultureInfo.InvariantCulture, $"{rounds.Max(r => r.MostResident) >> 20:N0} of {rounds.Min(r => r.MemoryLimit) >> 20:N0} |\n");
        }

        Append("Why it fails", Failures());
        Append("Why there is no verdict", Voids());
        return text.ToString();

        void Append(string title, IEnumerable<string> lines)
        {
            var all = lines.ToList();
            text.Append(all.Count == 0 ? "" : $"\n## {title}\n\n{string.Join('\n', all.Select(line => "- " + line))}\n");
        }
    }

    private static double Median(IEnumerable<double> values) => values.Order().ToList() is { Count: > 0 } all ? all[all.Count / 2] : 0;
}
