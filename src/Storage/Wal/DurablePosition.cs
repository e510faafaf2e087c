using System.Buffers.Binary;

namespace KvStore.Storage;

/// <summary>
/// How far the log is known to be durable, kept in a file of its own beside the segments: the newest batch has no later one to vouch
/// for it, and a file that is gone cannot speak for itself. The file <c>position</c> has two blocks of 4,096 bytes, written in turn, so that
/// a torn write leaves the other one whole. Integers are little-endian.
/// <code>
/// offset  bytes  field
///      0      8  magic "KVSTPOS1"
///      8      2  format version, 1
///     10      6  zero
///     16      8  segment number
///     24      8  LSN: that segment has its name and is durable up to here
///     32      4  CRC-32C of the 32 bytes before, continuing the checksum of (cluster id, node uuid)
///     36   4060  zero
/// </code>
/// The higher of the blocks that verify counts. It is written after every sync of the log and before anybody is told of it, and never
/// synced itself but once at a start. So after a kill it names the last batch that was acknowledged; after a power cut an older one, at most by what
/// the system takes to write a page back. It never says too much. A block that does not verify says nothing: a witness that is
/// gone accuses nobody.
/// </summary>
internal sealed class DurablePosition : IDisposable
{
    public const string FileName = "position";
    public const int BlockBytes = 4096;

    private const ushort Version = 1;
    private const int VersionAt = 8;
    private const int SegmentAt = 16;
    private const int LsnAt = 24;
    private const int ChecksumAt = 32;

    private readonly IFile _file;
    private readonly uint _identitySeed;
    private readonly byte[] _block = new byte[BlockBytes];
    private int _nextBlock;

    private DurablePosition(IFile file, uint identitySeed, int nextBlock)
    {
        _file = file;
        _identitySeed = identitySeed;
        _nextBlock = nextBlock;
    }

    private static ReadOnlySpan<byte> Magic => "KVSTPOS1"u8;

    public static string PathIn(string directory) => $"{directory}/{FileName}";

    /// <summary>What the file states; (0, 0) when there is none, or none that verifies.</summary>
    public static (ulong Segment, ulong Lsn) Read(IFileSystem files, string directory, uint identitySeed)
    {
        if (!files.Exists(PathIn(directory)))
        {
            return default;
        }

        using IFile file = files.Open(PathIn(directory));
        return Newest(file, identitySeed, out _);
    }

    /// <summary>For writing. A new file's name is durable once the directory is synced.</summary>
    public static DurablePosition Open(IFileSystem files, string directory, uint identitySeed)
    {
        string path = PathIn(directory);
        IFile file = files.Exists(path) ? files.Open(path) : files.Create(path);
        try
        {
            if (file.Length != 2 * BlockBytes)
            {
                file.Allocate(2 * BlockBytes);
                file.Sync();
            }

            Newest(file, identitySeed, out int newest);
            return new DurablePosition(file, identitySeed, 1 - newest);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public void Write(ulong segment, ulong lsn)
    {
        Fill(_block, _identitySeed, segment, lsn);
        _file.Write(_block, (long)_nextBlock * BlockBytes);
        _nextBlock = 1 - _nextBlock;
    }

    public void Sync() => _file.Sync();

    public void Dispose() => _file.Dispose();

    internal static void Fill(Span<byte> block, uint identitySeed, ulong segment, ulong lsn)
    {
        Magic.CopyTo(block);
        BinaryPrimitives.WriteUInt16LittleEndian(block[VersionAt..], Version);
        BinaryPrimitives.WriteUInt64LittleEndian(block[SegmentAt..], segment);
        BinaryPrimitives.WriteUInt64LittleEndian(block[LsnAt..], lsn);
        BinaryPrimitives.WriteUInt32LittleEndian(block[ChecksumAt..], Crc32C.Append(identitySeed, block[..ChecksumAt]));
    }

    private static (ulong Segment, ulong Lsn) Newest(IFile file, uint identitySeed, out int block)
    {
        (ulong Segment, ulong Lsn) newest = default;
        block = 1;
        Span<byte> bytes = stackalloc byte[ChecksumAt + sizeof(uint)];
        for (int i = 0; i < 2; i++)
        {
            if (file.Read(bytes, (long)i * BlockBytes) < bytes.Length || !bytes[..Magic.Length].SequenceEqual(Magic)
                || BinaryPrimitives.ReadUInt32LittleEndian(bytes[ChecksumAt..]) != Crc32C.Append(identitySeed, bytes[..ChecksumAt]))
            {
                continue;
            }

            ushort version = BinaryPrimitives.ReadUInt16LittleEndian(bytes[VersionAt..]);
            if (version != Version)
            {
                throw new StorageException(
                    $"position format version {version} is not known here (this build reads {Version}); start the build that wrote it",
                    file.Path, (long)i * BlockBytes + VersionAt);
            }

            (ulong, ulong) found = (
                BinaryPrimitives.ReadUInt64LittleEndian(bytes[SegmentAt..]), BinaryPrimitives.ReadUInt64LittleEndian(bytes[LsnAt..]));
            if (found.CompareTo(newest) > 0)
            {
                (newest, block) = (found, i);
            }
        }

        return newest;
    }
}
