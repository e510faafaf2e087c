using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// Writes a group's snapshot file in bounded steps: sections, rows, footer, under a temporary name. <see cref="Finish"/> makes
/// it durable and gives it its name, in this order: sync the file, rename it, sync the directory. Before that a crash leaves a
/// temporary file that nobody reads; the log is cut only afterwards. One thread at a time; the caller keeps the rows'
/// snapshot open until the end and disposes it.
/// </summary>
public sealed class SnapshotWriter : IDisposable
{
    private const int PageRows = 1024;
    private const int PageBytes = 128 << 10;

    // The group's directory, the snapshots' directory, the node's directory.
    private const int DirectoryLevels = 3;

    private readonly IFileSystem _files;
    private readonly string _directory;
    private readonly string _name;
    private readonly string _temporaryPath;
    private readonly TableSnapshot _rows;
    private readonly IReadOnlyList<SnapshotSection> _sections;
    private readonly int[] _virtualNodes;
    private readonly List<SnapshotFormat.BlockEntry> _blocks = [];
    private readonly RowPage _page = new();
    private readonly uint _headerCrc;
    private IFile? _file;
    private long _offset;
    private long _rowCount;

    // The block that is being filled, with room for its header in front.
    private byte[] _block = new byte[SnapshotFormat.BlockHeaderBytes + (64 << 10)];
    private int _blockUsed = SnapshotFormat.BlockHeaderBytes;
    private int _blockRows;

    // Where writing stands: section and offset in it, then virtual node and key.
    private int _section;
    private int _sectionOffset;
    private int _node;
    private byte[] _from = [];
    private bool _isWritten;
    private bool _isFinished;

    public SnapshotWriter(
        IFileSystem files, string directory, SnapshotHeader header, TableSnapshot rows, IReadOnlyList<SnapshotSection> sections)
    {
        ArgumentNullException.ThrowIfNull(files);
        ArgumentNullException.ThrowIfNull(header);
        ArgumentNullException.ThrowIfNull(rows);
        Invariant.Check(header.Metadata.Index == rows.Index, "header and rows of a snapshot belong to one index");
        _files = files;
        _directory = directory;
        _rows = rows;
        _sections = sections;
        _virtualNodes = [.. header.VirtualNodes.Order()];
        _name = SnapshotName.Of(header.Metadata.Index, header.Metadata.Term);
        _temporaryPath = $"{directory}/{_name}{SnapshotName.TemporarySuffix}";
        files.CreateDirectory(directory);
        if (files.Exists(_temporaryPath))
        {
            files.Delete(_temporaryPath);
        }

        _file = files.Create(_temporaryPath);
        Append(SnapshotFormat.EncodeHeader(header with { VirtualNodes = _virtualNodes }, out _headerCrc));
    }

    /// <summary>Bytes written so far.</summary>
    public long Length => _offset;

    /// <summary>Goes on for about maxBytes, or one block more; true when everything, the footer included, is written.</summary>
    public bool Step(int maxBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxBytes);
        int budget = maxBytes;
        while (!_isWritten && budget > 0)
        {
            if (_section < _sections.Count)
            {
                budget -= WriteSectionBlock();
            }
            else if (_node < _virtualNodes.Length)
            {
                budget -= AddRows(budget);
            }
            else
            {
                Append(SnapshotFormat.EncodeFooter(_blocks, _rowCount, _headerCrc));
                _isWritten = true;
            }
        }

