// The one file that talks to the operating system, so the one file in which System.IO is not banned.
#pragma warning disable RS0030

using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace KvStore.Storage;

/// <summary>
/// The real disk (Linux). Reading and writing go through <see cref="RandomAccess"/>. Syncing does not: the runtime's own calls
/// (RandomAccess.FlushToDisk, FileStream.Flush(true)) return normally when fsync fails, so a node built on them would
/// acknowledge what the disk has refused. fdatasync and fsync are called in libc and errno is read at once.
/// </summary>
public sealed partial class OsFileSystem : IFileSystem
{
    private const int OpenReadOnly = 0;
    private const int OpenCloseOnExec = 0x80000;

    /// <summary>The number differs between architectures: it is one of the few open flags Linux never unified.</summary>
    private static readonly int OpenDirectory =
        RuntimeInformation.ProcessArchitecture is Architecture.Arm64 or Architecture.Arm ? 0x4000 : 0x10000;

    public OsFileSystem()
    {
        if (!OperatingSystem.IsLinux())
        {
            throw new PlatformNotSupportedException(
                "The store promises durability only where it can check that a sync has worked; that is implemented for Linux.");
        }
    }

    public void CreateDirectory(string path) => Run("cannot create directory", path, () => Directory.CreateDirectory(path));

    public bool Exists(string path) => Path.Exists(path);

    public IReadOnlyList<string> ListFiles(string directory)
    {
        if (!Directory.Exists(directory))
        {
            return [];
        }

        string[] names = Run("cannot list directory", directory, () => Directory.GetFiles(directory));
        for (int i = 0; i < names.Length; i++)
        {
            names[i] = Path.GetFileName(names[i]);
        }

        Array.Sort(names, StringComparer.Ordinal);
        return names;
    }

    public IFile Create(string path) => new OsFile(path, OpenHandle(path, FileMode.CreateNew));

    public IFile Open(string path) => new OsFile(path, OpenHandle(path, FileMode.Open));

    public void Rename(string from, string to) => Run("cannot rename", from, () => File.Move(from, to, overwrite: true));

    public void Delete(string path) => Run("cannot delete", path, () => File.Delete(path));

    public void SyncDirectory(string path)
    {
        // .NET cannot open a directory, and without this call a created or renamed file may be gone after a power cut.
        int descriptor = OpenFolder(path);
        if (descriptor < 0)
        {
            throw new StorageException("cannot open directory to sync it", path, 0, Marshal.GetLastPInvokeError());
        }

        int errno = SyncDescriptor(descriptor, fsync);
        _ = close(descriptor);
        if (errno != 0)
        {
            throw new StorageException("directory sync failed", path, 0, errno);
        }
    }

    public DiskSpace SpaceOf(string path) => Run("cannot see how much room there is", path, () =>
    {
        // Any directory will do on Unix, it need not be where the disk is mounted.
        var disk = new DriveInfo(path);
        return new DiskSpace(disk.TotalSize, disk.AvailableFreeSpace);
    });

    public IDisposable? TryLock(string directory)
    {
        // The directory itself: a file in it can be removed, and whoever comes next makes and locks another one.
        int descriptor = OpenFolder(directory);
        if (descriptor < 0)
        {
            throw new StorageException("cannot lock", directory, 0, Marshal.GetLastPInvokeError());
        }

        var held = new SafeFileHandle(descriptor, ownsHandle: true);
        int errno;
        while ((errno = flock(descriptor, LockExclusive | LockOrFail) == 0 ? 0 : Marshal.GetLastPInvokeError()) == Interrupted)
        {
            // a signal is not an answer
        }

        // A network file system may have no locks for what is open for reading only, which a directory always is: there the file is all.
        if (errno is not (0 or BadDescriptor or NotSupported or NoLocks))
        {
            held.Dispose();
            return errno == WouldBlock ? null : throw new StorageException("cannot lock", directory, 0, errno);
        }

        try
        {
            if (TryLockFile($"{directory}/LOCK") is { } file)
            {
                return new DirectoryLock(held, file);
            }
        }
        catch
        {
            held.Dispose();
            throw;
        }

        held.Dispose();
        return null;
    }

    /// <summary>What builds of before lock: they and we keep each other out by it.</summary>
    private static SafeFileHandle? TryLockFile(string path)
    {
        try
        {
            // FileShare.None is flock(LOCK_EX | LOCK_NB): the kernel drops it when the process ends, however it ends.
            return File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException held) when (Errno(held) == WouldBlock)
        {
            return null;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new StorageException("cannot lock", path, 0, Errno(failure), failure);
        }
    }

