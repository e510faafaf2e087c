using KvStore.Protocol;

namespace KvStore.Client.Routing;

/// <summary>Which node is asked next.</summary>
internal sealed class ReplicaChoice(KvClientOptions options)
{
    /// <summary>
    /// What differs by less is noise, or the short wait of a follower for what its session has just written: following it would send every read
    /// to the leader, and leave replicas idle that are as good.
    /// </summary>
    private const double ClearlyBetter = 4;

    private int _turn;

    /// <param name="state">What is known.</param>
    /// <param name="group">Of the key.</param>
    /// <param name="leader">To be asked if it can be; None where any replica will do.</param>
    /// <param name="avoid">Asked last, in vain; asked again only if there is nobody else.</param>
    /// <returns>Null when no node can be asked now.</returns>
    public NodeLink? Pick(ClusterState state, GroupId group, NodeId leader, NodeLink? avoid)
    {
        if (!leader.IsNone && state.LinkTo(leader) is { IsUsable: true, IsTrusted: true } leading && leading != avoid)
        {
            return leading;
        }

        NodeLink[] replicas = state.LinksOf(group);
        return Among(replicas, avoid, trustedOnly: true)
            ?? Among(state.Links, avoid, trustedOnly: true)
            ?? Among(state.Links, avoid, trustedOnly: false)
            ?? (avoid is { IsUsable: true } ? avoid : null);
    }

    private NodeLink? Among(NodeLink[] links, NodeLink? avoid, bool trustedOnly)
    {
        Span<int> well = stackalloc int[64];
        int count = 0;
        bool zoned = false;
        for (int i = 0; i < links.Length && count < well.Length; i++)
        {
            NodeLink link = links[i];
            if (link == avoid || !link.IsUsable || (trustedOnly && !link.IsTrusted))
            {
                continue;
            }

            bool near = options.Zone is not null && link.Node.Zone == options.Zone;
            if (near && !zoned)
            {
                (zoned, count) = (true, 0);
            }

            if (near || !zoned)
            {
                well[count++] = i;
            }
        }

        return count switch
        {
            0 => null,
            1 => links[well[0]],
            _ => options.Balancing switch
            {
                KvBalancing.RoundRobin => links[well[(int)((uint)Interlocked.Increment(ref _turn) % (uint)count)]],
                KvBalancing.WeightedRoundRobin => Weighted(links, well[..count]),
                _ => LessLoadedOfTwo(links, well[..count]),
            },
        };
    }

    // Two drawn at random: as good as looking at all of them, and nobody runs after the one that was best a moment ago.
    private static NodeLink LessLoadedOfTwo(NodeLink[] links, ReadOnlySpan<int> well)
    {
        int first = Random.Shared.Next(well.Length);
        int second = Random.Shared.Next(well.Length - 1);
        second += second >= first ? 1 : 0;
        NodeLink one = links[well[first]];
        NodeLink other = links[well[second]];
        return other.Cost * ClearlyBetter < one.Cost ? other : one;
    }

    private NodeLink Weighted(NodeLink[] links, ReadOnlySpan<int> well)
    {
        int sum = 0;
        foreach (int index in well)
        {
            sum += WeightOf(links[index]);
        }

        int turn = (int)((uint)Interlocked.Increment(ref _turn) % (uint)Math.Max(sum, 1));
        foreach (int index in well)
        {
            turn -= WeightOf(links[index]);
            if (turn < 0)
            {
                return links[index];
            }
        }

        return links[well[0]];
    }

    private int WeightOf(NodeLink link) => options.Weights.TryGetValue(link.Node.Name, out int weight) ? Math.Max(weight, 0) : 1;
}
