using KvStore.Raft;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>What one turn of a loop asks the log to make durable; posted back to the loop when it is.</summary>
internal sealed class TurnWrite : LoopItem
{
    private readonly List<Part> _parts = [];
    private readonly Inbox<LoopItem> _loop;
    private List<SnapshotDeletion>? _deletions;

    public TurnWrite(Inbox<LoopItem> loop)
    {
        _loop = loop;
        Submission = new WalSubmission(PostWhenDurable, this);
    }

    private static readonly Action<object> PostWhenDurable = static write => ((TurnWrite)write)._loop.Post((TurnWrite)write);

    public WalSubmission Submission { get; }

    public List<Part> Parts => _parts;

    /// <summary>Snapshot files that nothing refers to once this is durable.</summary>
    public IReadOnlyList<SnapshotDeletion> Deletions => _deletions ?? [];

    public void Delete(SnapshotDeletion deletion) => (_deletions ??= []).Add(deletion);

    /// <summary>True: it is empty again, for everything in it has been told to those it concerns.</summary>
    public bool TryReuse()
    {
        if (!Submission.TryReuse())
        {
            return false;
        }

        _parts.Clear();
        _deletions = null;
        return true;
    }

    public Part Add(ReplicaAddress of, AppendSynced? synced)
    {
        var part = new Part(of, synced);
        _parts.Add(part);
        return part;
    }

    /// <summary>One replica's share: what to tell its core, and what may leave the node then.</summary>
    internal sealed class Part(ReplicaAddress of, AppendSynced? synced)
    {
        public ReplicaAddress Of => of;
        public AppendSynced? Synced => synced;

        /// <summary>None were given: the list of whoever gives the first ones is kept as it is.</summary>
        public IReadOnlyList<Message> MessagesAfterSync { get; private set; } = [];

        public void SendAfterSync(IReadOnlyList<Message> messages) =>
            MessagesAfterSync = MessagesAfterSync.Count == 0 ? messages : [.. MessagesAfterSync, .. messages];
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

    /// <summary>Adds a Ready's writes to what its replica's turn writes.</summary>
    /// <returns>What of its messages waits for nothing.</returns>
    public IReadOnlyList<Message> Add(ReplicaAddress of, GroupLog log, Ready ready, LoopWrites writes)
    {
        if (ready.MustSync)
        {
            TurnWrite write = writes.Current;
            write.Submission.Append(log, ready.HardState, ready.Entries);
            _newest = write.Add(of, ready.OnSynced);
        }

        // A commit index that moved alone is not written: the next append carries it, and until then it can be learned again.
        if (_newest is null || ready.MessagesAfterSync.Count == 0)
        {
            return ready.MessagesAfterSync;
        }

        _newest.SendAfterSync(ready.MessagesAfterSync);
        return [];
    }

    public void Completed(TurnWrite.Part part)
    {
        if (ReferenceEquals(part, _newest))
        {
            _newest = null;
        }
    }
}
