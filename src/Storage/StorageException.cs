using System.Runtime.InteropServices;

namespace KvStore.Storage;

/// <summary>The disk failed or holds what it must not hold. The node stops; nothing is retried.</summary>
public class StorageException : Exception
{
    public StorageException()
    {
    }

    public StorageException(string message)
        : base(message)
    {
    }

    public StorageException(string message, Exception inner)
        : base(message, inner)
    {
    }

    public StorageException(string what, string path, long offset, int errno = 0, Exception? inner = null)
        : base(errno == 0 ? $"{what}: {path} at offset {offset}" : $"{what}: {path} at offset {offset} (errno {errno}: {Marshal.GetPInvokeErrorMessage(errno)})", inner)
    {
        Path = path;
        Offset = offset;
        Errno = errno;
    }

    public string? Path { get; }
    public long Offset { get; }

    /// <summary>The operating system's error number, 0 when the failure is not one of its calls.</summary>
    public int Errno { get; }

    /// <summary>There is no room on the disk, or none left for this user: nothing was lost, and there may be room again.</summary>
    public bool IsFull => Errno is NoSpace or QuotaExceeded;

    private const int NoSpace = 28;
    private const int QuotaExceeded = 122;
}

/// <summary>Bytes that were durable are damaged: the node refuses to start rather than forget what it acknowledged.</summary>
public sealed class CorruptStorageException : StorageException
{
    public CorruptStorageException()
    {
    }

    public CorruptStorageException(string message)
        : base(message)
    {
    }

    public CorruptStorageException(string message, Exception inner)
        : base(message, inner)
    {
    }

    public CorruptStorageException(string what, string path, long offset)
        : base(what, path, offset)
    {
    }
}

/// <summary>The log belongs to another cluster or another node. Nothing is damaged: the directory is the wrong one.</summary>
public sealed class ForeignLogException : StorageException
{
    public ForeignLogException()
    {
    }

    public ForeignLogException(string message)
        : base(message)
    {
    }

    public ForeignLogException(string message, Exception inner)
        : base(message, inner)
    {
    }

    public ForeignLogException(string what, string path)
        : base(what, path, 0)
    {
    }
}
