namespace KvStore.Raft;

public enum ProgressState : byte
{
    Probe,
    Replicate,
    Snapshot,
}

/// <summary>A leader's view of one peer.</summary>
public readonly record struct ProgressStatus(ReplicaId Id, ulong Match, ulong Next, ProgressState State, bool RecentActive, bool IsLearner);
