namespace KvStore.Raft.Quorum;

/// <summary>What a configuration says about a ballot.</summary>
internal enum VoteResult : byte
{
    /// <summary>Neither a majority of yes nor a majority of no: votes are missing.</summary>
    Pending,

    /// <summary>Yes can no longer reach a majority.</summary>
    Lost,

    Won,
}