        return _isWritten;
    }

    /// <summary>Makes the file durable under its name, and answers the name in the directory.</summary>
    public string Finish()
    {
        Invariant.Check(_isWritten && !_isFinished && _file is not null, "a snapshot file is finished once, when all of it is written");
        _file.Sync();
        _file.Dispose();
        _file = null;
        _files.Rename(_temporaryPath, $"{_directory}/{_name}");
        _isFinished = true;

        // snap/[group] and snap itself may be as new as the file: a name is durable when every name on the way to it is.
        string directory = _directory;
        for (int level = 0; level < DirectoryLevels && directory.Length > 0; level++)
        {
            _files.SyncDirectory(directory);
            directory = Parent(directory);
        }

        return _name;
    }

    /// <summary>Without <see cref="Finish"/> nothing stays.</summary>
    public void Dispose()
    {
        _file?.Dispose();
        _file = null;
        if (!_isFinished)
        {
            _isFinished = true;
            _files.Delete(_temporaryPath);
        }
    }

    /// <summary>Empty: the path has no directory above.</summary>
    private static string Parent(string path)
    {
        int slash = path.LastIndexOf('/');
        return slash > 0 ? path[..slash] : slash == 0 && path.Length > 1 ? "/" : slash < 0 && path != "." ? "." : "";
    }

    private int WriteSectionBlock()
    {
        SnapshotSection section = _sections[_section];
        Invariant.Check(section.Kind is not (0 or SnapshotFormat.RowKind), "a section's kind is its own");
        ReadOnlySpan<byte> rest = section.Data.Span[_sectionOffset..];
        ReadOnlySpan<byte> piece = rest[..Math.Min(rest.Length, SnapshotFormat.TargetBlockBytes)];
        piece.CopyTo(Reserve(piece.Length));
        bool isEnd = piece.Length == rest.Length;
        WriteBlock(section.VirtualNode, section.Kind, isEnd ? 1 : 0);
        _section += isEnd ? 1 : 0;
        _sectionOffset = isEnd ? 0 : _sectionOffset + piece.Length;
        return SnapshotFormat.BlockHeaderBytes + piece.Length;
    }

    /// <summary>Adds a page of rows to the block; writes the block when it is full or its virtual node ends.</summary>
    private int AddRows(int budget)
    {
        int virtualNode = _virtualNodes[_node];
        _rows.ReadPageWithExpired(virtualNode, _from, PageRows, Math.Min(budget, PageBytes), _page);
        int added = SnapshotFormat.BlockHeaderBytes;
        for (int row = 0; row < _page.Count; row++)
        {
            RecordMeta meta = _page.Meta(row);
            int bytes = SnapshotFormat.RowBytes(_page.Key(row).Length, meta);
            if (_blockRows > 0 && _blockUsed - SnapshotFormat.BlockHeaderBytes + bytes > SnapshotFormat.TargetBlockBytes)
            {
                WriteRowBlock(virtualNode);
            }

            SnapshotFormat.EncodeRow(Reserve(bytes), _page.Key(row), _page.Value(row), meta);
            _blockRows++;
            added += bytes;
        }

        if (!_page.IsLast)
        {
            _from = _page.ResumeFrom.ToArray();
            return added;
        }

        if (_blockRows > 0)
        {
            WriteRowBlock(virtualNode);
        }

        _node++;
        _from = [];
        return added;
    }

    private void WriteRowBlock(int virtualNode)
    {
        _rowCount += _blockRows;
        WriteBlock(virtualNode, SnapshotFormat.RowKind, _blockRows);
        _blockRows = 0;
    }

    private Span<byte> Reserve(int bytes)
    {
        if (_block.Length < _blockUsed + bytes)
        {
            Array.Resize(ref _block, Math.Max(_blockUsed + bytes, _block.Length * 2));
        }

        _blockUsed += bytes;
        return _block.AsSpan(_blockUsed - bytes, bytes);
    }

    private void WriteBlock(int virtualNode, byte kind, int count)
    {
        Span<byte> block = _block.AsSpan(0, _blockUsed);
        _blocks.Add(SnapshotFormat.SealBlock(block, _offset, virtualNode, kind, count));
        Append(block);
        _blockUsed = SnapshotFormat.BlockHeaderBytes;
    }

    private void Append(ReadOnlySpan<byte> bytes)
    {
        Invariant.Check(_file is not null, "an open snapshot file");
        _file.Write(bytes, _offset);
        _offset += bytes.Length;
    }
}
