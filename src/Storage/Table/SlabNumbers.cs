using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>The numbers that an arena and what is being built beside it have not used yet. Any thread takes; a number is given out once.</summary>
internal sealed class SlabNumbers(int maxChunks)
{
    /// <summary>Large records of a page, as a power of two.</summary>
    public const int PageBits = 12;

    public const int MaxPages = int.MaxValue >> PageBits;

    private int _chunks;
    private int _pages;

    public int NextChunk()
    {
        int number = Interlocked.Increment(ref _chunks) - 1;
        Invariant.Check(number >= 0 && number < maxChunks, "an arena has fewer chunks than a reference can name");
        return number;
    }

    /// <summary>A page of numbers of large records.</summary>
    public int NextPage()
    {
        int number = Interlocked.Increment(ref _pages) - 1;
        Invariant.Check(number >= 0 && number < MaxPages, "memory ends before the numbers of large records do");
        return number;
    }
}
