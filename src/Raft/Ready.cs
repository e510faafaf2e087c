namespace KvStore.Raft;

/// <summary>A read whose proof is complete: it may be served once the state machine has applied Index.</summary>
/// <param name="Context">The number given to <see cref="RaftNode.ReadIndex"/>.</param>
/// <param name="Index">Commit index that covers every write acknowledged before the read was asked.</param>
public readonly record struct ReadState(ulong Context, ulong Index);

/// <summary>
/// What the owner must do now. The types carry the one ordering that must never be broken: durable before told.
/// </summary>
public sealed class Ready
{
    /// <summary>
    /// Term, vote and commit to write. Present whenever <see cref="Entries"/> is not empty: the commit index is durable with the
    /// append.
    /// </summary>
    public HardState? HardState { get; init; }

    /// <summary>Entries to write, replacing any tail from the first index on.</summary>
    public IReadOnlyList<Entry> Entries { get; init; } = [];

    /// <summary>The leader's snapshot to fetch and install, or null.</summary>
    public SnapshotMetadata? Snapshot { get; init; }

    /// <summary>True when the write must be synced. False when only the commit index moved: it may ride on a later write.</summary>
    public bool MustSync { get; init; }

    /// <summary>Step this once <see cref="HardState"/> and <see cref="Entries"/> are durable; null when nothing must be synced.</summary>
    public AppendSynced? OnSynced { get; init; }

    /// <summary>May leave now. A leader's appends are here: followers write while the leader does (thesis 10.2.1).</summary>
    public IReadOnlyList<Message> Messages { get; init; } = [];

    /// <summary>
    /// May leave only when <see cref="HardState"/> and <see cref="Entries"/>, and all writes handed out earlier, are durable. A
    /// Ready can have such messages and nothing to write: they wait for the earlier writes alone.
    /// </summary>
    public IReadOnlyList<Message> MessagesAfterSync { get; init; } = [];

    /// <summary>Committed and durable here: apply in order, exactly once, then call <see cref="RaftNode.Applied"/>.</summary>
    public IReadOnlyList<Entry> Committed { get; init; } = [];

    /// <summary>Reads whose confirmation round is complete.</summary>
    public IReadOnlyList<ReadState> Reads { get; init; } = [];
}
