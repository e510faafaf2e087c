namespace KvStore.Raft.Tests.Harness;

/// <summary>
/// The owner of one core, as small as it can be and still keep the Ready contract: a disk that completes writes in order (at
/// once, or when told), a state machine that is the list of applied entries, messages to a cluster.
/// </summary>
internal sealed class TestReplica
{
    private readonly TestCluster _cluster;
    private readonly RaftConfig _config;
    private readonly Queue<Ready> _writes = new();
    private IReadOnlyList<Entry> _snapshotState = [];

    public TestReplica(TestCluster cluster, RaftConfig config, MemoryLog disk)
    {
        _cluster = cluster;
        _config = config;
        Disk = disk;
        Node = Start();
    }

    public ReplicaId Id => _config.Id;

    public RaftNode Node { get; private set; }

    public MemoryLog Disk { get; }

    public bool IsUp { get; private set; } = true;

    /// <summary>Writes wait for <see cref="CompleteWrite"/>.</summary>
    public bool HasSlowDisk { get; set; }

    public int WritesInFlight => _writes.Count;

    /// <summary>The state machine: every entry since the start mark.</summary>
    public List<Entry> State { get; } = [];

    public List<ReadState> Reads { get; } = [];

    public ulong GroupClock { get; set; }

    /// <summary>What the owner gets wrong on purpose. Each must be caught by somebody.</summary>
    public OwnerBug Bug { get; set; }

    public void Do(Action<RaftNode> action)
    {
        if (IsUp)
        {
            action(Node);
            TakeAllReady();
            _cluster.OnStepped(this);
        }
    }

    public void Receive(Message message) => Do(node => node.Step(message));

    public bool CompleteWrite()
    {
        if (!_writes.TryDequeue(out Ready? write))
        {
            return false;
        }

        Write(write);
        Send([.. write.MessagesAfterSync.Where(message => !LeavesTooEarly(message))]);

        if (write.OnSynced is { } synced)
        {
            Node.Step(synced);
        }

        TakeAllReady();
        _cluster.OnStepped(this);
        return true;
    }

    /// <summary>Power cut: what the disk has not completed is gone, and so is everything in memory.</summary>
    public void Crash()
    {
        IsUp = false;
        _writes.Clear();
        State.Clear();
        Reads.Clear();
    }

    public void Restart()
    {
        IsUp = true;
        State.AddRange(_snapshotState);
        Node = Start();
        TakeAllReady();
        _cluster.OnStepped(this);
    }

    public void TakeSnapshot()
    {
        _snapshotState = [.. State];
        Disk.TakeSnapshot(Node.AppliedIndex, Node.Configuration);
    }

    /// <summary>The owner's side of a snapshot transfer, once the data is here.</summary>
    public void InstallFrom(TestReplica source)
    {
        SnapshotMetadata snapshot = source.Disk.Snapshot;
        if (Node.PendingSnapshot is not { } wanted || wanted.Index > snapshot.Index)
        {
            return;
        }

        // Writes taken earlier belong to the log that is thrown away; only their held messages and their order remain.
        _writes.Clear();
        Disk.Reset(snapshot);
        Disk.HardState = Disk.HardState with { Commit = Math.Max(Disk.HardState.Commit, snapshot.Index) };
        _snapshotState = [.. source._snapshotState];
        State.Clear();
        State.AddRange(_snapshotState);
        Do(node => node.Step(new SnapshotInstalled(Id, Id, node.Term, snapshot)));
    }

    public void TakeAllReady()
    {
        while (IsUp && Node.HasReady)
        {
            Take(Node.TakeReady());
        }
    }

    private RaftNode Start() => new(_config, Disk, Disk.HardState, Disk.Snapshot.Index, () => GroupClock);

    private void Take(Ready ready)
    {
        _cluster.OnReady(this, ready);
        Send(ready.Messages);
        Apply(ready.Committed);
        Reads.AddRange(ready.Reads);
        Send([.. ready.MessagesAfterSync.Where(LeavesTooEarly)]);

        if (ready.MustSync || (ready.MessagesAfterSync.Count > 0 && _writes.Count > 0))
        {
            _writes.Enqueue(ready);
            while (!HasSlowDisk && CompleteWrite())
            {
                // A fast disk is done before anybody can look.
            }
        }
        else
        {
            // Nothing to wait for. A commit index that moved alone is not written at all: it may be lazy, so here it is lost.
            Send([.. ready.MessagesAfterSync.Where(message => !LeavesTooEarly(message))]);
        }
    }

    private bool LeavesTooEarly(Message message) =>
        Bug == OwnerBug.AcknowledgesBeforeSync || (Bug == OwnerBug.AsksForVotesBeforeSync && message is BallotRequest and not PreVoteRequest);

    private void Write(Ready write)
    {
        Disk.Write(write.Entries);
        _cluster.OnWritten(this, write.Entries);
        if (write.HardState is { } hardState)
        {
            Disk.HardState = Bug switch
            {
                OwnerBug.ForgetsVote => hardState with { Vote = ReplicaId.None },
                OwnerBug.ForgetsCommitOfAppend => hardState with { Commit = Disk.HardState.Commit },
                _ => hardState,
            };
        }
    }

    private void Apply(IReadOnlyList<Entry> committed)
    {
        if (committed.Count == 0)
        {
            return;
        }

        State.AddRange(committed);
        _cluster.OnApplied(this, committed);
        Node.Applied(committed[^1].Index);
    }

    private void Send(IReadOnlyList<Message> messages)
    {
        foreach (Message message in messages)
        {
            _cluster.Send(message);
        }
    }
}
