namespace KvStore.Raft;

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

    public bool IsJoint => VotersOutgoing.Count > 0;

    public bool Equals(ConfState? other) =>
        other is not null && AutoLeave == other.AutoLeave && Voters.SequenceEqual(other.Voters)
        && VotersOutgoing.SequenceEqual(other.VotersOutgoing) && Learners.SequenceEqual(other.Learners)
        && LearnersNext.SequenceEqual(other.LearnersNext);

    public override int GetHashCode() => Voters.Count * 31 + Learners.Count;
}
