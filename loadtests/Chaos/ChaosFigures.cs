using KvStore.LoadTests.Load;

namespace KvStore.LoadTests.Chaos;

internal enum Verdict
{
    Pass,
    Fail,

    /// <summary>Too little happened for a verdict.</summary>
    Void,
}

/// <summary>A run in figures, and what follows from them.</summary>
internal sealed record ChaosFigures
{
    /// <summary>Below this there was too little traffic to find anything.</summary>
    public const double LeastAnswersPerSecond = 500;

    /// <summary>Of each level, over the whole run.</summary>
    public const int LeastReadsPerLevel = 100;

    /// <summary>Away from a node that is not well, and back.</summary>
    private const int MovesPerGroup = 2;

    /// <summary>After this round of the memory scenario everything is compiled and every pool has its size.</summary>
    private const int SettledRound = 2;

    /// <summary>A share of the memory of <see cref="SettledRound"/>.</summary>
    private const double MostResidentGrowth = 1.10;

    private static readonly string[] Levels = [.. ReadLevels.All.Select(ReadLevels.NameOf)];

    public required CheckResult History { get; init; }
    public required IReadOnlyList<FaultRound> Rounds { get; init; }
    public required int RoundsAsked { get; init; }
    public required int Groups { get; init; }

    /// <summary>Of writers and readers, before the first fault.</summary>
    public required double AnswersPerSecondBefore { get; init; }

    /// <summary>For each group and fault the longest time until a write is acknowledged; null when the scenario promises none.</summary>
    public required TimeSpan? OutageLimit { get; init; }

    public Fault Fault { get; init; }

    /// <summary>Requests that were refused because a disk is full: certainly not applied, and others.</summary>
    public (int NotApplied, int Other) RefusedForRoom { get; init; }

    /// <summary>Of the memory scenario, one for each round that has ended.</summary>
    public IReadOnlyList<MemoryRound> Memory { get; init; } = [];

    /// <summary>Processes that were killed for want of memory.</summary>
    public long OutOfMemoryKills { get; init; }

    /// <summary>Resident memory after the last round, as a share of that after the second.</summary>
    public double? ResidentGrowth => Memory.Count > SettledRound && Memory[^1].ResidentBytes is { } last && Memory[SettledRound - 1].ResidentBytes is { } settled
        ? (double)last / settled
        : null;

    /// <summary>What ended the run early, in a sentence; null when nothing did.</summary>
    public required string? Breakdown { get; init; }

    /// <summary>What makes this run a failure. Empty when nothing does.</summary>
    public IEnumerable<string> Failures()
    {
        if (Breakdown is not null)
        {
            yield return Breakdown;
        }

        if (History.Violations.Count > 0)
        {
            yield return $"{History.Violations.Count} violations in the history";
        }

        if (Fault == Fault.DiskFreeze && History.LeaderChanges > MovesPerGroup * Groups * Rounds.Count)
        {
            yield return $"{History.LeaderChanges} leader changes in {Groups} groups and {Rounds.Count} faults; at most {MovesPerGroup} each are allowed";
        }

        if (OutOfMemoryKills > 0)
        {
            yield return $"{OutOfMemoryKills} processes were killed for want of memory";
        }

        if (Memory.Sum(round => round.RefusedUnsure) is > 0 and var unsure)
        {
            yield return $"{unsure} writes were refused for want of memory and not said to be certainly not applied";
        }

        if (ResidentGrowth > MostResidentGrowth)
        {
            yield return $"after the last round {ResidentGrowth:P0} of the memory is resident that was after round {SettledRound}; {MostResidentGrowth:P0} are allowed";
        }

        foreach (var round in Rounds)
        {
            foreach (string broken in round.Broken)
            {
                yield return $"fault {round.Number}: {broken}";
            }

            string fault = $"fault {round.Number} ({string.Join(", ", round.Nodes)})";
            for (int group = 0; group < Groups; group++)
            {
                if (round.OutageOf(group) is not { } outage)
                {
                    yield return $"{fault}: group {group + 1} took no write any more";
                }
                else if (outage > OutageLimit)
                {
                    yield return $"{fault}: group {group + 1} took no write for {outage.TotalSeconds:0.00} s";
                }
            }
        }
    }

    /// <summary>What makes this run too small to pass. Empty when nothing does.</summary>
    public IEnumerable<string> Voids()
    {
        if (AnswersPerSecondBefore < LeastAnswersPerSecond)
        {
            yield return $"{AnswersPerSecondBefore:N0} answers/s before the first fault; at least {LeastAnswersPerSecond:N0} are needed";
        }

        if (Rounds.Count < RoundsAsked)
        {
            yield return $"{Rounds.Count} faults of {RoundsAsked}";
        }

        if (Fault == Fault.DiskFull && RefusedForRoom.NotApplied == 0)
        {
            yield return "nothing was refused for want of room";
        }

        if (Fault == Fault.Memory && ResidentGrowth is null)
        {
            yield return $"{Memory.Count} rounds say nothing of growing memory; at least {SettledRound + 1} are needed";
        }

        // Full memory moves nobody's leadership.
        if (Fault != Fault.Memory && History.LeaderChanges == 0)
        {
            yield return "no group changed its leader";
        }

        foreach (string level in Levels.Where(level => History.ReadsByLevel.GetValueOrDefault(level) < LeastReadsPerLevel))
        {
            yield return $"{History.ReadsByLevel.GetValueOrDefault(level)} reads at level {level}; at least {LeastReadsPerLevel} are needed";
        }
    }

    /// <summary>A broken promise is one however small the run was.</summary>
    public Verdict Verdict => Failures().Any() ? Verdict.Fail : Voids().Any() ? Verdict.Void : Verdict.Pass;
}
