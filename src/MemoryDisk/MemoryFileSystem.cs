using KvStore.Storage;

namespace KvStore.MemoryDisk;

/// <summary>What happens at a power cut to what was written and not synced.</summary>
public enum CrashMode
{
    /// <summary>Each unsynced sector and each unsynced name is kept, lost or (sectors) torn, drawn from the seed.</summary>
    Random,

    /// <summary>Nothing unsynced survives.</summary>
    LoseUnsynced,
}

/// <summary>The machine or the process ends here; nobody catches this but the test that arranged it.</summary>
public sealed class SimulatedCrashException : Exception
{
    public SimulatedCrashException()
        : base("the simulated machine has crashed")
    {
    }

    public SimulatedCrashException(string message)
        : base(message)
    {
    }

    public SimulatedCrashException(string message, Exception inner)
        : base(message, inner)
    {
    }
}

/// <summary>Totals since the file system was made.</summary>
public sealed record DiskCounters
{
    public long Writes { get; internal set; }
    public long BytesWritten { get; internal set; }
    public long BytesRead { get; internal set; }
    public long Syncs { get; internal set; }
    public long DirectorySyncs { get; internal set; }
    public long Crashes { get; internal set; }
    public long SectorsLost { get; internal set; }
    public long SectorsTorn { get; internal set; }
    public long SectorsKept { get; internal set; }
    public long NamesLost { get; internal set; }
    public long Faults { get; internal set; }
}

/// <summary>
/// A disk with a page cache in front of it, in memory and deterministic: the same seed and calls give the same disk. Reads see what
/// was written; a power cut sees what was synced. Names behave in the same way: create, rename and delete are durable only after
/// the directory is synced. A sync that fails leaves the sectors readable and clean, as Linux does: a later sync that succeeds
/// does not save them. Any thread may call, as with a real one; what comes of it is deterministic only where one thread does.
/// </summary>
public sealed class MemoryFileSystem : IFileSystem
{
    private const int ErrorIo = 5;
    private const int ErrorNotFound = 2;
    private const int ErrorExists = 17;
    private const int ErrorNoSpace = 28;
    private const int BlockBytes = 4096;

    private readonly Lock _gate = new();
    private readonly Random _random;
    private readonly SortedDictionary<string, MemoryFile> _names = new(StringComparer.Ordinal);
    private readonly SortedSet<string> _directories = new(StringComparer.Ordinal);
    private readonly List<NameChange> _unsyncedNames = [];
    private readonly HashSet<string> _locks = [];
    private SortedDictionary<string, MemoryFile> _durableNames = new(StringComparer.Ordinal);
    private readonly SortedSet<string> _durableDirectories = new(StringComparer.Ordinal);
    private long _allocated;

    public MemoryFileSystem(int seed) => _random = new Random(seed);

    public DiskCounters Counters { get; } = new();

    /// <summary>Syncs of files and directories answer success and do nothing.</summary>
    public bool SyncsLie { get; set; }

    /// <summary>The sync (of a file) so many syncs from now fails with EIO: 1 is the next. 0: none.</summary>
    public int FailSyncIn { get; set; }

    /// <summary>The write so many writes from now fails with EIO, half of it done. 0: none.</summary>
    public int FailWriteIn { get; set; }

    /// <summary>The directory sync so many from now fails with EIO. 0: none.</summary>
    public int FailDirectorySyncIn { get; set; }

    /// <summary>Bytes all files together may take, in whole blocks; beyond it allocating and extending fail with ENOSPC.</summary>
    public long CapacityBytes { get; set; } = long.MaxValue;

    /// <summary>
    /// The change of the disk so many changes from now does not happen: <see cref="SimulatedCrashException"/> comes instead, and the
    /// test goes on with <see cref="Crash"/> or <see cref="CrashProcess"/>. 0: none.
    /// </summary>
    public int CrashIn { get; set; }

    /// <summary>Directory syncs answer success and do nothing; file syncs are honest.</summary>
    public bool DirectorySyncsLie { get; set; }

    /// <summary>Reads of a file whose path contains this text fail with EIO.</summary>
    public string? FailReadsOf { get; set; }

