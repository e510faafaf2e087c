namespace KvStore.Raft;

/// <summary>Limits and timers of one replica. Times are in ticks; one tick is what the owner says it is (50 ms by default).</summary>
public sealed record RaftConfig
{
    public required ReplicaId Id { get; init; }

    /// <summary>Election timeout; each wait is drawn from [ElectionTicks, 2 × ElectionTicks).</summary>
    public int ElectionTicks { get; init; } = 20;

    /// <summary>
    /// For one election timeout after its start this replica votes for nobody, itself included, whoever asks and however; a
    /// request does not raise its term. Before the restart it may have answered a heartbeat, and a leader that counts on its
    /// followers not to elect another for so long (a lease) must not be let down by a restart. A group with one voter waits, too:
    /// the configuration known at a start can be older than the one in force. Off: elections after a start are quicker.
    /// </summary>
    public bool HoldsVoteAfterStart { get; init; }

    /// <summary>Seed of this replica's own generator: the same seed and inputs give the same run.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Largest append message, in charged bytes; a single larger entry still travels alone.</summary>
    public int MaxAppendBytes { get; init; } = 256 * 1024;

    /// <summary>Appends in flight to one follower; a full window pauses that follower.</summary>
    public int MaxInflightAppends { get; init; } = 128;

    /// <summary>Charged bytes in flight to one follower.</summary>
    public long MaxInflightBytes { get; init; } = 16L << 20;

    /// <summary>Charged bytes proposed and not yet committed; beyond it <see cref="RaftNode.Propose"/> answers Overloaded.</summary>
    public long MaxUncommittedBytes { get; init; } = 32L << 20;

    /// <summary>Charged bytes handed out for apply in one <see cref="Ready"/>; the rest waits for the next.</summary>
    public long MaxApplyBytes { get; init; } = 1L << 20;

    /// <summary>Reads waiting for a confirmation round; beyond it <see cref="RaftNode.ReadIndex"/> answers false.</summary>
    public int MaxPendingReads { get; init; } = 65_536;
}
