namespace KvStore.Raft;

/// <summary>A member and the number of the node it lives on.</summary>
public readonly record struct ReplicaNode(ReplicaId Id, uint Node);

/// <summary>
/// A group's configuration. <see cref="VotersOutgoing"/> is empty unless the configuration is joint; then a decision needs
/// a majority of both halves. All lists are sorted and without duplicates.
/// </summary>
public sealed record ConfState(
    IReadOnlyList<ReplicaId> Voters,
    IReadOnlyList<ReplicaId> VotersOutgoing,
    IReadOnlyList<ReplicaId> Learners,
    IReadOnlyList<ReplicaId> LearnersNext,
    bool AutoLeave)
{
    public static ConfState Of(params IEnumerable<ReplicaId> voters) => new([.. voters.Order()], [], [], [], false);

    /// <summary>Highest table epoch that a change followed; 0 when none did. It never falls.</summary>
    public ulong Epoch { get; init; }

    /// <summary>Members whose node the entry that added them has said, in id order. Founders are not among them.</summary>
    public IReadOnlyList<ReplicaNode> Nodes { get; init; } = [];

    public bool IsJoint => VotersOutgoing.Count > 0;

    /// <summary>There is something to store that the first versions of the formats have no place for.</summary>
    public bool HasEpochOrNodes => Epoch != 0 || Nodes.Count > 0;

    /// <summary>Voters of both halves, learners, and those that become some; one may be there twice.</summary>
    public IEnumerable<ReplicaId> Members => Voters.Concat(VotersOutgoing).Concat(Learners).Concat(LearnersNext);

    public bool IsMember(ReplicaId id) =>
        Voters.Contains(id) || VotersOutgoing.Contains(id) || Learners.Contains(id) || LearnersNext.Contains(id);

    /// <summary>0 when no entry has said it.</summary>
    public uint NodeOf(ReplicaId id)
    {
        foreach (ReplicaNode node in Nodes)
        {
            if (node.Id == id)
            {
                return node.Node;
            }
        }

        return 0;
    }

    public bool Equals(ConfState? other) =>
        other is not null && AutoLeave == other.AutoLeave && Voters.SequenceEqual(other.Voters)
        && VotersOutgoing.SequenceEqual(other.VotersOutgoing) && Learners.SequenceEqual(other.Learners)
        && LearnersNext.SequenceEqual(other.LearnersNext) && Epoch == other.Epoch && Nodes.SequenceEqual(other.Nodes);

    public override int GetHashCode() => Voters.Count * 31 + Learners.Count;
}
