namespace KvStore.LoadTests.Chaos;

internal enum Fault
{
    /// <summary>kill -9, then a restart.</summary>
    Kill,

    /// <summary>SIGSTOP, then SIGCONT: it comes back with everything it had in mind.</summary>
    Pause,

    /// <summary>Nothing gets from or to the other nodes; clients still reach it.</summary>
    Partition,

    /// <summary>Not a block is left on its disk.</summary>
    DiskFull,

    /// <summary>Its disk finishes nothing.</summary>
    DiskFreeze,

    /// <summary>Its wall clock is somewhere else.</summary>
    Clock,

    /// <summary>Its memory, and that of all others, is filled until it refuses.</summary>
    Memory,
}

/// <summary>What is done to the cluster, over and over, and what it promises meanwhile.</summary>
/// <param name="Name">On the command line.</param>
/// <param name="Summary">One line.</param>
/// <param name="Fault">What a struck node suffers.</param>
/// <param name="StrikesAll">All nodes at once, or one.</param>
/// <param name="OutageLimit">Until a write is acknowledged in every group; null when it depends on the restart.</param>
internal sealed record ChaosScenario(string Name, string Summary, Fault Fault, bool StrikesAll, TimeSpan? OutageLimit)
{
    public static readonly IReadOnlyList<ChaosScenario> All =
    [
        new("kill-one", "kill -9 of one node at a time; every group takes a write again within 3 s", Fault.Kill, false, TimeSpan.FromSeconds(3)),
        new("kill-all", "kill -9 of all nodes at once", Fault.Kill, true, null),

        // Nobody's connection breaks, so the followers learn of it by the election timeout alone: 1 to 2 s, and again when votes are split.
        new("pause", "SIGSTOP and SIGCONT of one node at a time, mostly one that leads; every group takes a write again within 5 s",
            Fault.Pause, false, TimeSpan.FromSeconds(5)),
        new("partition", "one node at a time cut off from the others, mostly one that leads; every group takes a write again within 5 s",
            Fault.Partition, false, TimeSpan.FromSeconds(5)),
        new("disk-full", "the disk of one node filled to the last byte; no node ends, what grows is refused and not applied, and every group takes a write "
            + "again 3 s after there is room",
            Fault.DiskFull, false, TimeSpan.FromSeconds(3)),
        new("disk-freeze", "the disk of one node frozen for 12 s, mostly one that leads; every group takes a write again within 5 s, the node is not ready, "
            + "and leadership moves twice per group and fault at most",
            Fault.DiskFreeze, false, TimeSpan.FromSeconds(5)),
        new("clock", "the wall clock of one node moved by minutes, hours or a year for 6 s, mostly of one that leads; every group takes a write within 5 s, "
            + "and the node leads nothing then",
            Fault.Clock, false, TimeSpan.FromSeconds(5)),
        new("memory", "each node in a control group of 256 MiB; filled until they refuse and emptied by deletes, over and over; no process is killed for want "
            + "of memory, deletes and reads are answered, what is refused is not applied, every group takes a write again 5 s after the last delete, and the "
            + "memory that is resident is within 10 % of what it was after the second round",
            Fault.Memory, true, TimeSpan.FromSeconds(5)),
    ];
}
