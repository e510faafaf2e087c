namespace KvStore.Storage;

/// <summary>
/// The segment files of a log, oldest first, and the spares. Log thread only. A file is prepared under a spare name, made
/// durable, and only then renamed: a final name always stands for a durable header and for everything in the segment before
/// being durable. One more file of a segment's size, the reserve, is there for the next start alone. In the other direction a retired file is renamed and the directory synced before a byte of it is overwritten.
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
    /// <exception cref="StorageException">There is no room (<see cref="StorageException.IsFull"/>): nothing has changed.</exception>
    public Segment Prepare(ulong number, long bytes)
    {
        IFile? file = null;
        bool isSpare = _spares.TryPeek(out string? spare);
        try
        {
            file = isSpare ? files.Open(spare!) : files.Create(PathOf(SpareName(number)));
            _prepared = new Segment(number, file);
            _prepared.Grow(bytes);
            if (isSpare)
            {
                _spares.Dequeue();
            }

            return _prepared;
        }
        catch (StorageException failure) when (failure.IsFull)
        {
            _prepared = null;
            file?.Dispose();
            if (file is not null && !isSpare)
            {
                files.Delete(file.Path);
            }

            throw new StorageException($"no room for the next log segment of {bytes} bytes", failure.Path!, 0, failure.Errno, failure);
        }
    }

    /// <summary>
    /// The same for the segment a process starts with. When there is no room, the reserve is taken. It may have been taken before, by a start
    /// that did not end: what that one wrote is valid under the same number, so it is overwritten first, which needs no new block.
    /// </summary>
    public Segment PrepareAtStart(ulong number, long bytes)
    {
        try
        {
            return Prepare(number, bytes);
        }
        catch (StorageException full) when (full.IsFull && HasReserve)
        {
            HasReserve = false;
            _prepared = new Segment(number, files.Open(PathOf(ReserveName)));
            byte[] zeros = new byte[Math.Min(_prepared.Length, 1 << 20)];
            for (long offset = 0; offset < _prepared.Length; offset += zeros.Length)
            {
                _prepared.File.Write(zeros.AsSpan(0, (int)Math.Min(zeros.Length, _prepared.Length - offset)), offset);
            }

            _prepared.Grow(bytes);
            return _prepared;
        }
    }

    /// <summary>There is a file that only a start may use: a disk that is full then does not keep the node from coming back.</summary>
    public bool HasReserve { get; private set; }

    public long SpareBytes => _spares.Count * options.SegmentBytes;

    /// <summary>Looks for the reserve of an earlier process. One that was not finished goes.</summary>
    public void FindReserve()
    {
        string path = PathOf(ReserveName);
        if (!files.Exists(path))
        {
            return;
        }

        using (IFile file = files.Open(path))
        {
            HasReserve = file.Length >= options.SegmentBytes;
        }

        if (!HasReserve)
        {
            files.Delete(path);
        }
    }

    /// <summary>A segment file that nobody needs goes, or is the reserve from now on.</summary>
    public void DeleteOrReserve(string path)
    {
        long length = 0;
        if (!HasReserve)
        {
            using IFile file = files.Open(path);
            length = file.Length;
        }

        if (length == options.SegmentBytes)
        {
            files.Rename(path, PathOf(ReserveName));
            files.SyncDirectory(directory);
            HasReserve = true;
        }
        else
        {
            files.Delete(path);
        }
    }

    /// <summary>Makes the reserve if there is none. False: no room.</summary>
    public bool ProvideReserve()
    {
        if (!HasReserve && TryAllocate(PathOf(ReserveName)))
        {
            files.SyncDirectory(directory);
            HasReserve = true;
        }

        return HasReserve;
    }

    /// <summary>Makes a spare for the next segment if there is none. False: no room.</summary>
    public bool ProvideSpare()
    {
        string path = PathOf(SpareName(Active.Number + 1));
        if (_spares.Count == 0 && TryAllocate(path))
        {
            _spares.Enqueue(path);
        }

        return _spares.Count > 0;
    }

    private bool TryAllocate(string path)
    {
        IFile? file = null;
        try
        {
            file = files.Create(path);
            file.Allocate(options.SegmentBytes);
            file.Sync();
            file.Dispose();
            return true;
        }
        catch (StorageException failure) when (failure.IsFull)
        {
            if (file is not null)
            {
                file.Dispose();
                files.Delete(path);
            }

            return false;
        }
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
            if (!HasReserve && segment.Length == options.SegmentBytes)
            {
                files.Rename(path, PathOf(ReserveName));
                HasReserve = true;
                renamed = true;
            }
            else if (reuse)
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

    public const string ReserveName = "reserve.log";

    private static string SpareName(ulong number) => $"spare-{number:x16}.log";
}
