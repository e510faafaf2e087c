namespace KvStore.Raft.Tests.Harness;

/// <summary>Ways to break the Ready contract: the negative controls of the safety checks.</summary>
internal enum OwnerBug
{
    None,

    /// <summary>Term and commit are written, the vote is not.</summary>
    ForgetsVote,

    /// <summary>MessagesAfterSync leave at once.</summary>
    AcknowledgesBeforeSync,

    /// <summary>Vote requests leave at once, the rest of MessagesAfterSync waits.</summary>
    AsksForVotesBeforeSync,

    /// <summary>The commit index that comes with an append is not written with it.</summary>
    ForgetsCommitOfAppend,
}
