namespace KvStore.Simulation;

/// <summary>
/// Which faults a run has and how often, drawn from its seed: some runs have only one kind, some have all (swarm testing:
/// leaving faults out reaches states that having them all never does). Rates are per simulated second over the whole cluster.
/// </summary>
public sealed record FaultPlan
{
    public double Kills { get; init; }
    public double PowerCuts { get; init; }
    public double Pauses { get; init; }
    public double Partitions { get; init; }
    public double OneWayCuts { get; init; }
    public double Clogs { get; init; }
    public double SlowDisks { get; init; }
    public double FailingSyncs { get; init; }
    public double FullDisks { get; init; }

    /// <summary>The newest segment of a stopped node is damaged: a bit, a block, its end, all of it.</summary>
    public double DamagedLogs { get; init; }

    /// <summary>Not a rate but the chance that a leader is struck at the moment of its election: cut off, killed or both.</summary>
    public double StruckLeaders { get; init; }

    /// <summary>One machine's wall clock jumps by up to two hours or a year, and some time later back.</summary>
    public double ClockJumps { get; init; }

    /// <summary>The whole cluster loses power at once.</summary>
    public double Blackouts { get; init; }

    /// <summary>A replica of some group moves, leaves and comes back, or is demoted.</summary>
    public double MovedReplicas { get; init; }

    /// <summary>Every move removes two voters in a row, and brings them back later.</summary>
    public bool OnlyTwoRemovals { get; init; }

    /// <summary>A disk finishes nothing for up to 15 seconds.</summary>
    public double HangingDisks { get; init; }

    /// <summary>A disk is full but for some KiB for up to 20 seconds.</summary>
    public double FullDisksForLong { get; init; }

    /// <summary>Most wall clocks are off by the same, up to five minutes, and some time later right again.</summary>
    public double WrongMajorities { get; init; }

    /// <summary>A group loses most of its voters' nodes for up to 12 seconds, while requests for it go on.</summary>
    public double LostMajorities { get; init; }

    /// <summary>The disk of a node is put back as it was some starts ago, and some seconds later what was there before.</summary>
    public double OldCopies { get; init; }

    /// <summary>
    /// The same with old copies of disks, from a generator of their own. Not where replicas move: a copy from when a group had one voter leads it
    /// without asking anybody.
    /// </summary>
    public FaultPlan WithOldCopies(SimulatedRandom random) =>
        this with { OldCopies = MovedReplicas <= 0 && random.Chance(0.5) ? 0.02 * (1 + random.Below(10)) : 0 };

    /// <summary>The same with kinds of faults that last, from a generator of their own: what has none of them is what it was without.</summary>
    public FaultPlan WithLasting(SimulatedRandom random)
    {
        double Rate(double most) => random.Chance(0.25) ? most * (1 + random.Below(10)) / 10 : 0;
        return this with
        {
            HangingDisks = Rate(0.15),
            FullDisksForLong = Rate(0.1),
            WrongMajorities = Rate(0.1),
            LostMajorities = Rate(0.15),
        };
    }

    public static FaultPlan Draw(SimulatedRandom random)
    {
        double Rate(double most) => random.Chance(0.5) ? most * (1 + random.Below(10)) / 10 : 0;
        return new FaultPlan
        {
            Kills = Rate(0.6),
            PowerCuts = Rate(0.6),
            Pauses = Rate(0.5),
            Partitions = Rate(0.5),
            OneWayCuts = Rate(0.5),
            Clogs = Rate(0.5),
            SlowDisks = Rate(0.3),
            FailingSyncs = Rate(0.2),
            FullDisks = Rate(0.1),
            DamagedLogs = Rate(0.2),
            StruckLeaders = Rate(0.6),
            ClockJumps = Rate(0.1),
            Blackouts = Rate(0.1),
            MovedReplicas = Rate(0.5),
        };
    }
}
