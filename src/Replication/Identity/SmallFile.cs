using System.Buffers.Binary;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// A file of a few hundred bytes that is replaced as a whole: written beside its place, synced, renamed over it, directory
/// synced. After a crash there is the old content or the new one, never a mixture. Numbers little-endian.
/// <code>
///   0        8         10        12         16               16 + length
///  +--------+---------+---------+----------+----------------+----------+
///  | magic  | version | zero    | length   | payload        | crc32c   |
///  | 8      | u16     | u16     | u32      | length bytes   | u32      |
///  +--------+---------+---------+----------+----------------+----------+
///            the checksum covers everything before it
/// </code>
/// The version rises when a field is added or changes its meaning; a program reads its own version and older ones, and says which one
/// a file has to whoever decodes it.
/// </summary>
internal static class SmallFile
{
    private const int HeaderBytes = 16;
    private const int MaxBytes = 1 << 20;
    private const int SpareBytes = 4096;

    /// <summary>A file's content and the version that says how to read it.</summary>
    internal sealed record Content(ushort Version, byte[] Payload);

    /// <summary>The content, or null when there is no such file.</summary>
    /// <param name="files">The disk.</param>
    /// <param name="path">The file.</param>
    /// <param name="magic">Its first eight bytes.</param>
    /// <param name="min">Oldest version that can be decoded.</param>
    /// <param name="max">Newest.</param>
    public static Content? Read(IFileSystem files, string path, ReadOnlySpan<byte> magic, ushort min, ushort max)
    {
        if (!files.Exists(path))
        {
            return null;
        }

        using var file = files.Open(path);
        if (file.Length is < HeaderBytes + sizeof(uint) or > MaxBytes)
        {
            throw new CorruptStorageException($"the file has {file.Length} bytes, which it cannot have", path, 0);
        }

        var bytes = new byte[file.Length];
        file.Read(bytes, 0);
        var body = bytes.AsSpan(0, bytes.Length - sizeof(uint));
        if (Crc32C.Append(0, body) != BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(body.Length)))
        {
            throw new CorruptStorageException("the checksum is wrong", path, body.Length);
        }

        if (!body[..8].SequenceEqual(magic))
        {
            throw new CorruptStorageException("the file is something else", path, 0);
        }

        ushort found = BinaryPrimitives.ReadUInt16LittleEndian(body[8..]);
        if (found < min || found > max)
        {
            throw new StorageException($"version {found} of this file is not known to this program (it knows {Range(min, max)}); "
                + $"start {(found > max ? "a newer" : "an older")} program", path, 8);
        }

        return BinaryPrimitives.ReadUInt32LittleEndian(body[12..]) == body.Length - HeaderBytes
            ? new Content(found, body[HeaderBytes..].ToArray())
            : throw new CorruptStorageException("the length is wrong", path, 12);
    }

    public static void Replace(
        IFileSystem files, string directory, string name, ReadOnlySpan<byte> magic, ushort version, ReadOnlySpan<byte> payload)
    {
        var bytes = new byte[HeaderBytes + payload.Length + sizeof(uint)];
        magic.CopyTo(bytes);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(8), version);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(12), (uint)payload.Length);
        payload.CopyTo(bytes.AsSpan(HeaderBytes));
        var body = bytes.AsSpan(0, HeaderBytes + payload.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(body.Length), Crc32C.Append(0, body));

        var path = $"{directory}/{name}";
        var spare = $"{path}.spare";
        var temporary = $"{path}.tmp";
        // One that a crash before the rename has left is as good as the spare: it has its block, and nobody reads it.
        if (!files.Exists(temporary) && files.Exists(spare))
        {
            files.Rename(spare, temporary);
        }

        using (var file = files.Exists(temporary) ? files.Open(temporary) : files.Create(temporary))
        {
            // Into blocks that are there already, so that a disk without room does not keep a node from starting.
            file.Write(bytes, 0);
            file.Allocate(bytes.Length);
            file.Sync();
        }

        files.Rename(temporary, path);
        files.SyncDirectory(directory);
        ProvideSpare(files, spare);
    }

    /// <summary>The next content has its block already. When there is no room for it, it may find some itself.</summary>
    private static void ProvideSpare(IFileSystem files, string spare)
    {
        IFile? file = null;
        try
        {
            if (files.Exists(spare))
            {
                return;
            }

            file = files.Create(spare);
            file.Allocate(SpareBytes);
        }
        catch (StorageException failure) when (failure.IsFull && file is not null)
        {
            file.Dispose();
            files.Delete(spare);
        }
        catch (StorageException failure) when (failure.IsFull)
        {
            // Not even a name.
        }
        finally
        {
            file?.Dispose();
        }
    }

    private static string Range(ushort min, ushort max) => min == max ? $"{min}" : $"{min} to {max}";
}
