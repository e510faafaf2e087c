namespace KvStore.Storage;

/// <summary>
/// The segment files of a log, oldest first, and the spares. Log thread only. A file is prepared under a spare name, made
/// durable, and only then renamed: a final name always stands for a durable header and for everything in the segment before
/// being durable. In the other direction a retired file is renamed and the directory synced before a byte of it is overwritten.
/// </summary>
internal sealed class SegmentFiles(IFileSystem files, string directory, WalOptions options) : IDisposable
{
    private readonly List<Segment> _segments = [];
    private readonly Queue<string> _spares = new();
    private Segment? _prepared;

    public Segment Active => _segments[^1];

    public int Count => _segments.Count;

    public long Bytes => _segments.Sum(segment => segment.Length);

    public void Add(Segment segment) => _segments.Add(segment);

    /// <summary>A file of at least <paramref name="bytes"/> under a spare name; it becomes a segment by <see cref="Publish"/>.</summary>
    public Segment Prepare(ulong number, long bytes)
    {
        IFile file = _spares.TryDequeue(out string? spare) ? files.Open(spare) : files.Create(PathOf(SpareName(number)));
        _prepared = new Segment(number, file);
        try
        {
            _prepared.Grow(bytes);
        }
        catch (StorageException failure)
        {
            throw new StorageException($"no room for the next log segment of {bytes} bytes", file.Path, 0, failure.Errno, failure);
        }

        return _prepared;
    }

    /// <summary>Gives a prepared and synced file its final name and makes it the active segment.</summary>
    public void Publish(Segment prepared)
    {
        string path = PathOf(SegmentHeader.FileName(prepared.Number));
        files.Rename(prepared.File.Path, path);
        files.SyncDirectory(directory);

        prepared.Renamed(files.Open(path));
        _prepared = null;
        _segments.Add(prepared);
    }

    /// <summary>The oldest segment that must be kept when <paramref name="next"/> is about to become the active one.</summary>
    public ulong OldestLive(ulong next)
    {
        foreach (Segment segment in _segments)
        {
            if (segment.IsLive)
            {
                return segment.Number;
            }
        }

        return next;
    }

    /// <summary>The oldest segment that is among the newest ones of so many bytes; the active one always is.</summary>
    public ulong FirstWithin(long bytes)
    {
        int first = _segments.Count - 1;
        for (long sum = Active.Length; first > 0 && sum + _segments[first - 1].Length <= bytes; first--)
        {
            sum += _segments[first - 1].Length;
        }

        return _segments[first].Number;
    }

    /// <summary>Retires the segments below a number that a durable header has declared the oldest live one.</summary>
    public void FreeBelow(ulong oldestLive)
    {
        bool renamed = false;
        int dead = _segments.FindIndex(s => s.Number >= oldestLive);
        foreach (Segment segment in _segments[..dead])
        {
            string path = segment.File.Path;
            bool reuse = _spares.Count < options.MaxSpareSegments && segment.Length == options.SegmentBytes;
            segment.File.Dispose();
            if (reuse)
            {
                string spare = PathOf(SpareName(segment.Number));
                files.Rename(path, spare);
                _spares.Enqueue(spare);
                renamed = true;
            }
            else
            {
                files.Delete(path);
            }
        }

        _segments.RemoveRange(0, dead);
        if (renamed)
        {
            files.SyncDirectory(directory);
        }
    }

    /// <summary>
    /// Spares do not survive a restart. One that was being prepared may hold batches valid under the very number that is
    /// handed out next; behind shorter new content they would come back as ghosts.
    /// </summary>
    public void DeleteSpares()
    {
        foreach (string name in files.ListFiles(directory))
        {
            if (name.StartsWith("spare-", StringComparison.Ordinal))
            {
                files.Delete(PathOf(name));
            }
        }
    }

    public string PathOf(string name) => $"{directory}/{name}";

    public void Dispose()
    {
        _prepared?.File.Dispose();
        foreach (Segment segment in _segments)
        {
            segment.File.Dispose();
        }
    }

    private static string SpareName(ulong number) => $"spare-{number:x16}.log";
}
