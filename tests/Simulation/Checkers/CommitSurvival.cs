using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Replication;

namespace KvStore.Simulation;

/// <summary>
/// A committed entry survives the loss of power everywhere at once: by what is durable now, no replica without it could be
/// elected. This sees a commit that came too early when it is made, not when the rare crash that undoes it follows.
/// Whom a candidate asks for votes is its own affair: the configuration it comes back with is that of its durable commit
/// index, and may be an old one.
/// </summary>
public sealed class CommitSurvival(ConfigurationHistory configurations, IReadOnlyList<SimulatedNode> nodes)
{
    private readonly Dictionary<ReplicaId, Replica> _replicas = [];

    /// <summary>Called when the first replica applies an entry.</summary>
    public void OnCommitted(GroupId group, Entry entry)
    {
        _replicas.Clear();
        foreach (SimulatedNode node in nodes)
        {
            if (node.LastStore?.LocalReplica(group) is { } replica)
            {
                _replicas.Add(replica.Id, replica);
            }
        }

        foreach (Replica candidate in _replicas.Values.Where(r => !Has(r, entry)))
        {
            // Before its first snapshot a new replica is member of nothing.
            if (candidate.SnapshotIndex == 0)
            {
                continue;
            }

            ConfState own = configurations.At(group, Math.Max(candidate.DurableHardState.Commit, candidate.SnapshotIndex));
            if ((own.Voters.Contains(candidate.Id) || own.VotersOutgoing.Contains(candidate.Id))
                && Wins(candidate, own.Voters) && (!own.IsJoint || Wins(candidate, own.VotersOutgoing)))
            {
                throw new SafetyViolationException(
                    "commit-survives",
                    $"group {group} entry {entry.Index} of term {entry.Term} is committed, but replica {candidate.Id} could be elected without it "
                    + $"by a majority of {string.Join(", ", own.Voters)}{(own.IsJoint ? $" and of {string.Join(", ", own.VotersOutgoing)}" : "")}");
            }
        }
    }

    private bool Wins(Replica candidate, IReadOnlyList<ReplicaId> voters) =>
        voters.Count(voter => _replicas.TryGetValue(voter, out Replica? replica) && IsUpToDate(candidate, replica)) > voters.Count / 2;

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
