using KvStore.Storage;

namespace KvStore.Node.Tests.Hosting;

/// <summary>The real disk, but while it stands still no write and no sync comes back: what a frozen file system does.</summary>
internal sealed class HangingDisk : IFileSystem
{
    private readonly OsFileSystem _disk = new();
    private readonly object _gate = new();
    private bool _standsStill;

    public void StandStill()
    {
        lock (_gate)
        {
            _standsStill = true;
        }
    }

    public void GoOn()
    {
        lock (_gate)
        {
            _standsStill = false;
            Monitor.PulseAll(_gate);
        }
    }

    public void CreateDirectory(string path) => _disk.CreateDirectory(path);

    public bool Exists(string path) => _disk.Exists(path);

    public IReadOnlyList<string> ListFiles(string directory) => _disk.ListFiles(directory);

    public IFile Create(string path)
    {
        Wait();
        return new File(this, _disk.Create(path));
    }

    public IFile Open(string path) => new File(this, _disk.Open(path));

    public void Rename(string from, string to)
    {
        Wait();
        _disk.Rename(from, to);
    }

    public void Delete(string path)
    {
        Wait();
        _disk.Delete(path);
    }

    public void SyncDirectory(string path)
    {
        Wait();
        _disk.SyncDirectory(path);
    }

    public DiskSpace SpaceOf(string path) => _disk.SpaceOf(path);

    public IDisposable? TryLock(string path) => _disk.TryLock(path);

    private void Wait()
    {
        lock (_gate)
        {
            while (_standsStill)
            {
                Monitor.Wait(_gate);
            }
        }
    }

    private sealed class File(HangingDisk disk, IFile file) : IFile
    {
        public string Path => file.Path;

        public long Length => file.Length;

        public int Read(Span<byte> buffer, long offset) => file.Read(buffer, offset);

        public void Write(ReadOnlySpan<byte> buffer, long offset)
        {
            disk.Wait();
            file.Write(buffer, offset);
        }

        public void Allocate(long length)
        {
            disk.Wait();
            file.Allocate(length);
        }

        public void Sync()
        {
            disk.Wait();
            file.Sync();
        }

        public void Dispose() => file.Dispose();
    }
}
