using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// Memory for the records of all tables of an arena. The arena's owner allocates and frees; any thread may read through a
/// reference, and learns from the generation whether it still means what it meant.
/// </summary>
/// <remarks>
/// <para>
/// Records live in chunks, arrays of words of one megabyte, cut into slots of one size class. A chunk keeps its size class as
/// long as it exists and its number keeps it for ever, so a header is always where an old reference expects a header. Chunks
/// belong to the garbage collector: a reader that still holds a dropped chunk keeps it alive, nothing must be counted.
/// </para>
/// <para>
/// A slot is at most 1/64 of a chunk. A free list is not used while it is shorter than <see cref="SlabReference.MinFreeSlots"/>, so that the
/// 24 bits of a generation cover a billion updates inside one read; with this bound the slots that rest never cost more than
/// one chunk per size class. A larger record gets an array of its own, which is never written again (<see cref="OwnArrays"/>).
/// </para>
/// </remarks>
internal sealed partial class Slabs
{
    /// <summary>
    /// Numbers of chunks a reference can name: eight TiB of full chunks. A number stays with its size class, so what counts is the
    /// largest extent each class ever had, all added up. Beyond it the process ends.
    /// </summary>
    public const int MaxChunks = 1 << SlabReference.ChunkBits;

    private const int WordBytes = sizeof(ulong);

    // The first chunk of a size class is small, so that a worker with values of every size does not pay a megabyte for each.
    private const int FirstChunkDivisor = 16;

    // Entries of a free list that point into chunks being emptied, passed over in one allocation.
    private const int MaxDiscardsPerAllocation = 64;

    private readonly int _chunkBytes;
    private readonly int _maxSlotBytes;
    private readonly int _minFreeSlots;
    private readonly SlotClass[] _classes;
    private readonly OwnArrays _ownArrays;
    private readonly SlabNumbers _numbers;

    // Read by any thread, replaced when it grows. An entry is null after its chunk was dropped.
    private ulong[]?[] _chunks = new ulong[16][];
    private Chunk[] _states = new Chunk[16];

    // Above every number seen; some below it may be an annex's.
    private int _chunkCount;
    private long _reservedBytes;
    private long _liveBytes;
    private long _pinnedBytes;

    public Slabs(int chunkBytes, int minFreeSlots, SlabNumbers numbers)
    {
        const int MaxBytes = (WordBytes * SlabReference.WordsPerOffset) << SlabReference.OffsetBits;
        ArgumentOutOfRangeException.ThrowIfLessThan(chunkBytes, 1 << 14);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(chunkBytes, MaxBytes);
        _chunkBytes = chunkBytes;
        _maxSlotBytes = chunkBytes / SlabReference.MinFreeSlots;
        _minFreeSlots = minFreeSlots;
        _numbers = numbers;
        _ownArrays = new OwnArrays(numbers);
        _classes = new SlotClass[SizeClass.Of(_maxSlotBytes) + 1];
        for (int i = 0; i < _classes.Length; i++)
        {
            _classes[i] = new SlotClass(SizeClass.SlotBytes(i) / WordBytes);
        }
    }

    private enum ChunkState : byte
    {
        Dropped,
        InUse,

        /// <summary>Nothing is allocated here any more; dropped when the last record has left.</summary>
        Draining,
    }

    /// <summary>Bytes of all chunks, and of the records that have arrays of their own.</summary>
    public long ReservedBytes => Volatile.Read(ref _reservedBytes);

    /// <summary>Bytes of all slots that hold a record, pinned versions included.</summary>
    public long LiveBytes => Volatile.Read(ref _liveBytes);

    /// <summary>Bytes of superseded versions that only snapshots keep.</summary>
    public long PinnedBytes => Volatile.Read(ref _pinnedBytes);

