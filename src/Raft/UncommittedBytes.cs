namespace KvStore.Raft;

/// <summary>
/// Charged bytes a leader has appended in its term and not committed. Without the limit a leader that lost its quorum would
/// take proposals into memory until the next quorum check.
/// </summary>
internal sealed class UncommittedBytes(long limit)
{
    private readonly Queue<(ulong Index, long Bytes)> _entries = new();
    private long _total;

    /// <summary>An entry larger than the limit still passes when nothing else is uncommitted, or it could never pass.</summary>
    public bool HasRoomFor(long bytes) => _total == 0 || _total + bytes <= limit;

    public void Add(ulong index, long bytes)
    {
        _entries.Enqueue((index, bytes));
        _total += bytes;
    }

    public void CommittedTo(ulong index)
    {
        while (_entries.TryPeek(out (ulong Index, long Bytes) first) && first.Index <= index)
        {
            _total -= first.Bytes;
            _entries.Dequeue();
        }
    }

    public void Clear()
    {
        _entries.Clear();
        _total = 0;
    }
}
