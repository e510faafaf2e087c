using KvStore.Protocol;

namespace KvStore.Cluster;

/// <summary>
/// The table every node computes for itself at the first start (epoch 1). The ring walk proposes, two greedy passes even out:
/// random tokens alone leave the fullest node with a fifth more than its share, the passes bring the spread to one replica and one
/// preferred leader wherever zones and weights allow it. Same members, same table.
/// </summary>
public static class InitialPlacement
{
    public const ulong FirstEpoch = 1;

    public static RoutingTable Plan(HashRing ring, int virtualNodes, int groups, int replicationFactor)
    {
        var members = ring.Members;
        var perGroup = virtualNodes / groups;
        var slotsPerVirtualNode = Limits.SlotCount / virtualNodes;

        // Per group the positions of its members in ring.Members, the preferred leader first. A group's own position on the
        // ring is the first slot of its first virtual node.
        var placement = new int[groups][];
        for (var group = 0; group < groups; group++)
        {
            var walk = ring.Walk(group * perGroup * slotsPerVirtualNode, replicationFactor);
            placement[group] = [.. walk.Select(member => IndexOf(members, member))];
        }

        EvenOutReplicas(members, placement);
        EvenOutPreferredLeaders(members, placement);

        // Replica ids come from a counter and are never used twice in the life of a cluster. Index 0 is the meta group, which the
        // static table does not place.
        ulong nextReplica = 1;
        IReadOnlyList<IReadOnlyList<ReplicaPlacement>> replicas =
            [[], .. placement.Select(group => group.Select(member => new ReplicaPlacement(nextReplica++, members[member].Node)).ToArray())];
        var groupOfVirtualNode = Enumerable.Range(0, virtualNodes).Select(v => new GroupId(1 + (uint)(v / perGroup))).ToArray();
        return new RoutingTable(FirstEpoch, groupOfVirtualNode, replicas);
    }

    private static void EvenOutReplicas(IReadOnlyList<RingMember> members, int[][] placement)
    {
        var load = new int[members.Count];
        foreach (var member in placement.SelectMany(group => group))
        {
            load[member]++;
        }

        // Every move lowers the sum of load²/weight, so this ends.
        while (MoveOneReplica(members, placement, load))
        {
        }
    }

    private static bool MoveOneReplica(IReadOnlyList<RingMember> members, int[][] placement, int[] load)
    {
        foreach (var (from, to) in FullestToEmptiest(members, load))
        {
            foreach (var group in placement)
            {
                var place = Array.IndexOf(group, from);
                if (place >= 0 && !group.Contains(to) && KeepsZones(members, group, place, to))
                {
                    group[place] = to;
                    load[from]--;
                    load[to]++;
                    return true;
                }
            }
        }

        return false;
    }

    // The first replica is the preferred leader: leading is work of its own and is evened out by itself.
    private static void EvenOutPreferredLeaders(IReadOnlyList<RingMember> members, int[][] placement)
    {
        var load = new int[members.Count];
        foreach (var group in placement)
        {
            load[group[0]]++;
        }

        while (MoveOnePreferredLeader(members, placement, load))
        {
        }
    }

    private static bool MoveOnePreferredLeader(IReadOnlyList<RingMember> members, int[][] placement, int[] load)
    {
        foreach (var (from, to) in FullestToEmptiest(members, load))
        {
            var chain = ChainOfGroups(placement, from, to, members.Count);
            foreach (var (group, place) in chain)
            {
                (group[0], group[place]) = (group[place], group[0]);
            }

            if (chain.Count > 0)
            {
                load[from]--;
                load[to]++;
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// The shortest way to take one group's lead from a member and give one to another: often no group has both, but a first hands
    /// its lead to a third, which hands one of its own on. Each step names a group and the place of its next leader. Empty: no way.
    /// </summary>
    private static List<(int[] Group, int Place)> ChainOfGroups(int[][] placement, int from, int to, int members)
    {
        var reachedBy = new (int[] Group, int Place)?[members];
        var queue = new Queue<int>([from]);
        while (queue.TryDequeue(out var leader) && reachedBy[to] is null)
        {
            foreach (var group in placement)
            {
                for (var place = 1; place < group.Length && group[0] == leader; place++)
                {
                    if (group[place] != from && reachedBy[group[place]] is null)
                    {
                        reachedBy[group[place]] = (group, place);
                        queue.Enqueue(group[place]);
                    }
                }
            }
        }

        var chain = new List<(int[] Group, int Place)>();
        for (var member = to; reachedBy[member] is { } step; member = step.Group[0])
        {
            chain.Add(step);
        }

        return chain;
    }

    // Pairs between which moving one unit makes the loads, per weight, strictly more even; the best pairs first.
    private static IEnumerable<(int From, int To)> FullestToEmptiest(IReadOnlyList<RingMember> members, int[] load) =>
        from a in Enumerable.Range(0, members.Count)
        from b in Enumerable.Range(0, members.Count)
        let gain = (((2L * load[a]) - 1) * members[b].Weight) - (((2L * load[b]) + 1) * members[a].Weight)
        where a != b && gain > 0
        orderby gain descending, a, b
        select (a, b);

    // Another member in this place must not leave the group with fewer zones.
    private static bool KeepsZones(IReadOnlyList<RingMember> members, int[] group, int place, int to)
    {
        bool InAnotherPlace(string zone) => group.Where((_, i) => i != place).Any(member => members[member].Zone == zone);

        return InAnotherPlace(members[group[place]].Zone) || !InAnotherPlace(members[to].Zone);
    }

    private static int IndexOf(IReadOnlyList<RingMember> members, RingMember member) => members.TakeWhile(m => m != member).Count();
}