    /// <summary>Counts power cuts and kills: handles of an earlier life are dead.</summary>
    internal int Life { get; private set; }

    public void CreateDirectory(string path)
    {
        lock (_gate)
        {
            for (string directory = path; !IsRoot(directory); directory = Parent(directory))
            {
                if (_directories.Add(directory))
                {
                    _unsyncedNames.Add(new NameChange(NameChangeKind.CreateDirectory, directory, null, null));
                }
            }
        }
    }

    public bool Exists(string path)
    {
        lock (_gate)
        {
            return _names.ContainsKey(path) || IsDirectory(path);
        }
    }

    public IReadOnlyList<string> ListFiles(string directory)
    {
        lock (_gate)
        {
            return [.. _names.Keys.Where(path => Parent(path) == directory).Select(path => path[(path.LastIndexOf('/') + 1)..])];
        }
    }

    public IFile Create(string path)
    {
        lock (_gate)
        {
            BeforeChange();
            if (!IsDirectory(Parent(path)))
            {
                throw new StorageException("cannot create", path, 0, ErrorNotFound);
            }

            if (_names.ContainsKey(path))
            {
                throw new StorageException("cannot create", path, 0, ErrorExists);
            }

            MemoryFile file = new();
            _names.Add(path, file);
            _unsyncedNames.Add(new NameChange(NameChangeKind.Create, path, null, file));
            return new Handle(this, file, path);
        }
    }

    public IFile Open(string path)
    {
        lock (_gate)
        {
            return new Handle(this, Find(path, "cannot open"), path);
        }
    }

    public void Rename(string from, string to)
    {
        lock (_gate)
        {
            BeforeChange();
            MemoryFile file = Find(from, "cannot rename");
            if (_names.TryGetValue(to, out MemoryFile? replaced))
            {
                _allocated -= InBlocks(replaced.Length);
            }

            _names.Remove(from);
            _names[to] = file;
            _unsyncedNames.Add(new NameChange(NameChangeKind.Rename, from, to, file));
        }
    }

    public void Delete(string path)
    {
        lock (_gate)
        {
            BeforeChange();
            _allocated -= InBlocks(Find(path, "cannot delete").Length);
            _names.Remove(path);
            _unsyncedNames.Add(new NameChange(NameChangeKind.Delete, path, null, null));
        }
    }

    public void SyncDirectory(string path)
    {
        lock (_gate)
        {
            BeforeChange();
            Counters.DirectorySyncs++;
            if (FailDirectorySyncIn > 0 && --FailDirectorySyncIn == 0)
            {
                Counters.Faults++;
                throw new StorageException("directory sync failed", path, 0, ErrorIo);
            }

            if (!IsDirectory(path))
            {
                throw new StorageException("cannot open directory to sync it", path, 0, ErrorNotFound);
            }

            if (SyncsLie || DirectorySyncsLie)
            {
                return;
            }

            for (int i = 0; i < _unsyncedNames.Count; i++)
            {
                NameChange change = _unsyncedNames[i];
                if (Parent(change.Path) == path)
                {
                    Apply(change);
                    _unsyncedNames.RemoveAt(i--);
                }
            }
        }
    }

    /// <summary>Somebody else takes what is free: what files give back from now on is all there is.</summary>
    public void FillUp() => CapacityBytes = _allocated;

    public DiskSpace SpaceOf(string path)
    {
        lock (_gate)
        {
            return CapacityBytes == long.MaxValue
                ? new DiskSpace(long.MaxValue, long.MaxValue)
                : new DiskSpace(CapacityBytes, Math.Max(0, CapacityBytes - _allocated));
        }
    }

    public IDisposable? TryLock(string directory)
    {
        lock (_gate)
        {
            return _locks.Add(directory) ? new Unlock(this, directory) : null;
        }
    }