    private const int LockExclusive = 2;
    private const int LockOrFail = 4;
    private const int Interrupted = 4;
    private const int WouldBlock = 11;
    private const int TooManyInSystem = 23;
    private const int TooManyInProcess = 24;
    private const int DescriptorPollMicroseconds = 10_000;
    private const int BadDescriptor = 9;
    private const int InvalidArgument = 22;
    private const int NoLocks = 37;
    private const int NotSupported = 95;

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int open(string path, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int close(int descriptor);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int usleep(uint microseconds);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int flock(int descriptor, int operation);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fsync(int descriptor);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fdatasync(int descriptor);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fallocate(int descriptor, int mode, long offset, long length);

    /// <summary>0, or the errno of the failure. A signal is not a failure; everything else is, once and for all.</summary>
    internal static int SyncDescriptor(int descriptor) => SyncDescriptor(descriptor, fdatasync);

    private static int SyncDescriptor(int descriptor, Func<int, int> sync)
    {
        while (sync(descriptor) != 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            if (errno != Interrupted)
            {
                return errno;
            }
        }

        return 0;
    }

    private static SafeFileHandle OpenHandle(string path, FileMode mode) =>
        Run("cannot open", path, () => File.OpenHandle(path, mode, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete));

    private static void Run(string what, string path, Action call) => Run(what, path, () =>
    {
        call();
        return 0;
    });

    private static T Run<T>(string what, string path, Func<T> call, long offset = 0)
    {
        while (true)
        {
            try
            {
                return call();
            }
            catch (IOException failure) when (IsOutOfDescriptors(Errno(failure)))
            {
                WaitForDescriptor();
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
            {
                throw new StorageException(what, path, offset, Errno(failure), failure);
            }
        }
    }

    /// <summary>
    /// The process, or the machine, has as many files open as it may. Nothing is lost by that, and somebody will close one: the call waits, as it
    /// would for a disk that is slow, and whoever watches over slow disks sees that.
    /// </summary>
    private static bool IsOutOfDescriptors(int errno) => errno is TooManyInProcess or TooManyInSystem;

    private static void WaitForDescriptor() => _ = usleep(DescriptorPollMicroseconds);

    private static int OpenFolder(string path)
    {
        int descriptor;
        while ((descriptor = open(path.Length == 0 ? "." : path, OpenReadOnly | OpenDirectory | OpenCloseOnExec)) < 0
            && IsOutOfDescriptors(Marshal.GetLastPInvokeError()))
        {
            WaitForDescriptor();
        }

        return descriptor;
    }

    /// <summary>On Unix the runtime keeps the system's error number in HResult; codes of its own have the top bit set.</summary>
    private static int Errno(Exception failure) => failure.HResult is > 0 and < 4096 ? failure.HResult : 0;

    private sealed class DirectoryLock(SafeFileHandle directory, SafeFileHandle file) : IDisposable
    {
        public void Dispose()
        {
            file.Dispose();
            directory.Dispose();
        }
    }

    private sealed class OsFile(string path, SafeFileHandle handle) : IFile
    {
        public string Path => path;

        public long Length => Run("cannot read length", path, () => RandomAccess.GetLength(handle));

        public int Read(Span<byte> buffer, long offset)
        {
            int done = 0;
            while (done < buffer.Length)
            {
                int count;
                try
                {
                    count = RandomAccess.Read(handle, buffer[done..], offset + done);
                }
                catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
                {
                    throw new StorageException("read failed", path, offset + done, Errno(failure), failure);
                }

                if (count == 0)
                {
                    break;
                }

                done += count;
            }

            return done;
        }

        public void Write(ReadOnlySpan<byte> buffer, long offset)
        {
            try
            {
                // Continues short writes itself.
                RandomAccess.Write(handle, buffer, offset);
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
            {
                throw new StorageException("write failed", path, offset, Errno(failure), failure);
            }
        }

        public void Allocate(long length)
        {
            long current = Length;
            if (length > current)
            {
                // Blocks are reserved now, so that a full disk shows here and not under an acknowledged write.
                while (fallocate(Descriptor, 0, 0, length) != 0)
                {
                    int errno = Marshal.GetLastPInvokeError();
                    if (errno is NotSupported or InvalidArgument)
                    {
                        break;
                    }

                    if (errno != Interrupted)
                    {
                        throw new StorageException("cannot allocate", path, length, errno);
                    }
                }
            }

            if (Length != length)
            {
                Run("cannot set length", path, () => RandomAccess.SetLength(handle, length));
            }
        }

        public void Sync()
        {
            int errno = SyncDescriptor(Descriptor);
            if (errno != 0)
            {
                throw new StorageException("sync failed", path, 0, errno);
            }
        }

        public void Dispose() => handle.Dispose();

        // The owner of the file is the only one to close it, so the descriptor stays its own for the length of the call.
        private int Descriptor => (int)handle.DangerousGetHandle();
    }
}
