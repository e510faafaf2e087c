using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// The records of an arena that are too large for a slot: each has an array of its own, under a number of its own. The owner adds and
/// drops; any thread reads through a reference and learns from the generation whether the number still means what it meant.
/// </summary>
/// <remarks>
/// A number that was given back rests, as a slot does, until <see cref="SlabArena.MinFreeSlots"/> are resting. The table of numbers grows by a page
/// and by the list of pages, eight bytes for each 4,096 records: it is never copied as a whole.
/// </remarks>
internal sealed class OwnArrays
{
    /// <summary>Numbers there are. In chunks of a megabyte the smallest record here has more than 16 KiB: memory ends before 32 TiB of them.</summary>
    public const int MaxCount = int.MaxValue;

    private const int PageBits = 12;
    private const int PageCount = 1 << PageBits;

    private readonly Queue<int> _resting = new();

    // Read by any thread, replaced when it grows. An array is null after it was dropped.
    private ulong[]?[][] _pages = [];

    // The owner's: of each number, the generation its next record has; above all that its former ones had.
    private uint[][] _generations = [];
    private int _count;

    /// <summary>Any thread; null: dropped.</summary>
    public ulong[]? this[int number] =>
        Volatile.Read(ref Volatile.Read(ref _pages)[number >> PageBits][number & (PageCount - 1)]);

    public SlabReference Add(int words)
    {
        int number = _resting.Count >= SlabArena.MinFreeSlots ? _resting.Dequeue() : NewNumber();
        ulong[] array = GC.AllocateUninitializedArray<ulong>(words);

        // References to the number's former record may still be about: they must not find here whatever this memory held before.
        array[Record.HeaderWord] = 0;
        Volatile.Write(ref _pages[number >> PageBits][number & (PageCount - 1)], array);
        return SlabReference.ToOwnArray(_generations[number >> PageBits][number & (PageCount - 1)], number);
    }

    /// <summary>The record's generation has ended; the array goes as soon as no reader holds it.</summary>
    public void Drop(int number, uint nextGeneration)
    {
        _generations[number >> PageBits][number & (PageCount - 1)] = nextGeneration;
        Volatile.Write(ref _pages[number >> PageBits][number & (PageCount - 1)], null);
        _resting.Enqueue(number);
    }

    private int NewNumber()
    {
        Invariant.Check(_count < MaxCount, "memory ends before the numbers of large records do");
        if (_count >> PageBits == _pages.Length)
        {
            var first = new uint[PageCount];
            Array.Fill(first, 1u);
            _generations = [.. _generations, first];
            Volatile.Write(ref _pages, [.. _pages, new ulong[PageCount][]]);
        }

        return _count++;
    }
}