    /// <summary>Power cut: what was synced stays, the rest goes by the mode. All handles and locks end.</summary>
    public void Crash(CrashMode mode = CrashMode.Random)
    {
        lock (_gate)
        {
            EndLife();
            foreach (NameChange change in _unsyncedNames)
            {
                if (mode == CrashMode.Random && _random.Next(2) == 0)
                {
                    Apply(change);
                }
                else
                {
                    Counters.NamesLost++;
                }
            }

            _unsyncedNames.Clear();
            _directories.Clear();
            _directories.UnionWith(_durableDirectories);
            _names.Clear();
            foreach ((string path, MemoryFile file) in _durableNames.Where(n => IsDirectory(Parent(n.Key))))
            {
                _names.Add(path, file);
            }

            _durableNames = new SortedDictionary<string, MemoryFile>(_names, StringComparer.Ordinal);
            _allocated = 0;
            foreach (MemoryFile file in _names.Values)
            {
                file.Crash(mode, _random, Counters);
                _allocated += InBlocks(file.Length);
            }
        }
    }

    /// <summary>kill -9: the page cache survives, handles and locks end.</summary>
    public void CrashProcess() => EndLife();

    /// <summary>Damages a file where it is, on the disk and in the cache.</summary>
    public void FlipBit(string path, long offset, int bit)
    {
        Counters.Faults++;
        Find(path, "cannot damage").Flip(offset, bit);
    }

    /// <summary>Everything a file holds now, as a reader would see it.</summary>
    public byte[] ReadAll(string path)
    {
        MemoryFile file = Find(path, "cannot read");
        byte[] bytes = new byte[file.Length];
        file.Read(bytes, 0);
        return bytes;
    }

    /// <summary>Puts a file in place, durable: for whoever prepares or damages a disk, so no fault and no limit meets it.</summary>
    public void Put(string path, ReadOnlySpan<byte> content)
    {
        CreateDirectory(Parent(path));
        if (_names.TryGetValue(path, out MemoryFile? replaced))
        {
            _allocated -= InBlocks(replaced.Length);
        }

        MemoryFile file = new();
        file.Write(content, 0);
        file.Sync();
        _allocated += InBlocks(file.Length);
        _names[path] = file;
        _unsyncedNames.Add(new NameChange(NameChangeKind.Create, path, null, file));
        SyncAllNames();
    }

    /// <summary>Takes a file away, durably, in the same manner.</summary>
    public void Take(string path)
    {
        _allocated -= InBlocks(Find(path, "cannot take away").Length);
        _names.Remove(path);
        _unsyncedNames.Add(new NameChange(NameChangeKind.Delete, path, null, null));
        SyncAllNames();
    }

    /// <summary>Everything written has reached the disk: the state after a long quiet time. What a failed sync has dropped never does.</summary>
    public void WriteBack()
    {
        SyncAllNames();
        foreach (MemoryFile file in _names.Values)
        {
            file.Sync();
        }
    }

    /// <summary>Everything there is, for <see cref="PutBack"/> later.</summary>
    public IReadOnlyDictionary<string, byte[]> Copy() => _names.Keys.ToDictionary(path => path, ReadAll);

    /// <summary>The disk as it was copied, durable: what was written since is gone.</summary>
    public void PutBack(IReadOnlyDictionary<string, byte[]> copy)
    {
        foreach (string path in _names.Keys.Where(path => !copy.ContainsKey(path)).ToArray())
        {
            Take(path);
        }

        foreach ((string path, byte[] content) in copy.OrderBy(file => file.Key, StringComparer.Ordinal))
        {
            Put(path, content);
        }
    }

    /// <summary>Makes every name durable.</summary>
    public void SyncAllNames()
    {
        _unsyncedNames.ForEach(Apply);
        _unsyncedNames.Clear();
    }

    private void BeforeChange()
    {
        if (CrashIn > 0 && --CrashIn == 0)
        {
            throw new SimulatedCrashException();
        }
    }

    private void EndLife()
    {
        lock (_gate)
        {
            CrashIn = 0;
            Counters.Crashes++;
            Life++;
            _locks.Clear();
        }
    }

    private void Apply(NameChange change)
    {
        switch (change.Kind)
        {
            case NameChangeKind.CreateDirectory:
                _durableDirectories.Add(change.Path);
                break;
            case NameChangeKind.Create:
                _durableNames[change.Path] = change.File!;
                break;
            case NameChangeKind.Rename:
                // Either name, never both and never neither.
                if (_durableNames.TryGetValue(change.Path, out MemoryFile? old) && ReferenceEquals(old, change.File))
                {
                    _durableNames.Remove(change.Path);
                }

                _durableNames[change.To!] = change.File!;
                break;
            default:
                _durableNames.Remove(change.Path);
                break;
        }
    }

