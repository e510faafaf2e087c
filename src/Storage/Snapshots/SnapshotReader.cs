using System.Buffers;

namespace KvStore.Storage;

/// <summary>
/// Reads a snapshot file. Opening checks header and footer and reads the sections; a row is seen only after the checksum of
/// its block. Any damage is a <see cref="CorruptStorageException"/> with file and offset, never a row that was not written.
/// </summary>
public sealed class SnapshotReader : ISortedRowSource, IDisposable
{
    private readonly IFile _file;
    private readonly SnapshotFormat.BlockEntry[] _blocks;
    private readonly long _rowCount;
    private byte[] _block = [];
    private int _nextBlock;
    private int _rowStart;
    private int _blockEnd;
    private int _rowsLeft;
    private long _rowsRead;
    private int _keyStart;
    private int _keyLength;

    private SnapshotReader(IFile file)
    {
        _file = file;
        Header = ReadHeader(out uint headerCrc, out long headerEnd);
        _blocks = ReadFooter(headerCrc, headerEnd, out _rowCount);
        Sections = ReadSections();
    }

    /// <summary>Of the file.</summary>
    public string Path => _file.Path;

    public SnapshotHeader Header { get; }

    public IReadOnlyList<SnapshotSection> Sections { get; }

    public int VirtualNode { get; private set; }

    public ReadOnlySpan<byte> Key => _block.AsSpan(_keyStart, _keyLength);

    public ReadOnlySpan<byte> Value => _block.AsSpan(_keyStart + _keyLength, Meta.ValueLength);

    public RecordMeta Meta { get; private set; }

