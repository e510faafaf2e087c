namespace KvStore.Storage;

/// <summary>
/// Where a record lies and which record is meant: a plain integer, so that storing one costs no write barrier and the
/// collector never follows it. Zero means "none".
/// <code>
///  63            40  39  38            16 15             0
/// +----------------+---+----------------+----------------+
/// | generation  24 | 0 | chunk       23 | offset      16 |   a slot; the offset counts pairs of words
/// +----------------+---+----------------+----------------+
/// | generation  24 | 1 | number                       39 |   a record with an array of its own
/// +----------------+---+---------------------------------+
/// </code>
/// Large records are numbered apart: each takes a number, and there may be many more of them than there are chunks.
/// The generation is the one the slot had when the record was written. A freed slot has moved on to the next generation, so
/// an old reference no longer opens.
/// </summary>
internal readonly record struct SlabReference(ulong Value)
{
    public const int ChunkBits = 23;
    public const int OffsetBits = 16;
    public const uint GenerationMask = (1u << 24) - 1;

    /// <summary>
    /// Slots that rest in a free list before the first of them is used again, so that no generation comes back inside one read; the same for
    /// numbers of large records.
    /// </summary>
    public const int MinFreeSlots = 64;

    /// <summary>Slots are multiples of two words.</summary>
    public const int WordsPerOffset = 2;

    private const int PlaceBits = ChunkBits + OffsetBits + 1;
    private const ulong OwnArrayFlag = 1UL << (PlaceBits - 1);

    public static SlabReference None => default;

    public SlabReference(uint generation, int chunk, int offset)
        : this(((ulong)generation << PlaceBits) | ((ulong)(uint)chunk << OffsetBits) | (uint)offset / WordsPerOffset)
    {
    }

    public static SlabReference ToOwnArray(uint generation, int number) =>
        new(((ulong)generation << PlaceBits) | OwnArrayFlag | (uint)number);

    public bool IsNone => Value == 0;

    public uint Generation => (uint)(Value >> PlaceBits);

    public bool IsOwnArray => (Value & OwnArrayFlag) != 0;

    /// <summary>Of a record with an array of its own.</summary>
    public int Number => (int)(Value & (OwnArrayFlag - 1));

    public int Chunk => (int)(Value >> OffsetBits) & ((1 << ChunkBits) - 1);

    /// <summary>Offset of the record in its chunk, in words of eight bytes.</summary>
    public int Offset => IsOwnArray ? 0 : ((int)Value & ((1 << OffsetBits) - 1)) * WordsPerOffset;

    /// <summary>The generation after this one. 0 is left out: it marks words that never held a record.</summary>
    public static uint Next(uint generation) => generation == GenerationMask ? 1 : generation + 1;
}
