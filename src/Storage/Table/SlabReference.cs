namespace KvStore.Storage;

/// <summary>
/// Where a record lies and which record is meant: a plain integer, so that storing one costs no write barrier and the
/// collector never follows it. Zero means "none".
/// <code>
///  63            40 39            20 19             0
/// +----------------+----------------+----------------+
/// | generation  24 | chunk       20 | word offset 20 |
/// +----------------+----------------+----------------+
/// </code>
/// The generation is the one the slot had when the record was written. A freed slot has moved on to the next generation, so
/// an old reference no longer opens.
/// </summary>
internal readonly record struct SlabReference(ulong Value)
{
    public const int ChunkBits = 20;
    public const int OffsetBits = 20;
    public const uint GenerationMask = (1u << 24) - 1;

    public static SlabReference None => default;

    public SlabReference(uint generation, int chunk, int offset)
        : this(((ulong)generation << (ChunkBits + OffsetBits)) | ((ulong)(uint)chunk << OffsetBits) | (uint)offset)
    {
    }

    public bool IsNone => Value == 0;

    public uint Generation => (uint)(Value >> (ChunkBits + OffsetBits));

    public int Chunk => (int)(Value >> OffsetBits) & ((1 << ChunkBits) - 1);

    /// <summary>Offset of the record in its chunk, in words of eight bytes.</summary>
    public int Offset => (int)Value & ((1 << OffsetBits) - 1);

    /// <summary>The generation after this one. 0 is left out: it marks words that never held a record.</summary>
    public static uint Next(uint generation) => generation == GenerationMask ? 1 : generation + 1;
}