    /// <summary>
    /// Opens a record, from any thread. False: the record is gone, so the place the reference was read from is out of date.
    /// </summary>
    public bool TryOpen(SlabReference reference, out Record record, out RecordHeader header)
    {
        ulong[]? chunk = ArrayOf(reference);

        // A dropped chunk's number may come back with a shorter array.
        if (chunk is null || reference.Offset + Record.HeaderWord >= chunk.Length)
        {
            record = default;
            header = default;
            return false;
        }

        record = new Record(chunk, reference.Offset);
        header = record.Header;
        return header.Generation == reference.Generation;
    }

    /// <summary>Opens a record the owning worker knows to be there.</summary>
    public Record Open(SlabReference reference, out RecordHeader header)
    {
        Invariant.Check(TryOpen(reference, out Record record, out header), "the owner's references open");
        return record;
    }

    /// <summary>Bytes a record of this shape occupies.</summary>
    public int SlotBytesOf(RecordHeader header)
    {
        int bytes = header.TotalWords * WordBytes;
        return bytes > _maxSlotBytes ? bytes : SizeClass.SlotBytes(SizeClass.Of(bytes));
    }

    /// <summary>A slot for a record; the header to write is the given one under the slot's generation.</summary>
    public SlabReference Allocate(ref RecordHeader header, out Record record)
    {
        int bytes = header.TotalWords * WordBytes;
        SlabReference slot;
        if (bytes > _maxSlotBytes)
        {
            slot = _ownArrays.Add(header.TotalWords);
            Volatile.Write(ref _reservedBytes, _reservedBytes + bytes);
        }
        else
        {
            slot = AllocateSlot(_classes[SizeClass.Of(bytes)]);
            _states[slot.Chunk].Live++;
        }

        Volatile.Write(ref _liveBytes, _liveBytes + SlotBytesOf(header));
        header = header.With(slot.Generation);
        record = new Record(ArrayOf(slot)!, slot.Offset);

        // The slot's new generation must be seen before any byte of the new record is. (A release store of the generation
        // would not do: it keeps nothing behind it.)
        Volatile.WriteBarrier();
        return slot;
    }

    /// <summary>Ends a record. It must already be out of every chain and leaf, or a reader that starts again finds it again.</summary>
    public void Free(SlabReference reference)
    {
        Record record = Open(reference, out RecordHeader header);
        record.EndGeneration(header);
        Volatile.Write(ref _liveBytes, _liveBytes - SlotBytesOf(header));
        uint next = SlabReference.Next(header.Generation);
        if (reference.IsOwnArray)
        {
            Volatile.Write(ref _reservedBytes, _reservedBytes - SlotBytesOf(header));
            _ownArrays.Drop(reference.Number, next);
            return;
        }

        ref Chunk state = ref _states[reference.Chunk];
        state.Live--;
        if (state.State == ChunkState.InUse)
        {
            state.Queued++;
            state.Class.FreeCount++;
            state.Class.Free.Enqueue(new SlabReference(next, reference.Chunk, reference.Offset));
        }
        else if (state.Live == 0)
        {
            DropDrained(reference.Chunk);
        }
    }

    public void AddPinnedBytes(long bytes) => Volatile.Write(ref _pinnedBytes, _pinnedBytes + bytes);

    private ulong[]? ArrayOf(SlabReference reference) => reference.IsOwnArray
        ? _ownArrays[reference.Number]
        : Volatile.Read(ref Volatile.Read(ref _chunks)[reference.Chunk]);

    private SlabReference AllocateSlot(SlotClass slots)
    {
        for (int discards = 0; slots.FreeCount >= Math.Max(_minFreeSlots, 1) && discards < MaxDiscardsPerAllocation; discards++)
        {
            if (TakeFree(slots) is { IsNone: false } free)
            {
                return free;
            }
        }

        if (slots.Open < 0 || slots.NextOffset + slots.SlotWords > _chunks[slots.Open]!.Length)
        {
            int bytes = slots.ChunkCount == 0 ? _chunkBytes / FirstChunkDivisor : _chunkBytes;
            int count = bytes / (slots.SlotWords * WordBytes);
            slots.Open = AddChunk(slots, count * slots.SlotWords);
            slots.NextOffset = 0;
        }

        var slot = new SlabReference(_states[slots.Open].FirstGeneration, slots.Open, slots.NextOffset);
        slots.NextOffset += slots.SlotWords;
        return slot;
    }

