namespace KvStore.Storage;

/// <summary>
/// The records of an arena that are too large for a slot: each has an array of its own, under a number of its own. The owner adds and
/// drops; any thread reads through a reference and learns from the generation whether the number still means what it meant.
/// </summary>
/// <remarks>
/// A number that was given back rests, as a slot does, until <see cref="SlabReference.MinFreeSlots"/> are resting. The table of numbers grows by
/// pages, and only the list of pages is ever copied: eight bytes for each 4,096 records.
/// </remarks>
internal sealed class OwnArrays(SlabNumbers numbers)
{
    /// <summary>Numbers there are. In chunks of a megabyte the smallest record here has more than 16 KiB: memory ends before 32 TiB of them.</summary>
    public const int MaxCount = SlabNumbers.MaxPages * PageCount;

    private const int PageBits = SlabNumbers.PageBits;
    private const int PageCount = 1 << PageBits;

    private readonly Queue<int> _resting = new();
    private readonly Queue<int> _unusedPages = new();

    // Read by any thread, replaced when it grows. An array is null after it was dropped, a page while somebody else fills it.
    private ulong[]?[]?[] _pages = [];

    // The owner's: of each number, the generation its next record has; above all that its former ones had.
    private uint[]?[] _generations = [];
    private int _next;
    private int _pageEnd;

    /// <summary>Any thread; null: dropped.</summary>
    public ulong[]? this[int number] =>
        Volatile.Read(ref Volatile.Read(ref Volatile.Read(ref _pages)[number >> PageBits])![number & (PageCount - 1)]);

    public SlabReference Add(int words)
    {
        int number = _resting.Count >= SlabReference.MinFreeSlots ? _resting.Dequeue() : NewNumber();
        ulong[] array = GC.AllocateUninitializedArray<ulong>(words);

        // References to the number's former record may still be about: they must not find here whatever this memory held before.
        array[Record.HeaderWord] = 0;
        Volatile.Write(ref _pages[number >> PageBits]![number & (PageCount - 1)], array);
        return SlabReference.ToOwnArray(_generations[number >> PageBits]![number & (PageCount - 1)], number);
    }

    /// <summary>The record's generation has ended; the array goes as soon as no reader holds it.</summary>
    public void Drop(int number, uint nextGeneration)
    {
        _generations[number >> PageBits]![number & (PageCount - 1)] = nextGeneration;
        Volatile.Write(ref _pages[number >> PageBits]![number & (PageCount - 1)], null);
        _resting.Enqueue(number);
    }

    /// <summary>Takes over the pages of an annex. Costs a store for each page, and the numbers its last one has left.</summary>
    public void Join(OwnArrays annex)
    {
        for (int page = 0; page < annex._pages.Length; page++)
        {
            if (annex._pages[page] is { } arrays)
            {
                AddPage(page, arrays, annex._generations[page]!);
            }
        }

        while (annex._next < annex._pageEnd)
        {
            _resting.Enqueue(annex._next++);
        }

        TakeUnused(annex);
    }

    /// <summary>The pages of an annex that nobody has ever read: they may be filled again.</summary>
    public void Reuse(OwnArrays annex)
    {
        for (int page = 0; page < annex._pages.Length; page++)
        {
            if (annex._pages[page] is not null)
            {
                _unusedPages.Enqueue(page);
            }
        }

        TakeUnused(annex);
    }

    public void TakeUnused(OwnArrays other)
    {
        while (other._unusedPages.TryDequeue(out int page))
        {
            _unusedPages.Enqueue(page);
        }
    }

    private int NewNumber()
    {
        if (_next == _pageEnd)
        {
            int page = _unusedPages.TryDequeue(out int unused) ? unused : numbers.NextPage();
            var first = new uint[PageCount];
            Array.Fill(first, 1u);
            AddPage(page, new ulong[PageCount][], first);
            _next = page << PageBits;
            _pageEnd = _next + PageCount;
        }

        return _next++;
    }

    private void AddPage(int page, ulong[]?[] arrays, uint[] generations)
    {
        if (page >= _pages.Length)
        {
            int length = Math.Max(page + 1, _pages.Length * 2);
            Array.Resize(ref _generations, length);
            var grown = new ulong[]?[length][];
            _pages.CopyTo(grown, 0);
            Volatile.Write(ref _pages, grown);
        }

        _generations[page] = generations;
        Volatile.Write(ref _pages[page], arrays);
    }
}
