using KvStore.Raft;
using KvStore.StateMachine;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>What the snapshot thread is given to do.</summary>
internal abstract class SnapshotItem : InboxItem<SnapshotItem>;

/// <summary>A snapshot to write: rows of one moment, and the sections captured at it.</summary>
internal sealed class SnapshotJob(
    ReplicaAddress address, Inbox<LoopItem> loop, string directory, SnapshotHeader header, TableSnapshot rows, IReadOnlyList<SnapshotSection> sections) : SnapshotItem
{
    public ReplicaAddress Address => address;
    public Inbox<LoopItem> Loop => loop;
    public string Directory => directory;
    public SnapshotHeader Header => header;
    public TableSnapshot Rows => rows;
    public IReadOnlyList<SnapshotSection> Sections => sections;
}

/// <summary>A snapshot file that nothing refers to any more.</summary>
internal sealed class SnapshotDeletion(string directory, string file) : SnapshotItem
{
    public string Path => $"{directory}/{file}";
}

/// <summary>
/// A snapshot is durable under its name; posted to the loop of its group. Fetched: it came from another node, for installation.
/// </summary>
internal sealed class SnapshotWritten(ReplicaAddress address, SnapshotHeader header, string file, bool fetched) : LoopItem
{
    public ReplicaAddress Address => address;
    public SnapshotHeader Header => header;
    public string File => file;
    public bool Fetched => fetched;
}

/// <summary>Somebody wants to know the hash of a replica's state; posted to its loop.</summary>
internal sealed class StateHashRequest(ReplicaAddress address, Action<StateHash> completed) : LoopItem
{
    public ReplicaAddress Address => address;
    public Action<StateHash> Completed => completed;
}

/// <summary>A captured state to hash; completed on the thread that hashes.</summary>
internal sealed class StateHashJob(StateHasher hasher, TableSnapshot rows, Action<StateHash> completed) : SnapshotItem, IDisposable
{
    /// <summary>True: done, and whoever asked has been told.</summary>
    public bool Step(int maxBytes)
    {
        if (!hasher.Step(maxBytes))
        {
            return false;
        }

        completed(new StateHash(hasher.Applied, hasher.Value));
        return true;
    }

    public void Dispose() => rows.Dispose();
}

/// <summary>
/// A node's snapshot work, off the loops: writes the snapshots of its groups, serves pieces of them to other nodes,
/// fetches theirs and makes tables of them; hashes a group's state for those who ask. One step at a time; Node's snapshot thread paces the steps, and so all of it.
/// </summary>
public sealed class SnapshotQueue : IDisposable
{
    private readonly IFileSystem _files;
    private readonly SharedState _node;
    private readonly WriteAheadLog _log;
    private readonly ReplicaDirectory _replicas;
    private readonly SnapshotTransfer _transfer;
    private readonly Inbox<SnapshotItem> _inbox;
    private readonly Queue<SnapshotJob> _toWrite = new();
    private readonly Queue<StateHashJob> _toHash = new();
    private readonly Queue<SnapshotBuild> _toBuild = new();
    private SnapshotItem? _taken;
    private SnapshotWriter? _writer;
    private int _queuedPieces;
    private long _bytesReceived;
    private bool _writersTurn;

    internal SnapshotQueue(IFileSystem files, SharedState node, WriteAheadLog log, ReplicaDirectory replicas, Inbox<SnapshotItem> inbox, SnapshotTransfer transfer)
    {
        _files = files;
        _node = node;
        _log = log;
        _replicas = replicas;
        _inbox = inbox;
        _transfer = transfer;
    }

    /// <summary>Called (any thread) when work arrives while nobody may be looking.</summary>
    public Action? Wake
    {
        get => _inbox.Wake;
        set => _inbox.Wake = value;
    }

    /// <summary>Pieces of snapshots that came from other nodes.</summary>
    public long BytesReceived => Interlocked.Read(ref _bytesReceived);

    /// <summary>
    /// One step: about maxBytes of the snapshot being written, of the one being built and of the state being hashed, or one piece sent or received. False:
    /// nothing to do.
    /// </summary>
    /// <exception cref="StorageException">The disk failed; the node stops.</exception>
    public bool RunOnce(int maxBytes)
    {
        _transfer.DeleteIdle();
        SnapshotItem? item = TakeNext();
        while (item is SnapshotJob or StateHashJob or DiskCheck or SnapshotBuild)
        {
            if (item is SnapshotJob job)
            {
                _toWrite.Enqueue(job);
            }
            else if (item is SnapshotBuild build)
            {
                _toBuild.Enqueue(build);
            }
            else if (item is DiskCheck)
            {
                MeasureRoomOnDisk();
            }
            else
            {
                _toHash.Enqueue((StateHashJob)item);
            }

            item = TakeNext();
        }

        // Writing and transfers take turns, so that neither waits for the end of the other.
        if (item is not null && _writersTurn && (_toWrite.Count > 0 || _toHash.Count > 0 || _toBuild.Count > 0))
        {
            _taken = Prepend(item, _taken);
            item = null;
        }

        _writersTurn = item is not null;
        switch (item)
        {
            case null:
                // Both: a state that waits to be hashed keeps its table from reclaiming what is overwritten meanwhile.
                bool wrote = WriteStep(maxBytes);
                bool hashed = HashStep(maxBytes);
                bool built = BuildStep(maxBytes);
                return _transfer.CheckStep() || hashed || wrote || built;
            case SnapshotDeletion deletion:
                _transfer.Delete(deletion.Path);
                return true;
            case FolderMark mark:
                _node.Folder.Mark(mark.Level);
                return true;
            case ReplicaVacated left:
                Free(left);
                return true;
            case SnapshotPull pull:
                Interlocked.Decrement(ref _queuedPieces);
                _transfer.Serve(pull, maxBytes);
                return true;
            case SnapshotPiece piece:
                Interlocked.Decrement(ref _queuedPieces);
                Interlocked.Add(ref _bytesReceived, piece.Bytes.Length);
                _transfer.OnPieceIfRoom(piece);
                return true;
            case SnapshotFetch fetch:
                _transfer.Begin(fetch);
                return true;
            case SnapshotNotWanted end:
                _transfer.Forget(end);
                return true;
            case SnapshotKept kept:
                _transfer.AskToKeep(kept);
                return true;
            default:
                throw new InvariantViolationException($"the snapshot queue does not know {item.GetType().Name}");
        }
    }

