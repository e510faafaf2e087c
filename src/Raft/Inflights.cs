namespace KvStore.Raft;

/// <summary>
/// Appends sent to one follower and not yet acknowledged: a ring of (last index, charged bytes). Bounded in messages and in
/// bytes, so that one slow follower costs the leader a window of memory and not the whole log.
/// </summary>
internal sealed class Inflights(int maxCount, long maxBytes)
{
    private const int InitialCapacity = 4;

    // Invariant: [_start, _start + Count) modulo length are the appends in flight, last indices ascending. Grows up to maxCount.
    private (ulong LastIndex, long Bytes)[] _ring = [];
    private int _start;

    public int Count { get; private set; }

    public long Bytes { get; private set; }

    /// <summary>
    /// The byte limit is soft: an append is sent while there is any room, so one that is larger than the whole window still
    /// goes through when nothing else is in flight.
    /// </summary>
    public bool IsFull => Count == maxCount || Bytes >= maxBytes;

    public void Add(ulong lastIndex, long bytes)
    {
        Invariant.Check(!IsFull, "nothing is sent into a full window");
        if (Count == _ring.Length)
        {
            Grow();
        }

        _ring[(_start + Count) % _ring.Length] = (lastIndex, bytes);
        Count++;
        Bytes += bytes;
    }

    /// <summary>An acknowledgement of index covers every append that ends at or before it.</summary>
    public void FreeUpTo(ulong index)
    {
        while (Count > 0 && _ring[_start].LastIndex <= index)
        {
            Bytes -= _ring[_start].Bytes;
            _start = (_start + 1) % _ring.Length;
            Count--;
        }
    }

    public void Clear()
    {
        _start = 0;
        Count = 0;
        Bytes = 0;
    }

    private void Grow()
    {
        var larger = new (ulong LastIndex, long Bytes)[Math.Min(maxCount, Math.Max(InitialCapacity, 2 * _ring.Length))];
        for (int i = 0; i < Count; i++)
        {
            larger[i] = _ring[(_start + i) % _ring.Length];
        }

        _ring = larger;
        _start = 0;
    }
}
