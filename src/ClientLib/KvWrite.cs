namespace KvStore.Client;

/// <summary>How a write ended that did not fail.</summary>
public enum WriteOutcome
{
    /// <summary>Durable on a majority of disks.</summary>
    Applied,

    /// <summary>Nothing was written: the key was not as the write asked for.</summary>
    ConditionFailed,
}

/// <summary>What a write came to. A condition that does not hold is an answer, not an error.</summary>
/// <param name="Outcome">Whether it was done.</param>
/// <param name="Revision">Of this write; where the condition failed, what the key has now.</param>
/// <param name="Existed">The key was there before.</param>
public readonly record struct KvWrite(WriteOutcome Outcome, KvRevision Revision, bool Existed)
{
    public bool Applied => Outcome == WriteOutcome.Applied;

    /// <summary><see cref="Applied"/>.</summary>
    public static implicit operator bool(KvWrite write) => write.Applied;
}