    public static SnapshotReader Open(IFileSystem files, string path)
    {
        ArgumentNullException.ThrowIfNull(files);
        IFile file = files.Open(path);
        try
        {
            return new SnapshotReader(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public bool MoveNext()
    {
        if (_rowsLeft == 0)
        {
            if (_nextBlock == _blocks.Length)
            {
                CheckIsWhole(_rowsRead == _rowCount, "the file has another number of rows than its footer says", _file.Length);
                return false;
            }

            OpenBlock(_blocks[_nextBlock++]);
        }

        ReadOnlySpan<byte> rest = _block.AsSpan(_rowStart, _blockEnd - _rowStart);
        bool isRow = SnapshotFormat.TryDecodeRow(rest, out int keyStart, out _keyLength, out RecordMeta meta);
        CheckIsWhole(isRow, "a row that is none", OffsetOf(_rowStart));
        _keyStart = _rowStart + keyStart;
        Meta = meta;
        _rowStart = _keyStart + _keyLength + meta.ValueLength;
        _rowsLeft--;
        _rowsRead++;
        CheckIsWhole(_rowsLeft > 0 || _rowStart == _blockEnd, "bytes after the last row of a block", OffsetOf(_rowStart));
        return true;
    }

    public void Dispose() => _file.Dispose();

    private SnapshotHeader ReadHeader(out uint crc, out long end)
    {
        Span<byte> prefix = stackalloc byte[SnapshotFormat.HeaderPrefixBytes];
        ReadExactly(prefix, 0);
        int length = SnapshotFormat.HeaderLength(prefix, out ushort version);
        CheckIsWhole(length > 0, "no snapshot header", 0);
        byte[] bytes = new byte[length];
        ReadExactly(bytes, 0);
        CheckIsWhole(SnapshotFormat.HeaderIsWhole(bytes, out crc), "damaged snapshot header", 0);
        if (!SnapshotFormat.IsKnown(version))
        {
            throw new StorageException(
                $"Snapshot format version {version} is not known, only versions up to {SnapshotFormat.Version} are", _file.Path, 8);
        }

        bool isValid = SnapshotFormat.TryDecodeHeader(bytes, out SnapshotHeader header);
        CheckIsWhole(isValid, "a snapshot header that is none", 0);
        end = length;
        return header;
    }

    private SnapshotFormat.BlockEntry[] ReadFooter(uint headerCrc, long headerEnd, out long rowCount)
    {
        long tailStart = _file.Length - SnapshotFormat.FooterTailBytes;
        CheckIsWhole(tailStart >= headerEnd, "the snapshot has no footer", _file.Length);
        Span<byte> tail = stackalloc byte[SnapshotFormat.FooterTailBytes];
        ReadExactly(tail, tailStart);
        long length = SnapshotFormat.FooterLength(tail);
        long start = _file.Length - length;
        bool isPlausible = length is >= SnapshotFormat.FooterTailBytes and <= int.MaxValue && start >= headerEnd;
        CheckIsWhole(isPlausible, "no snapshot footer", tailStart);
        byte[] footer = new byte[length];
        ReadExactly(footer, start);
        bool isValid = SnapshotFormat.TryDecodeFooter(
            footer, out SnapshotFormat.BlockEntry[] blocks, out rowCount, out uint footersHeaderCrc);
        CheckIsWhole(isValid, "damaged snapshot footer", start);
        CheckIsWhole(footersHeaderCrc == headerCrc, "header and footer belong to different snapshots", 0);
        long expected = headerEnd;
        foreach (SnapshotFormat.BlockEntry block in blocks)
        {
            bool fits = block.Offset == expected && block.DataBytes is >= 0 and <= SnapshotFormat.MaxBlockBytes && block.End <= start
                && block.Count >= (block.Kind == SnapshotFormat.RowKind ? 1 : 0);
            CheckIsWhole(fits, "a block index with a gap", start);
            expected = block.End;
        }

        CheckIsWhole(expected == start, "bytes that belong to no block", expected);
        return blocks;
    }

    private List<SnapshotSection> ReadSections()
    {
        var sections = new List<SnapshotSection>();
        var data = new ArrayBufferWriter<byte>();
        while (_nextBlock < _blocks.Length && _blocks[_nextBlock].Kind != SnapshotFormat.RowKind)
        {
            SnapshotFormat.BlockEntry block = _blocks[_nextBlock++];
            data.Write(ReadBlock(block));
            if (block.Count > 0)
            {
                sections.Add(new SnapshotSection(block.VirtualNode, block.Kind, data.WrittenSpan.ToArray()));
                data.ResetWrittenCount();
            }
        }

        return sections;
    }

    private void OpenBlock(SnapshotFormat.BlockEntry entry)
    {
        CheckIsWhole(entry.Kind == SnapshotFormat.RowKind, "a section among the rows", entry.Offset);
        ReadBlock(entry);
        VirtualNode = entry.VirtualNode;
        _rowsLeft = entry.Count;
        _rowStart = SnapshotFormat.BlockHeaderBytes;
        _blockEnd = _rowStart + entry.DataBytes;
    }

    private ReadOnlySpan<byte> ReadBlock(SnapshotFormat.BlockEntry entry)
    {
        int length = SnapshotFormat.BlockHeaderBytes + entry.DataBytes;
        if (_block.Length < length)
        {
            _block = new byte[Math.Max(length, _block.Length * 2)];
        }

        Span<byte> block = _block.AsSpan(0, length);
        ReadExactly(block, entry.Offset);
        CheckIsWhole(SnapshotFormat.IsBlock(block, entry), "damaged snapshot block", entry.Offset);
        return block[SnapshotFormat.BlockHeaderBytes..];
    }

    private long OffsetOf(int positionInBlock) => _blocks[_nextBlock - 1].Offset + positionInBlock;

    private void ReadExactly(Span<byte> buffer, long offset) =>
        CheckIsWhole(_file.Read(buffer, offset) == buffer.Length, "the snapshot file ends too early", offset);

    private void CheckIsWhole(bool isWhole, string damage, long offset)
    {
        if (!isWhole)
        {
            throw new CorruptStorageException($"Snapshot damaged ({damage})", _file.Path, offset);
        }
    }
}
