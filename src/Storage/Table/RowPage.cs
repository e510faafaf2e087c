namespace KvStore.Storage;

/// <summary>Rows copied out of a snapshot. Reusable: the next read replaces them, and the buffers stay.</summary>
public sealed class RowPage
{
    private byte[] _bytes = [];
    private Row[] _rows = [];
    private byte[] _resumeFrom = [];
    private int _used;
    private bool _keysOnly;
    private int _maxRows;
    private int _maxBytes;

    public int Count { get; private set; }

    /// <summary>True: the range holds nothing after these rows. False: there may be more.</summary>
    public bool IsLast { get; internal set; }

    /// <summary>The smallest key after the last row.</summary>
    public ReadOnlySpan<byte> ResumeFrom
    {
        get
        {
            // The key's successor is the key and a zero byte.
            ReadOnlySpan<byte> last = Key(Count - 1);
            if (_resumeFrom.Length != last.Length + 1)
            {
                _resumeFrom = new byte[last.Length + 1];
            }

            last.CopyTo(_resumeFrom);
            return _resumeFrom;
        }
    }

    internal Mark Position => new(Count, _used);

    public ReadOnlySpan<byte> Key(int row) => _bytes.AsSpan(At(row).Start, At(row).KeyLength);

    /// <summary>Empty when only keys were asked for.</summary>
    public ReadOnlySpan<byte> Value(int row) => _bytes.AsSpan(At(row).Start + At(row).KeyLength, At(row).ValueLength);

    public RecordMeta Meta(int row) => At(row).Meta;

    internal void Begin(bool keysOnly, int maxRows, int maxBytes)
    {
        _keysOnly = keysOnly;
        _maxRows = maxRows;
        _maxBytes = maxBytes;
        IsLast = false;
        RollBack(default);
    }

    internal void RollBack(Mark position) => (Count, _used) = (position.Count, position.Used);

    /// <summary>False: the page is full.</summary>
    internal bool TryAppend(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, RecordMeta meta)
    {
        if (_keysOnly)
        {
            value = default;
        }

        int length = key.Length + value.Length;
        if (Count == _maxRows || (Count > 0 && _used + length > _maxBytes))
        {
            return false;
        }

        if (_bytes.Length < _used + length)
        {
            Array.Resize(ref _bytes, Math.Max(_used + length, _bytes.Length * 2));
        }

        if (_rows.Length == Count)
        {
            Array.Resize(ref _rows, Math.Max(16, Count * 2));
        }

        key.CopyTo(_bytes.AsSpan(_used));
        value.CopyTo(_bytes.AsSpan(_used + key.Length));
        _rows[Count++] = new Row(_used, key.Length, value.Length, meta);
        _used += length;
        return true;
    }

    private Row At(int row)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)row, (uint)Count, nameof(row));
        return _rows[row];
    }

    internal readonly record struct Mark(int Count, int Used);

    private readonly record struct Row(int Start, int KeyLength, int ValueLength, RecordMeta Meta);
}
