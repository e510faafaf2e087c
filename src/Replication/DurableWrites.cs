using KvStore.Raft;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>What one turn of a loop asks the log to make durable; posted back to the loop when it is.</summary>
internal sealed class TurnWrite : InboxItem
{
    private readonly List<Part> _parts = [];

    public TurnWrite(ShardLoop loop) => Submission = new WalSubmission(_ => loop.Post(this));

    public WalSubmission Submission { get; }

    public IReadOnlyList<Part> Parts => _parts;

    /// <summary>Snapshot files that nothing refers to once this is durable.</summary>
    public List<SnapshotDeletion> Deletions { get; } = [];

    public Part Add(Replica replica, AppendSynced? synced)
    {
        var part = new Part(replica, synced);
        _parts.Add(part);
        return part;
    }

    /// <summary>One replica's share: what to tell its core, and what may leave the node then.</summary>
    internal sealed class Part(Replica replica, AppendSynced? synced)
    {
        public Replica Replica => replica;
        public AppendSynced? Synced => synced;
        public List<Message> MessagesAfterSync { get; } = [];
    }
}

/// <summary>
/// Durable before told, for one replica: messages that wait for the disk travel with the write they wait for, and a message
/// that follows a write still in flight waits for that write.
/// </summary>
internal sealed class DurableWrites
{
    private TurnWrite.Part? _newest;

    /// <summary>Nothing of this replica is on its way to the disk.</summary>
    public bool IsIdle => _newest is null;

    public void Add(Replica replica, Ready ready)
    {
        if (ready.MustSync)
        {
            TurnWrite write = replica.CurrentWrite();
            replica.Append(write.Submission, ready.HardState, ready.Entries);
            _newest = write.Add(replica, ready.OnSynced);
        }

        // A commit index that moved alone is not written: the next append carries it, and until then it can be learned again.
        if (ready.MessagesAfterSync.Count == 0)
        {
            return;
        }

        if (_newest is null)
        {
            replica.SendAll(ready.MessagesAfterSync);
        }
        else
        {
            _newest.MessagesAfterSync.AddRange(ready.MessagesAfterSync);
        }
    }

    public void Completed(TurnWrite.Part part)
    {
        if (ReferenceEquals(part, _newest))
        {
            _newest = null;
        }
    }
}
