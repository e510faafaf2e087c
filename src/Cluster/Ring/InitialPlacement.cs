using KvStore.Protocol;

namespace KvStore.Cluster;

/// <summary>
/// The table every node computes for itself at the first start (epoch 1). The ring walk proposes, a greedy pass evens out:
/// random tokens alone leave the fullest node with a fifth more than its share, the pass brings the spread to one replica.
/// Same members, same table.
/// </summary>
public static class InitialPlacement
{
    public const ulong FirstEpoch = 1;

    public static RoutingTable Plan(HashRing ring, int virtualNodes, int groups, int replicationFactor)
    {
        var perGroup = virtualNodes / groups;
        var slotsPerVirtualNode = Limits.SlotCount / virtualNodes;

        // Index 0 is the meta group, which the static table does not place.
        var placement = new List<RingMember>[groups];
        for (var group = 0; group < groups; group++)
        {
            placement[group] = [.. ring.Walk(group * perGroup * slotsPerVirtualNode, replicationFactor)];
        }

        while (MoveOneReplica(ring.Members, placement))
        {
        }

        while (MoveOnePreferredLeader(ring.Members, placement))
        {
        }

        // Replica ids come from a counter and are never used twice in the life of a cluster.
        ulong nextReplica = 1;
        IReadOnlyList<IReadOnlyList<ReplicaPlacement>> replicas =
            [[], .. placement.Select(members => members.Select(member => new ReplicaPlacement(nextReplica++, member.Node)).ToArray())];
        return new RoutingTable(FirstEpoch, [.. Enumerable.Range(0, virtualNodes).Select(v => new GroupId(1 + (uint)(v / perGroup)))], replicas);
    }

    // Every move lowers the sum of load²/weight, so the pass ends.
    private static bool MoveOneReplica(IReadOnlyList<RingMember> members, List<RingMember>[] placement)
    {
        int Load(RingMember member) => placement.Count(group => group.Contains(member));

        foreach (var (from, to) in FullestToEmptiest(members, Load))
        {
            foreach (var group in placement)
            {
                var place = group.IndexOf(from);
                if (place >= 0 && !group.Contains(to) && Zones(group, instead: from, to) >= Zones(group, from, from))
                {
                    group[place] = to;
                    return true;
                }
            }
        }

        return false;
    }

    // The first replica is the preferred leader: leaders are as much work as replicas and are evened out by themselves.
    private static bool MoveOnePreferredLeader(IReadOnlyList<RingMember> members, List<RingMember>[] placement)
    {
        int Load(RingMember member) => placement.Count(group => group[0] == member);

        foreach (var (from, to) in FullestToEmptiest(members, Load))
        {
            foreach (var group in placement)
            {
                var place = group.IndexOf(to);
                if (group[0] == from && place > 0)
                {
                    (group[0], group[place]) = (group[place], group[0]);
                    return true;
                }
            }
        }

        return false;
    }

    // Pairs between which moving one unit makes the loads, per weight, strictly more even; the best pairs first.
    private static IEnumerable<(RingMember From, RingMember To)> FullestToEmptiest(IReadOnlyList<RingMember> members, Func<RingMember, int> load)
    {
        var loads = members.Select(member => (Member: member, Load: load(member))).ToArray();
        return
            from a in loads
            from b in loads
            let gain = ((2L * a.Load) - 1) * b.Member.Weight - (((2L * b.Load) + 1) * a.Member.Weight)
            where a.Member != b.Member && gain > 0
            orderby gain descending, a.Member.Node, b.Member.Node
            select (a.Member, b.Member);
    }

    private static int Zones(List<RingMember> group, RingMember instead, RingMember of) =>
        group.Select(member => member == instead ? of.Zone : member.Zone).Distinct().Count();
}
