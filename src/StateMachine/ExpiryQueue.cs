using KvStore.Raft;

namespace KvStore.StateMachine;

/// <summary>
/// What expires when, the earliest first: a binary heap of slots. Whoever adds gets the number of its slot and removes by it, in log n
/// steps and without a search. Nothing is allocated per element; the arrays double, and keep the size of the fullest moment.
/// </summary>
internal sealed class ExpiryQueue
{
    private const int FirstSize = 4;

    // Of a slot in use: what it holds, and where in the heap its number is. Of a free one: the next free one, in _places.
    private Expiry[] _slots = [];
    private int[] _places = [];
    private int[] _heap = [];
    private int _free = None;

    private const int None = -1;

    public int Count { get; private set; }

    public Expiry Min
    {
        get
        {
            Invariant.Check(Count > 0, "the earliest is asked for where there is one");
            return _slots[_heap[0]];
        }
    }

    /// <summary>The slot, for <see cref="Remove"/>.</summary>
    public int Add(Expiry expiry)
    {
        if (_free == None)
        {
            Grow();
        }

        int slot = _free;
        _free = _places[slot];
        _slots[slot] = expiry;
        Rise(Count++, slot);
        return slot;
    }

    public void RemoveMin() => Remove(_heap[0]);

    public void Remove(int slot)
    {
        int place = _places[slot];
        Invariant.Check(place < Count && _heap[place] == slot, "a slot is given back once");
        int last = _heap[--Count];
        if (last != slot)
        {
            if (place > 0 && _slots[last].CompareTo(_slots[_heap[(place - 1) / 2]]) < 0)
            {
                Rise(place, last);
            }
            else
            {
                Sink(place, last);
            }
        }

        _places[slot] = _free;
        _free = slot;
    }

    private void Rise(int place, int slot)
    {
        while (place > 0 && _slots[slot].CompareTo(_slots[_heap[(place - 1) / 2]]) < 0)
        {
            Put(place, _heap[(place - 1) / 2]);
            place = (place - 1) / 2;
        }

        Put(place, slot);
    }

    private void Sink(int place, int slot)
    {
        for (int child = (2 * place) + 1; child < Count; child = (2 * place) + 1)
        {
            if (child + 1 < Count && _slots[_heap[child + 1]].CompareTo(_slots[_heap[child]]) < 0)
            {
                child++;
            }

            if (_slots[slot].CompareTo(_slots[_heap[child]]) <= 0)
            {
                break;
            }

            Put(place, _heap[child]);
            place = child;
        }

        Put(place, slot);
    }

    private void Put(int place, int slot)
    {
        _heap[place] = slot;
        _places[slot] = place;
    }

    private void Grow()
    {
        int size = Math.Max(FirstSize, _slots.Length * 2);
        int first = _slots.Length;
        Array.Resize(ref _slots, size);
        Array.Resize(ref _places, size);
        Array.Resize(ref _heap, size);
        for (int slot = size - 1; slot >= first; slot--)
        {
            _places[slot] = _free;
            _free = slot;
        }
    }
}

/// <summary>A total order, so that what comes first does not depend on the order in which things were added.</summary>
internal readonly record struct Expiry(ulong ExpiresMs, int VirtualNode, RequestKey Key, bool IsFloor) : IComparable<Expiry>
{
    public int CompareTo(Expiry other)
    {
        int order = ExpiresMs.CompareTo(other.ExpiresMs);
        order = order != 0 ? order : VirtualNode.CompareTo(other.VirtualNode);
        order = order != 0 ? order : Key.CompareTo(other.Key);
        return order != 0 ? order : IsFloor.CompareTo(other.IsFloor);
    }
}
