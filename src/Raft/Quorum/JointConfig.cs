namespace KvStore.Raft.Quorum;

/// <summary>
/// The voters of a configuration that may be between two sets (paper 6): every decision needs a majority of both halves.
/// Outside a change the outgoing half is empty and agrees with everything.
/// </summary>
internal sealed class JointConfig(MajorityConfig incoming, MajorityConfig outgoing)
{
    public MajorityConfig Incoming { get; } = incoming;

    public MajorityConfig Outgoing { get; } = outgoing;

    public bool Contains(ReplicaId id) => Incoming.Contains(id) || Outgoing.Contains(id);

    /// <summary>Everybody who votes, once, in id order.</summary>
    public IEnumerable<ReplicaId> Voters() => Incoming.Voters.Union(Outgoing.Voters).Order();

    public ulong CommittedIndex(Func<ReplicaId, ulong> reached) =>
        Math.Min(Incoming.CommittedIndex(reached), Outgoing.CommittedIndex(reached));

    /// <summary>The smallest value of any voter; 0 without voters.</summary>
    public ulong Lowest(Func<ReplicaId, ulong> reached)
    {
        ulong lowest = Math.Min(Incoming.Lowest(reached), Outgoing.Lowest(reached));
        return lowest == ulong.MaxValue ? 0 : lowest;
    }

    public VoteResult CountVotes(Func<ReplicaId, bool?> vote)
    {
        VoteResult first = Incoming.CountVotes(vote);
        VoteResult second = Outgoing.CountVotes(vote);
        if (first == second)
        {
            return first;
        }

        // One lost half loses the election, whatever the other half says later.
        return first == VoteResult.Lost || second == VoteResult.Lost ? VoteResult.Lost : VoteResult.Pending;
    }
}
