using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Replication;

namespace KvStore.Simulation;

/// <summary>Every configuration a group has committed, by the index of the entry that brought it into force.</summary>
public sealed class ConfigurationHistory(RoutingTable firstPlacement, CoverageMarks marks)
{
    private readonly Dictionary<GroupId, List<(ulong Index, ulong Term, ConfState Configuration)>> _groups = [];
    private readonly HashSet<(GroupId Group, ReplicaId Replica)> _givenUp = [];

    /// <summary>In force at a replica that has applied up to an index.</summary>
    public ConfState At(GroupId group, ulong index) => Of(group).FindLast(c => c.Index <= index).Configuration;

    public ConfState Newest(GroupId group) => Of(group)[^1].Configuration;

    /// <summary>The replica has been a member of a committed configuration, and is not one of the newest.</summary>
    public bool IsOut(GroupId group, ReplicaId replica) =>
        !Newest(group).IsMember(replica) && Of(group).Exists(c => c.Configuration.IsMember(replica));

    /// <summary>The replica's place is given to nobody any more: its node deletes it, and it must never count again.</summary>
    public void GiveUp(GroupId group, ReplicaId replica) => _givenUp.Add((group, replica));

    /// <summary>Called when the first replica applies an entry, before its core does.</summary>
    internal void OnCommitted(GroupId group, Entry entry, Replica by)
    {
        if (entry.Kind != EntryKind.ConfChange || !ConfChange.TryDecode(entry.Payload.Span, out ConfChange? change))
        {
            return;
        }

        List<(ulong Index, ulong Term, ConfState Configuration)> history = Of(group);
        (_, ulong term, ConfState before) = history[^1];
        if (!change!.TryApplyTo(before, out ConfState next, out _))
        {
            return;
        }

        foreach ((GroupId of, ReplicaId replica) in _givenUp)
        {
            if (of == group && next.IsMember(replica))
            {
                throw new SafetyViolationException(
                    "given-up-stays-out", $"group {group}: index {entry.Index} makes replica {replica} a member, whose place was given up");
            }
        }

        history.Add((entry.Index, entry.Term, next));
        marks.Hit(CoverageMarks.JointLeftByNewLeader, before.IsJoint && !next.IsJoint && entry.Term > term ? 1 : 0);
        marks.Hit(CoverageMarks.VoterReplaced, before.IsJoint && !next.IsJoint && Replaces(before.VotersOutgoing, next.Voters) ? 1 : 0);
        marks.Hit(CoverageMarks.LearnerPromoted, next.Voters.Intersect(before.Learners).Any() ? 1 : 0);
        marks.Hit(CoverageMarks.VoterDemoted, next.Learners.Concat(next.LearnersNext).Intersect(before.Voters).Any() ? 1 : 0);
        marks.Hit(CoverageMarks.LeaderRemovedItself, by.IsLeader && !next.IsMember(by.Id) ? 1 : 0);
    }

    private static bool Replaces(IReadOnlyList<ReplicaId> before, IReadOnlyList<ReplicaId> after) =>
        before.Except(after).Any() && after.Except(before).Any();

    private List<(ulong Index, ulong Term, ConfState Configuration)> Of(GroupId group)
    {
        if (!_groups.TryGetValue(group, out List<(ulong, ulong, ConfState)>? history))
        {
            ConfState first = ConfState.Of(firstPlacement.ReplicasOf(group).Select(p => new ReplicaId(p.ReplicaId)));
            _groups.Add(group, history = [(0, 0, first)]);
        }

        return history;
    }
}
