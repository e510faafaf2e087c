namespace KvStore.Storage;

/// <summary>
/// The operating system's files as the store sees them: the only way to a disk. Two implementations: the real one, and the
/// simulated one that forgets what was not synced. Paths use '/'. Calls block; every failure is a
/// <see cref="StorageException"/> with file and offset.
/// </summary>
public interface IFileSystem
{
    /// <summary>Creates a directory and its parents. Durable after <see cref="SyncDirectory"/> of each parent.</summary>
    void CreateDirectory(string path);

    bool Exists(string path);

    /// <summary>File names (not paths) in a directory in ordinal order; empty when there is no such directory.</summary>
    IReadOnlyList<string> ListFiles(string directory);

    /// <summary>
    /// Creates a file that must not exist yet, for reading and writing. The name is durable after <see cref="SyncDirectory"/>.
    /// </summary>
    IFile Create(string path);

    /// <summary>Opens an existing file for reading and writing.</summary>
    IFile Open(string path);

    /// <summary>Replaces the target atomically. Durable after <see cref="SyncDirectory"/>.</summary>
    void Rename(string from, string to);

    void Delete(string path);

    void SyncDirectory(string path);

    /// <summary>Of the disk that holds a path, which exists: all of it, and what this process may still take.</summary>
    DiskSpace SpaceOf(string path);

    /// <summary>
    /// Takes an exclusive lock on an existing directory that ends with the process, or answers null when somebody else holds it.
    /// </summary>
    IDisposable? TryLock(string directory);
}

/// <summary>Bytes; <see cref="long.MaxValue"/> where there is no limit.</summary>
public readonly record struct DiskSpace(long TotalBytes, long FreeBytes);

/// <summary>An open file. Reads may come from any thread; writes and syncs from one at a time.</summary>
public interface IFile : IDisposable
{
    string Path { get; }

    long Length { get; }

    /// <summary>Reads up to buffer.Length bytes; fewer only at the end of the file.</summary>
    int Read(Span<byte> buffer, long offset);

    /// <summary>Writes all of buffer (short writes are continued).</summary>
    void Write(ReadOnlySpan<byte> buffer, long offset);

    /// <summary>Makes the file length bytes long, with disk blocks behind it; new bytes read as zero.</summary>
    void Allocate(long length);

    /// <summary>fdatasync. A failure is final: the caller stops, it never tries again.</summary>
    void Sync();
}
