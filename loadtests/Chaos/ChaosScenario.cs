namespace KvStore.LoadTests.Chaos;

/// <summary>What is done to the cluster, over and over, and what it promises meanwhile.</summary>
/// <param name="Name">On the command line.</param>
/// <param name="Summary">One line.</param>
/// <param name="KillsAll">All nodes at once, or one that is drawn.</param>
/// <param name="OutageLimit">Until a write is acknowledged in every group; null when it depends on the restart.</param>
internal sealed record ChaosScenario(string Name, string Summary, bool KillsAll, TimeSpan? OutageLimit)
{
    public static readonly IReadOnlyList<ChaosScenario> All =
    [
        new("kill-one", "kill -9 of one node at a time; every group takes a write again within 3 s", false, TimeSpan.FromSeconds(3)),
        new("kill-all", "kill -9 of all nodes at once", true, null),
    ];
}
