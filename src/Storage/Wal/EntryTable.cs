using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>Where one entry is. 40 bytes; an entry is a batch of commands, so a log of ten thousand entries costs 400 KB.</summary>
internal struct EntrySlot
{
    /// <summary>
    /// Null during recovery only: the entry is in a segment that was freed, so a later record must cut it or hold it again.
    /// </summary>
    public Segment? Segment;
    public uint Offset;
    public int PayloadLength;
    public ulong Term;
    public ulong LastClock;

    /// <summary>The entry itself while it is within the cache's budget.</summary>
    public Entry? Cached;
}

/// <summary>The entries First … Last of one group, by log index: a ring buffer, appended and cut at the end, cut at the front.</summary>
internal sealed class EntryTable(ulong first)
{
    private EntrySlot[] _slots = new EntrySlot[16];
    private int _head;

    public ulong First { get; private set; } = first;

    public int Count { get; private set; }

    /// <summary>First - 1 when the table is empty.</summary>
    public ulong Last => First + (ulong)Count - 1;

    public ref EntrySlot this[ulong index]
    {
        get
        {
            Invariant.Check(index >= First && index <= Last, "a log entry is looked up within the log");
            return ref _slots[(_head + (int)(index - First)) & (_slots.Length - 1)];
        }
    }

    public void Add(EntrySlot slot)
    {
        if (Count == _slots.Length)
        {
            EntrySlot[] larger = new EntrySlot[2 * _slots.Length];
            int toEnd = _slots.Length - _head;
            Array.Copy(_slots, _head, larger, 0, toEnd);
            Array.Copy(_slots, 0, larger, toEnd, _head);
            _slots = larger;
            _head = 0;
        }

        _slots[(_head + Count) & (_slots.Length - 1)] = slot;
        Count++;
    }

    public void RemoveFirst()
    {
        this[First] = default;
        _head = (_head + 1) & (_slots.Length - 1);
        First++;
        Count--;
    }

    public void RemoveLast()
    {
        this[Last] = default;
        Count--;
    }

    /// <summary>Starts again, empty, at another index.</summary>
    public void RestartAt(ulong first)
    {
        Invariant.Check(Count == 0, "only an empty log moves its start");
        First = first;
    }
}
