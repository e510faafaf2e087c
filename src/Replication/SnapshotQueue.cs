using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>One snapshot to write, or (with rows null) one old file to delete.</summary>
internal sealed class SnapshotJob : InboxItem
{
    public SnapshotJob(
        Replica replica, ShardLoop loop, string directory, SnapshotHeader header, TableSnapshot rows, IReadOnlyList<SnapshotSection> sections)
    {
        (Replica, Loop, Directory, Header, Rows, Sections) = (replica, loop, directory, header, rows, sections);
    }

    public SnapshotJob(string directory, string fileToDelete) => (Directory, FileToDelete) = (directory, fileToDelete);

    public Replica? Replica { get; }
    public ShardLoop? Loop { get; }
    public string Directory { get; }
    public SnapshotHeader? Header { get; }
    public TableSnapshot? Rows { get; }
    public IReadOnlyList<SnapshotSection> Sections { get; } = [];
    public string? FileToDelete { get; }
}

/// <summary>A snapshot is durable under its name; posted to the loop of its group.</summary>
internal sealed class SnapshotWritten(Replica replica, SnapshotHeader header, string file) : InboxItem
{
    public Replica Replica => replica;
    public SnapshotHeader Header => header;
    public string File => file;
}

/// <summary>Snapshots waiting to be written, one at a time and in bounded steps. At most one per group is queued.</summary>
public sealed class SnapshotQueue : IDisposable
{
    private readonly IFileSystem _files;
    private readonly Inbox _inbox = new();
    private InboxItem? _taken;
    private SnapshotJob? _current;
    private SnapshotWriter? _writer;

    internal SnapshotQueue(IFileSystem files) => _files = files;

    /// <summary>Called (any thread) when work arrives while nobody may be looking.</summary>
    public Action? Wake { get; set; }

    /// <summary>Writes about maxBytes of the snapshot in progress. False: nothing to do.</summary>
    /// <exception cref="StorageException">The disk failed; the node stops.</exception>
    public bool RunOnce(int maxBytes)
    {
        _current ??= TakeNext();
        if (_current is null)
        {
            return false;
        }

        if (_current.FileToDelete is { } old)
        {
            _files.Delete($"{_current.Directory}/{old}");
            _current = null;
            return true;
        }

        _writer ??= new SnapshotWriter(_files, _current.Directory, _current.Header!, _current.Rows!, _current.Sections);
        if (_writer.Step(maxBytes))
        {
            string file = _writer.Finish();
            _current.Loop!.Post(new SnapshotWritten(_current.Replica!, _current.Header!, file));
            Release();
        }

        return true;
    }

    public void Dispose() => Release();

    internal void Add(SnapshotJob job)
    {
        if (_inbox.Post(job))
        {
            Wake?.Invoke();
        }
    }

    private SnapshotJob? TakeNext()
    {
        _taken ??= _inbox.TakeAll();
        InboxItem? job = _taken;
        _taken = job?.Next;
        return (SnapshotJob?)job;
    }

    private void Release()
    {
        _writer?.Dispose();
        _current?.Rows?.Dispose();
        _writer = null;
        _current = null;
    }
}
