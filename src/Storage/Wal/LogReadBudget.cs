namespace KvStore.Storage;

/// <summary>
/// Entries that are no longer in memory are read from their segment by whoever asks for them, and that is a loop: this bounds what one of
/// its turns reads for followers. What is applied, or moved out of an old segment, has a bound of its own and counts here without being refused.
/// </summary>
public sealed class LogReadBudget(long bytesPerTurn)
{
    private long _spent;

    /// <summary>The rest waits for the next turn.</summary>
    public bool IsSpent => _spent >= bytesPerTurn;

    public void StartTurn() => _spent = 0;

    internal void Spend(long bytes) => _spent += bytes;
}
