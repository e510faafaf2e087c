namespace KvStore.Raft;

/// <summary>A read that waits for its proof: the asker and the asker's own number.</summary>
internal readonly record struct PendingRead(ReplicaId From, ulong Context);

/// <summary>A round on its way, the commit index when it was started, and the reads that had been asked by then.</summary>
internal sealed record StartedRound(ulong Round, ulong Commit, IReadOnlyList<PendingRead> Reads);

/// <summary>
/// Reads of a leader and the rounds that will prove them (thesis 6.4). A read joins the next round to be started, never one
/// under way: answers to that one may have been given before the read was asked, by replicas that have elected somebody else
/// since.
/// </summary>
internal sealed class ReadIndexQueue(int maxPending)
{
    /// <summary>
    /// Rounds started and not confirmed that are remembered. Beyond it a round is still sent and proves nothing; a leader that
    /// is that far behind has lost its quorum and steps down at the next check.
    /// </summary>
    private const int MaxUnconfirmedRounds = 1024;

    private readonly Queue<StartedRound> _started = new();
    private List<PendingRead> _waiting = [];
    private int _pending;

    /// <summary>A round started now would carry reads.</summary>
    public bool WantsRound => _waiting.Count > 0 && HasRoom;

    private bool HasRoom => _started.Count < MaxUnconfirmedRounds;

    public bool TryAdd(PendingRead read)
    {
        if (_pending >= maxPending)
        {
            return false;
        }

        _pending++;
        _waiting.Add(read);
        return true;
    }

    public void Start(ulong round, ulong commit)
    {
        if (!HasRoom)
        {
            return;
        }

        // The list goes with the round, empty or not: a read added to it later would join a round under way.
        _started.Enqueue(new StartedRound(round, commit, _waiting));
        _waiting = [];
    }

    /// <summary>Takes the oldest round if a quorum has answered it or a later one.</summary>
    public bool TryTakeConfirmed(ulong confirmedRound, out StartedRound round)
    {
        if (!_started.TryPeek(out round!) || round.Round > confirmedRound)
        {
            return false;
        }

        _started.Dequeue();
        _pending -= round.Reads.Count;
        return true;
    }

    public void Clear()
    {
        _started.Clear();
        _waiting = [];
        _pending = 0;
    }
}
