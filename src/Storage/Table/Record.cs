using System.Runtime.InteropServices;
using KvStore.Raft;

namespace KvStore.Storage;

[Flags]
internal enum RecordFlags : byte
{
    None = 0,

    /// <summary>The key was deleted by this version.</summary>
    Tombstone = 1,

    /// <summary>A create revision follows the header; without it the record was created by this version.</summary>
    HasCreateRevision = 2,

    /// <summary>A deadline follows; without it the record never expires.</summary>
    HasExpiry = 4,
}

/// <summary>
/// The header of a record in one word, so that a single load gives a reader a generation and lengths that belong together.
/// <code>
///  63            40 39         28 27     24 23            0
/// +----------------+-------------+---------+---------------+
/// | generation  24 | key bytes 12| flags 4 | value bytes 24|
/// +----------------+-------------+---------+---------------+
/// </code>
/// </summary>
internal readonly record struct RecordHeader(ulong Word)
{
    public RecordHeader(uint generation, int keyLength, RecordFlags flags, int valueLength)
        : this(((ulong)generation << 40) | ((ulong)(uint)keyLength << 28) | ((ulong)flags << 24) | (uint)valueLength)
    {
    }

    public uint Generation => (uint)(Word >> 40);
    public int KeyLength => (int)(Word >> 28) & 0xFFF;
    public RecordFlags Flags => (RecordFlags)((uint)(Word >> 24) & 0xF);
    public int ValueLength => (int)(Word & 0xFF_FFFF);
    public bool IsTombstone => (Flags & RecordFlags.Tombstone) != 0;

    /// <summary>Words before the key: three, and one for each optional field.</summary>
    public int KeyOffset => 3 + ((int)Flags >> 1 & 1) + ((int)Flags >> 2 & 1);

    public int TotalWords => KeyOffset + (KeyLength + ValueLength + 7) / 8;

    public RecordHeader With(uint generation) => new((Word & (1UL << 40) - 1) | ((ulong)generation << 40));
}

/// <summary>
/// One version of one key, in a slot of a chunk. Everything but <c>previous</c> and the header's generation is written once.
/// <code>
/// word 0     previous         reference of the next older version, 0 = none
/// word 1     modRevision
/// word 2     header           see <see cref="RecordHeader"/>
/// [word]     createRevision   only with HasCreateRevision
/// [word]     expiresAt        only with HasExpiry
/// bytes      key, then value, padded to a word
/// </code>
/// The key is here and not in the leaf: a leaf stays one flat block, and a reader that has found the record has its key in
/// the cache line it needs anyway.
/// </summary>
/// <remarks>
/// A reader that does not own the table may hold a record whose slot is being reused. It reads what it wants and then asks
/// <see cref="IsUnchanged"/>; until the answer is true nothing it has read means anything, not even a comparison.
/// </remarks>
internal readonly struct Record(ulong[] chunk, int offset)
{
    public const int MaxKeyBytes = 2048;

    /// <summary>
    /// A client's largest value (1 MiB) and 128 bytes for what is stored in front of it: its content type and that one's length.
    /// </summary>
    public const int MaxValueBytes = (1 << 20) + 128;

    private const int PreviousWord = 0;
    private const int RevisionWord = 1;
    public const int HeaderWord = 2;

    public SlabReference Previous => new(Volatile.Read(ref chunk[offset + PreviousWord]));

    public ulong ModRevision => chunk[offset + RevisionWord];

    public RecordHeader Header => new(Volatile.Read(ref chunk[offset + HeaderWord]));

    /// <summary>
    /// A release store: whoever sees the shorter chain also sees everything the writer did before it, above all the publication.
    /// </summary>
    public void SetPrevious(SlabReference previous) => Volatile.Write(ref chunk[offset + PreviousWord], previous.Value);

    /// <summary>True: since the header was loaded the slot has not been freed, so all that was read in between belongs together.</summary>
    public bool IsUnchanged(RecordHeader header)
    {
        // Keeps the loads before it from sinking below the second load of the header.
        Volatile.ReadBarrier();
        return chunk[offset + HeaderWord] == header.Word;
    }

    public ReadOnlySpan<byte> Key(RecordHeader header) => Bytes(header)[..header.KeyLength];

    public ReadOnlySpan<byte> Value(RecordHeader header) => Bytes(header).Slice(header.KeyLength, header.ValueLength);

    public RecordMeta Meta(RecordHeader header)
    {
        int next = offset + HeaderWord + 1;
        ulong created = (header.Flags & RecordFlags.HasCreateRevision) != 0 ? chunk[next++] : ModRevision;
        ulong expiresAt = (header.Flags & RecordFlags.HasExpiry) != 0 ? chunk[next] : 0;
        return new RecordMeta(ModRevision, created, expiresAt, header.ValueLength);
    }

    public static RecordHeader HeaderFor(int keyLength, int valueLength, RecordMeta meta, bool tombstone) => new(
        0,
        keyLength,
        (tombstone ? RecordFlags.Tombstone : RecordFlags.None)
            | (meta.CreateRevision == meta.ModRevision ? RecordFlags.None : RecordFlags.HasCreateRevision)
            | (meta.ExpiresAt == 0 ? RecordFlags.None : RecordFlags.HasExpiry),
        valueLength);

    /// <summary>Fills a slot nobody else can reach yet; the reference is published afterwards with a release store.</summary>
    public void Write(RecordHeader header, SlabReference previous, RecordMeta meta, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value)
    {
        Invariant.Check(key.Length == header.KeyLength && value.Length == header.ValueLength, "a record's header tells its lengths");
        chunk[offset + PreviousWord] = previous.Value;
        chunk[offset + RevisionWord] = meta.ModRevision;
        chunk[offset + HeaderWord] = header.Word;
        int next = offset + HeaderWord + 1;
        if ((header.Flags & RecordFlags.HasCreateRevision) != 0)
        {
            chunk[next++] = meta.CreateRevision;
        }

        if ((header.Flags & RecordFlags.HasExpiry) != 0)
        {
            chunk[next] = meta.ExpiresAt;
        }

        Span<byte> bytes = Bytes(header);
        key.CopyTo(bytes);
        value.CopyTo(bytes[key.Length..]);
    }

    /// <summary>
    /// Copies another slot's record into this one, under this slot's generation. The header is not copied with the rest: for a
    /// moment it would show the other slot's generation, which an old reference to this slot may happen to carry.
    /// </summary>
    public void CopyFrom(Record other, RecordHeader header, uint generation)
    {
        chunk[offset + HeaderWord] = header.With(generation).Word;
        other.Words(header.TotalWords)[..HeaderWord].CopyTo(Words(header.TotalWords));
        other.Words(header.TotalWords)[(HeaderWord + 1)..].CopyTo(Words(header.TotalWords)[(HeaderWord + 1)..]);
    }

    /// <summary>The slot enters its next generation: from here on no reference to this record opens.</summary>
    public void EndGeneration(RecordHeader header) =>
        Volatile.Write(ref chunk[offset + HeaderWord], header.With(SlabReference.Next(header.Generation)).Word);

    private Span<ulong> Words(int count) => chunk.AsSpan(offset, count);

    private Span<byte> Bytes(RecordHeader header) =>
        MemoryMarshal.AsBytes(chunk.AsSpan(offset + header.KeyOffset, header.TotalWords - header.KeyOffset));
}
