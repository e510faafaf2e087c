using KvStore.Protocol;

namespace KvStore.Simulation;

/// <summary>
/// A cluster in the middle of an upgrade: in every second seed one or two nodes know one feature level less than the others, and in half
/// of those runs they are started again as the newer build while everything goes on. Drawn apart from the rest of the seed.
/// </summary>
internal sealed class CappedNodes
{
    private readonly SimulatedCluster _cluster;
    private readonly SimulatedNode[] _nodes;
    private readonly long _liftAfterMicros;

    public CappedNodes(SimulatedCluster cluster, ulong seed)
    {
        _cluster = cluster;
        var random = new SimulatedRandom(seed ^ Salt);
        int first = random.Below(cluster.Nodes.Count);
        int count = seed % 4 >= 2 ? 1 + random.Below(2) : 0;
        _nodes = [.. Enumerable.Range(first, count).Select(n => cluster.Nodes[n % cluster.Nodes.Count])];
        _liftAfterMicros = random.Chance(0.5) ? random.Between(5_000_000, 40_000_000) : 0;
        foreach (SimulatedNode node in _nodes)
        {
            node.MaxLevel = FeatureLevel.Max - 1;
        }
    }

    public void Start(Nemesis nemesis)
    {
        if (_nodes.Length == 0 || _liftAfterMicros == 0)
        {
            return;
        }

        _cluster.Scheduler.After(_liftAfterMicros, "cap-lifted", 0, () =>
        {
            foreach (SimulatedNode node in _nodes)
            {
                _cluster.Tell($"n{node.Id} is upgraded");
                _cluster.Marks.Hit(CoverageMarks.CapLifted);
                node.MaxLevel = FeatureLevel.Max;
                nemesis.Restart(node);
            }
        });
    }

    private const ulong Salt = 0x1E7E_1CA9;
}