    /// <summary>The oldest free slot, or none when that one lies in a chunk that is being emptied or is gone.</summary>
    private SlabReference TakeFree(SlotClass slots)
    {
        SlabReference slot = slots.Free.Dequeue();
        ref Chunk state = ref _states[slot.Chunk];
        state.Queued--;
        if (state.State == ChunkState.InUse)
        {
            slots.FreeCount--;
            return slot;
        }

        RecycleNumber(slot.Chunk);
        return SlabReference.None;
    }

    private int AddChunk(SlotClass slots, int words)
    {
        int number = slots.Numbers.Count > 0 ? slots.Numbers.Dequeue() : NewNumber(slots);
        ulong[] chunk = GC.AllocateUninitializedArray<ulong>(words);

        // References to the number's former chunk may still be about; where they expect a header they must not find
        // whatever this memory held before.
        for (int at = Record.HeaderWord; at < words; at += slots.SlotWords)
        {
            chunk[at] = 0;
        }

        ref Chunk state = ref _states[number];
        state.State = ChunkState.InUse;
        state.Slots = words / slots.SlotWords;
        slots.ChunkCount++;
        Volatile.Write(ref _chunks[number], chunk);
        Volatile.Write(ref _reservedBytes, _reservedBytes + (long)words * WordBytes);
        return number;
    }

    private int NewNumber(SlotClass slots)
    {
        int number = _unused.TryDequeue(out int unused) ? unused : _numbers.NextChunk();
        ReserveStates(number + 1);
        _states[number] = new Chunk { Class = slots, FirstGeneration = 1 };
        return number;
    }

    /// <summary>Room for what is kept of so many numbers.</summary>
    private void ReserveStates(int count)
    {
        _chunkCount = Math.Max(_chunkCount, count);
        if (count > _chunks.Length)
        {
            int length = Math.Max(count, _chunks.Length * 2);
            Array.Resize(ref _states, length);
            ulong[]?[] grown = new ulong[length][];
            _chunks.CopyTo(grown, 0);
            Volatile.Write(ref _chunks, grown);
        }
    }

    private void Drop(int number)
    {
        ref Chunk state = ref _states[number];
        Volatile.Write(ref _reservedBytes, _reservedBytes - (long)_chunks[number]!.Length * WordBytes);
        Volatile.Write(ref _chunks[number], null);
        state.State = ChunkState.Dropped;
        state.Class.ChunkCount--;
        RecycleNumber(number);
    }

    /// <summary>A number is free again when its chunk is gone and the free list has forgotten its slots.</summary>
    private void RecycleNumber(int number)
    {
        ref Chunk state = ref _states[number];
        if (state is { State: ChunkState.Dropped, Queued: 0 })
        {
            state.Class.Numbers.Enqueue(number);
        }
    }

    /// <summary>What the owner keeps per chunk.</summary>
    private struct Chunk
    {
        public SlotClass Class;
        public ChunkState State;

        /// <summary>Generation of a slot's first record: above every generation the number's former chunks used.</summary>
        public uint FirstGeneration;

        public int Slots;
        public int Live;

        /// <summary>Entries of the class's free list that point into this chunk.</summary>
        public int Queued;
    }

    /// <summary>The slots of one size.</summary>
    private sealed class SlotClass(int slotWords)
    {
        public int SlotWords { get; } = slotWords;

        /// <summary>First in, first out, so that a slot rests as long as possible.</summary>
        public Queue<SlabReference> Free { get; } = new();

        // Invariant: FreeCount = entries of Free whose chunk is in use. The others are stale and are passed over.
        public int FreeCount { get; set; }

        /// <summary>The chunk that is being cut into slots; negative: none.</summary>
        public int Open { get; set; } = -1;

        public int NextOffset { get; set; }
        public int ChunkCount { get; set; }
        public Queue<int> Numbers { get; } = new();
    }
}