    public void Dispose()
    {
        _transfer.Dispose();
        _writer?.Dispose();
        foreach (SnapshotJob job in _toWrite)
        {
            job.Rows.Dispose();
        }

        foreach (StateHashJob job in _toHash)
        {
            job.Dispose();
        }

        foreach (SnapshotBuild build in _toBuild)
        {
            build.Close();
        }
    }

    /// <summary>What another node asks for or sends. False: too much of it waits; the fetching side asks again.</summary>
    internal bool TryAddFromPeer(SnapshotItem item)
    {
        if (Interlocked.Increment(ref _queuedPieces) > MaxQueuedPieces)
        {
            Interlocked.Decrement(ref _queuedPieces);
            return false;
        }

        _inbox.Post(item);
        return true;
    }

    internal void MeasureRoomOnDisk()
    {
        long free = _files.SpaceOf(_node.Options.Directory).FreeBytes;
        long largest = _replicas.All.Values.Select(replica => replica.Table.DataBytes).DefaultIfEmpty().Max();
        _node.Room.Disk.Observe(new DiskUse(free, _log.SpareBytes, _log.RoomBytes, largest));
        if (_log.WantsRoom && free >= _node.Options.Wal.SegmentBytes)
        {
            _log.ProvideRoom();
        }
    }

    private bool WriteStep(int maxBytes)
    {
        if (!_toWrite.TryPeek(out SnapshotJob? job))
        {
            return false;
        }

        try
        {
            _writer ??= new SnapshotWriter(_files, job.Directory, job.Header, job.Rows, job.Sections);
            if (_writer.Step(maxBytes))
            {
                string file = _writer.Finish();
                EndWriting(job);
                _transfer.Needed($"{job.Directory}/{file}");
                job.Loop.Post(new SnapshotWritten(job.Address, job.Header, file, fetched: false));
            }
        }
        catch (StorageException failure) when (failure.IsFull)
        {
            // What was written of it goes. Its replica tries again, perhaps when there is room.
            EndWriting(job);
            job.Loop.Post(new SnapshotAbandoned(job.Address.Group));
        }

        return true;
    }

    private void EndWriting(SnapshotJob job)
    {
        _writer?.Dispose();
        _writer = null;
        _toWrite.Dequeue();
        job.Rows.Dispose();
    }

    private bool HashStep(int maxBytes)
    {
        if (!_toHash.TryPeek(out StateHashJob? job))
        {
            return false;
        }

        if (job.Step(maxBytes))
        {
            _toHash.Dequeue().Dispose();
        }

        return true;
    }

    /// <summary>One at a time: what each takes while it waits is its file.</summary>
    private bool BuildStep(int maxBytes)
    {
        if (!_toBuild.TryPeek(out SnapshotBuild? build))
        {
            return false;
        }

        if (build.Step(_files, maxBytes))
        {
            _toBuild.Dequeue();
            if (build.Damage is { } damage)
            {
                _transfer.NotBuilt(build, damage);
            }

            build.GiveBack();
        }

        return true;
    }

    /// <summary>Nothing is written, fetched or built for a replica that has left, and none of its files stay.</summary>
    private void Free(ReplicaVacated left)
    {
        _transfer.Forget(new SnapshotNotWanted(left.Address.Group));
        if (_toWrite.TryPeek(out SnapshotJob? begun) && begun.Address == left.Address)
        {
            _writer?.Dispose();
            _writer = null;
        }

        for (int n = _toWrite.Count; n > 0; n--)
        {
            SnapshotJob job = _toWrite.Dequeue();
            if (job.Address == left.Address)
            {
                job.Rows.Dispose();
            }
            else
            {
                _toWrite.Enqueue(job);
            }
        }

        for (int n = _toBuild.Count; n > 0; n--)
        {
            SnapshotBuild build = _toBuild.Dequeue();
            if (build.Group == left.Address.Group)
            {
                build.GiveBack();
            }
            else
            {
                _toBuild.Enqueue(build);
            }
        }

        foreach (string name in _files.ListFiles(left.Directory))
        {
            _files.Delete($"{left.Directory}/{name}");
        }

        left.Loop.Post(new ReplicaFreed(left.Address.Group));
    }

    private SnapshotItem? TakeNext()
    {
        _taken ??= _inbox.TakeAll();
        SnapshotItem? item = _taken;
        _taken = item?.Next;
        return item;
    }

    private static SnapshotItem Prepend(SnapshotItem item, SnapshotItem? rest)
    {
        item.Next = rest;
        return item;
    }

    /// <summary>Pulls and pieces from other nodes that wait for the snapshot thread.</summary>
    private const int MaxQueuedPieces = 64;
}
