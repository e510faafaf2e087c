namespace KvStore.Raft.Quorum;

/// <summary>A set of voters that decides by majority. The one piece of arithmetic behind commits, elections and read rounds.</summary>
internal sealed class MajorityConfig
{
    private const int StackLimit = 16;

    // Invariant: sorted, without duplicates.
    private readonly ReplicaId[] _voters;

    public MajorityConfig(IEnumerable<ReplicaId> voters) => _voters = [.. voters.Order().Distinct()];

    public IReadOnlyList<ReplicaId> Voters => _voters;

    public bool Contains(ReplicaId id) => Array.BinarySearch(_voters, id) >= 0;

    /// <summary>
    /// The largest value a majority has reached. The same question is asked with match indices (which entry is committed?)
    /// and with answered rounds (which round is confirmed?). No voters: everything is reached, so that the empty half of a
    /// configuration that is not joint never holds the other half back.
    /// </summary>
    public ulong CommittedIndex(Func<ReplicaId, ulong> reached)
    {
        int count = _voters.Length;
        if (count == 0)
        {
            return ulong.MaxValue;
        }

        Span<ulong> values = count <= StackLimit ? stackalloc ulong[count] : new ulong[count];
        for (int i = 0; i < count; i++)
        {
            values[i] = reached(_voters[i]);
        }

        values.Sort();

        // Ascending: the value at this position has a majority at or above it.
        return values[count - Majority(count)];
    }

    /// <summary>The smallest value of any voter. No voters: everything is reached.</summary>
    public ulong Lowest(Func<ReplicaId, ulong> reached)
    {
        ulong lowest = ulong.MaxValue;
        foreach (ReplicaId voter in _voters)
        {
            lowest = Math.Min(lowest, reached(voter));
        }

        return lowest;
    }

    /// <summary>Counts a ballot; null is a voter that has not answered. No voters: won, for the same reason as above.</summary>
    public VoteResult CountVotes(Func<ReplicaId, bool?> vote)
    {
        int count = _voters.Length;
        int granted = 0;
        int missing = 0;
        foreach (ReplicaId voter in _voters)
        {
            switch (vote(voter))
            {
                case true:
                    granted++;
                    break;
                case null:
                    missing++;
                    break;
                default:
                    break;
            }
        }

        int needed = count == 0 ? 0 : Majority(count);
        if (granted >= needed)
        {
            return VoteResult.Won;
        }

        return granted + missing >= needed ? VoteResult.Pending : VoteResult.Lost;
    }

    private static int Majority(int count) => count / 2 + 1;
}
