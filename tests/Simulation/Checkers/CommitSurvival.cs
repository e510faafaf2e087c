using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Replication;

namespace KvStore.Simulation;

/// <summary>
/// A committed entry survives the loss of power everywhere at once: by what is durable now, no replica without it could be
/// elected. This sees a commit that came too early when it is made, not when the rare crash that undoes it follows.
/// </summary>
public sealed class CommitSurvival(RoutingTable routing, IReadOnlyList<SimulatedNode> nodes)
{
    private readonly List<Replica> _replicas = [];

    /// <summary>Called when the first replica applies an entry.</summary>
    public void OnCommitted(GroupId group, Entry entry)
    {
        _replicas.Clear();
        foreach (ReplicaPlacement place in routing.ReplicasOf(group))
        {
            _replicas.Add(nodes[(int)place.Node.Value - 1].LastStore!.LocalReplica(group)!);
        }

        foreach (Replica candidate in _replicas.Where(r => !Has(r, entry)))
        {
            int votes = _replicas.Count(voter => IsUpToDate(candidate, voter));
            if (votes > _replicas.Count / 2)
            {
                throw new SafetyViolationException(
                    "commit-survives",
                    $"group {group} entry {entry.Index} of term {entry.Term} is committed, "
                    + $"but replica {candidate.Id} could be elected without it");
            }
        }
    }

    private static bool Has(Replica replica, Entry entry) =>
        entry.Index <= replica.SnapshotIndex
        || (entry.Index <= replica.DurableLastIndex && replica.DurableTermAt(entry.Index) == entry.Term);

    /// <summary>Paper 5.4.1: whether the voter would grant its vote.</summary>
    private static bool IsUpToDate(Replica candidate, Replica voter)
    {
        (ulong theirs, ulong own) = (candidate.DurableTermAt(candidate.DurableLastIndex), voter.DurableTermAt(voter.DurableLastIndex));
        return theirs > own || (theirs == own && candidate.DurableLastIndex >= voter.DurableLastIndex);
    }
}
