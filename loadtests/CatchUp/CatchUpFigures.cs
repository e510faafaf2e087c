using KvStore.LoadTests.Chaos;

namespace KvStore.LoadTests.CatchUp;

/// <summary>One group of the node that was away.</summary>
internal sealed record GroupCatchUp
{
    public required int Group { get; init; }

    /// <summary>What the node had applied when it was stopped.</summary>
    public required ulong StoppedAt { get; init; }

    /// <summary>Where the leader's log began when the writes were done.</summary>
    public required ulong LogStartsAt { get; init; }

    /// <summary>What the leader had applied by then; the node has to reach it.</summary>
    public required ulong Target { get; init; }

    /// <summary>What the node has reached.</summary>
    public required ulong Applied { get; init; }

    public required long SnapshotsInstalled { get; init; }

    /// <summary>Per node, all at one applied index; null when no such index was found in time.</summary>
    public required IReadOnlyList<StateHash>? Hashes { get; init; }
}

/// <summary>A run in figures, and what follows from them.</summary>
internal sealed record CatchUpFigures
{
    /// <summary>Below this nobody can speak of several compactions.</summary>
    public const double LeastSnapshotsPerGroup = 2;

    public required string Node { get; init; }
    public required int Writes { get; init; }
    public required TimeSpan Writing { get; init; }

    /// <summary>Snapshots a node that stayed took of a group meanwhile, on average.</summary>
    public required double SnapshotsPerGroup { get; init; }

    /// <summary>From the start of the restart.</summary>
    public required TimeSpan ToReady { get; init; }

    /// <summary>From the start of the restart; null when it never was.</summary>
    public required TimeSpan? ToCaughtUp { get; init; }
    public required long SnapshotBytes { get; init; }
    public required IReadOnlyList<GroupCatchUp> Groups { get; init; }

    /// <summary>What makes this run a failure. Empty when nothing does.</summary>
    public IEnumerable<string> Failures()
    {
        foreach (var group in Groups)
        {
            if (group.Applied < group.Target)
            {
                yield return $"group {group.Group}: {Node} has applied {group.Applied} of the {group.Target} the leader had";
            }
            else if (group.Hashes is null)
            {
                yield return $"group {group.Group}: the replicas did not come to rest at one index";
            }
            else if (group.Hashes.Distinct().Count() > 1)
            {
                yield return $"group {group.Group}: the replicas differ at index {group.Hashes[0].Applied}: "
                    + string.Join(", ", group.Hashes.Select(hash => hash.Hash));
            }
        }
    }

    /// <summary>What makes this run too small to pass. Empty when nothing does.</summary>
    public IEnumerable<string> Voids()
    {
        if (SnapshotsPerGroup < LeastSnapshotsPerGroup)
        {
            yield return $"{SnapshotsPerGroup:0.0} snapshots per group without {Node}; at least {LeastSnapshotsPerGroup:0} are needed";
        }

        int byLog = Groups.Count(group => group.SnapshotsInstalled == 0);
        if (byLog > 0)
        {
            yield return $"{byLog} of {Groups.Count} groups of {Node} needed no snapshot: write more, or larger values";
        }
    }

    /// <summary>A broken promise is one however small the run was.</summary>
    public Verdict Verdict => Failures().Any() ? Verdict.Fail : Voids().Any() ? Verdict.Void : Verdict.Pass;
}