    private MemoryFile Find(string path, string what) =>
        _names.TryGetValue(path, out MemoryFile? file) ? file : throw new StorageException(what, path, 0, ErrorNotFound);

    private bool IsDirectory(string path) => IsRoot(path) || _directories.Contains(path);

    private static long InBlocks(long bytes) => (bytes + BlockBytes - 1) / BlockBytes * BlockBytes;

    private static bool IsRoot(string path) => path is "" or "/" or ".";

    private static string Parent(string path)
    {
        int slash = path.LastIndexOf('/');
        return slash > 0 ? path[..slash] : slash == 0 ? "/" : ".";
    }

    private enum NameChangeKind
    {
        CreateDirectory,
        Create,
        Rename,
        Delete,
    }

    private sealed record NameChange(NameChangeKind Kind, string Path, string? To, MemoryFile? File);

    private sealed class Unlock(MemoryFileSystem disk, string path) : IDisposable
    {
        private readonly int _life = disk.Life;

        public void Dispose()
        {
            lock (disk._gate)
            {
                if (disk.Life == _life)
                {
                    disk._locks.Remove(path);
                }
            }
        }
    }

    private sealed class Handle(MemoryFileSystem disk, MemoryFile file, string path) : IFile
    {
        private readonly int _life = disk.Life;
        private bool _disposed;

        public string Path => path;

        public long Length
        {
            get
            {
                lock (disk._gate)
                {
                    CheckAlive();
                    return file.Length;
                }
            }
        }

        public int Read(Span<byte> buffer, long offset)
        {
            lock (disk._gate)
            {
                CheckAlive();
                if (disk.FailReadsOf is { } text && path.Contains(text, StringComparison.Ordinal))
                {
                    disk.Counters.Faults++;
                    throw new StorageException("read failed", path, offset, ErrorIo);
                }

                int read = file.Read(buffer, offset);
                disk.Counters.BytesRead += read;
                return read;
            }
        }

        public void Write(ReadOnlySpan<byte> buffer, long offset)
        {
            lock (disk._gate)
            {
                CheckAlive();
                disk.BeforeChange();
                disk.Counters.Writes++;
                if (disk.FailWriteIn > 0 && --disk.FailWriteIn == 0)
                {
                    disk.Counters.Faults++;
                    file.Write(buffer[..(buffer.Length / 2)], offset);
                    throw new StorageException("write failed", path, offset, ErrorIo);
                }

                Reserve(offset + buffer.Length, "write failed", offset);
                disk.Counters.BytesWritten += buffer.Length;
                file.Write(buffer, offset);
            }
        }

        public void Allocate(long length)
        {
            lock (disk._gate)
            {
                CheckAlive();
                disk.BeforeChange();
                Reserve(length, "cannot allocate", length);
                disk._allocated += Math.Min(0, InBlocks(length) - InBlocks(file.Length));
                file.SetLength(length);
            }
        }

        public void Sync()
        {
            lock (disk._gate)
            {
                CheckAlive();
                disk.BeforeChange();
                disk.Counters.Syncs++;
                if (disk.FailSyncIn > 0 && --disk.FailSyncIn == 0)
                {
                    disk.Counters.Faults++;
                    file.FailSync();
                    throw new StorageException("sync failed", path, 0, ErrorIo);
                }

                if (!disk.SyncsLie)
                {
                    file.Sync();
                }
            }
        }

        public void Dispose() => _disposed = true;

        private void Reserve(long length, string what, long offset)
        {
            long growth = Math.Max(0, InBlocks(length) - InBlocks(file.Length));
            if (growth > 0 && growth > disk.CapacityBytes - disk._allocated)
            {
                disk.Counters.Faults++;
                throw new StorageException(what, path, offset, ErrorNoSpace);
            }

            disk._allocated += growth;
        }

        private void CheckAlive()
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (disk.Life != _life)
            {
                throw new InvalidOperationException($"{path} was opened before the crash: the process that held it is gone");
            }
        }
    }
}
