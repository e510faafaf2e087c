using KvStore.Raft;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>A snapshot to write: rows of one moment, and the sections captured at it.</summary>
internal sealed class SnapshotJob(
    Replica replica, ShardLoop loop, string directory, SnapshotHeader header, TableSnapshot rows, IReadOnlyList<SnapshotSection> sections) : InboxItem
{
    public Replica Replica => replica;
    public ShardLoop Loop => loop;
    public string Directory => directory;
    public SnapshotHeader Header => header;
    public TableSnapshot Rows => rows;
    public IReadOnlyList<SnapshotSection> Sections => sections;
}

/// <summary>A snapshot file that nothing refers to any more.</summary>
internal sealed class SnapshotDeletion(string directory, string file) : InboxItem
{
    public string Path => $"{directory}/{file}";
}

/// <summary>A snapshot is durable under its name; posted to the loop of its group. Fetched: it came from another node, for installation.</summary>
internal sealed class SnapshotWritten(Replica replica, SnapshotHeader header, string file, bool fetched) : InboxItem
{
    public Replica Replica => replica;
    public SnapshotHeader Header => header;
    public string File => file;
    public bool Fetched => fetched;
}

/// <summary>
/// A node's snapshot work, off the loops: writes the snapshots of its groups, serves pieces of them to other nodes, and
/// fetches theirs. One step at a time; Node's snapshot thread paces the steps, and so all of it.
/// </summary>
public sealed class SnapshotQueue : IDisposable
{
    private readonly IFileSystem _files;
    private readonly SnapshotTransfer _transfer;
    private readonly Inbox _inbox = new();
    private readonly Queue<SnapshotJob> _toWrite = new();
    private InboxItem? _taken;
    private SnapshotWriter? _writer;
    private int _queuedPieces;
    private bool _writersTurn;

    internal SnapshotQueue(IFileSystem files, StoreNode node)
    {
        _files = files;
        _transfer = new SnapshotTransfer(files, node);
    }

    /// <summary>Called (any thread) when work arrives while nobody may be looking.</summary>
    public Action? Wake { get; set; }

    /// <summary>One step: about maxBytes of the snapshot being written, or one piece sent or received. False: nothing to do.</summary>
    /// <exception cref="StorageException">The disk failed; the node stops.</exception>
    public bool RunOnce(int maxBytes)
    {
        InboxItem? item = TakeNext();
        while (item is SnapshotJob job)
        {
            _toWrite.Enqueue(job);
            item = TakeNext();
        }

        // Writing and transfers take turns, so that neither waits for the end of the other.
        if (item is not null && _writersTurn && _toWrite.Count > 0)
        {
            _taken = Prepend(item, _taken);
            item = null;
        }

        _writersTurn = item is not null;
        switch (item)
        {
            case null:
                return WriteStep(maxBytes);
            case SnapshotDeletion deletion:
                if (_files.Exists(deletion.Path))
                {
                    _files.Delete(deletion.Path);
                }

                return true;
            case SnapshotPull pull:
                Interlocked.Decrement(ref _queuedPieces);
                _transfer.Serve(pull, maxBytes);
                return true;
            case SnapshotPiece piece:
                Interlocked.Decrement(ref _queuedPieces);
                _transfer.OnPiece(piece);
                return true;
            case SnapshotFetch fetch:
                _transfer.Begin(fetch);
                return true;
            case SnapshotNotWanted end:
                _transfer.Forget(end);
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
    }

    internal void Add(InboxItem item)
    {
        if (_inbox.Post(item))
        {
            Wake?.Invoke();
        }
    }

    /// <summary>What another node asks for or sends. False: too much of it waits; the fetching side asks again.</summary>
    internal bool TryAddFromPeer(InboxItem item)
    {
        if (Interlocked.Increment(ref _queuedPieces) > MaxQueuedPieces)
        {
            Interlocked.Decrement(ref _queuedPieces);
            return false;
        }

        Add(item);
        return true;
    }

    private bool WriteStep(int maxBytes)
    {
        if (!_toWrite.TryPeek(out SnapshotJob? job))
        {
            return false;
        }

        _writer ??= new SnapshotWriter(_files, job.Directory, job.Header, job.Rows, job.Sections);
        if (_writer.Step(maxBytes))
        {
            string file = _writer.Finish();
            _writer.Dispose();
            _writer = null;
            _toWrite.Dequeue();
            job.Rows.Dispose();
            job.Loop.Post(new SnapshotWritten(job.Replica, job.Header, file, fetched: false));
        }

        return true;
    }

    private InboxItem? TakeNext()
    {
        _taken ??= _inbox.TakeAll();
        InboxItem? item = _taken;
        _taken = item?.Next;
        return item;
    }

    private static InboxItem Prepend(InboxItem item, InboxItem? rest)
    {
        item.Next = rest;
        return item;
    }

    /// <summary>Pulls and pieces from other nodes that wait for the snapshot thread.</summary>
    private const int MaxQueuedPieces = 64;
}
