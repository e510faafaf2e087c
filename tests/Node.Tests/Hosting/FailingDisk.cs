using KvStore.Storage;

namespace KvStore.Node.Tests.Hosting;

/// <summary>The real disk, until it begins to fail: then every sync of a file fails, as a dying device does.</summary>
internal sealed class FailingDisk : IFileSystem
{
    private readonly OsFileSystem _disk = new();
    private volatile bool _failing;

    public void BeginToFail() => _failing = true;

    public void CreateDirectory(string path) => _disk.CreateDirectory(path);

    public bool Exists(string path) => _disk.Exists(path);

    public IReadOnlyList<string> ListFiles(string directory) => _disk.ListFiles(directory);

    public IFile Create(string path) => new File(this, _disk.Create(path));

    public IFile Open(string path) => new File(this, _disk.Open(path));

    public void Rename(string from, string to) => _disk.Rename(from, to);

    public void Delete(string path) => _disk.Delete(path);

    public void SyncDirectory(string path) => _disk.SyncDirectory(path);

    public DiskSpace SpaceOf(string path) => _disk.SpaceOf(path);

    public IDisposable? TryLock(string directory) => _disk.TryLock(directory);

    private sealed class File(FailingDisk disk, IFile file) : IFile
    {
        private const int ErrorIo = 5;

        public string Path => file.Path;

        public long Length => file.Length;

        public int Read(Span<byte> buffer, long offset) => file.Read(buffer, offset);

        public void Write(ReadOnlySpan<byte> buffer, long offset) => file.Write(buffer, offset);

        public void Allocate(long length) => file.Allocate(length);

        public void Sync()
        {
            if (disk._failing)
            {
                throw new StorageException("sync failed", Path, 0, ErrorIo);
            }

            file.Sync();
        }

        public void Dispose() => file.Dispose();
    }
}
