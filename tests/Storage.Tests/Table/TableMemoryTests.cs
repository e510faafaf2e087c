using System.Buffers;
using System.Buffers.Binary;

namespace KvStore.Storage.Tests;

/// <summary>What the tables cost: nothing on an update, what a snapshot sees while it is open, and memory that comes back.</summary>
public sealed class TableMemoryTests
{
    private static readonly int[] Nodes = [0, 1, 2, 3];

    [Fact]
    public void A_million_overwrites_allocate_no_managed_byte_and_reserve_no_more_memory()
    {
        const int Keys = 20_000;
        const int BatchSize = 16;
        var arena = new SlabArena();
        var load = new Load(arena, valueBytes: 200);
        load.PutAll(Keys);

        // The lists that a batch and the free slots need grow once.
        load.OverwriteRandomly(Keys, 10_000, BatchSize);
        long reserved = arena.ReservedBytes;
        long live = arena.LiveBytes;
        long allocated = GC.GetAllocatedBytesForCurrentThread();
        load.OverwriteRandomly(Keys, 1_000_000, BatchSize);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - allocated);
        Assert.Equal(live, arena.LiveBytes);
        Assert.InRange(arena.ReservedBytes, reserved * 0.95, reserved * 1.05);
    }

    [Fact]
    public void A_held_snapshot_pins_the_distinct_records_that_were_overwritten_and_no_more()
    {
        const int Keys = 5000;
        var arena = new SlabArena();
        var load = new Load(arena, valueBytes: 100);
        load.PutAll(Keys);
        long perRecord = arena.LiveBytes / Keys;
        Assert.Equal(perRecord * Keys, arena.LiveBytes);
        using TableSnapshot snapshot = load.Table.Capture();
        int distinct = load.OverwriteRandomly(Keys, 20_000, batchSize: 32);
        Assert.InRange(distinct, 1, Keys);
        Assert.Equal(distinct * perRecord, arena.PinnedBytes);
        Assert.Equal((Keys + distinct) * perRecord, arena.LiveBytes);

        snapshot.Dispose();
        Settle(arena);
        Assert.Equal(0, arena.PinnedBytes);
        Assert.Equal(Keys * perRecord, arena.LiveBytes);
    }

    [Fact]
    public void Closing_one_of_several_snapshots_frees_what_only_it_saw()
    {
        const int Keys = 1000;
        var arena = new SlabArena();
        var load = new Load(arena, valueBytes: 100);
        load.PutAll(Keys);
        long perRecord = arena.LiveBytes / Keys;
        var snapshots = new List<TableSnapshot>();
        for (int i = 0; i < 5; i++)
        {
            snapshots.Add(load.Table.Capture());
            load.PutAll(Keys);
        }

        Assert.Equal(5 * Keys * perRecord, arena.PinnedBytes);

        // From the middle of every chain, from its old end, and from next to the head.
        int open = 5;
        foreach (int closed in (int[])[2, 0, 4])
        {
            snapshots[closed].Dispose();
            Settle(arena);
            Assert.Equal(--open * Keys * perRecord, arena.PinnedBytes);
        }

        foreach (int held in (int[])[1, 3])
        {
            Assert.Equal(Keys, Load.CheckAll(snapshots[held], generation: held));
            snapshots[held].Dispose();
        }

        Settle(arena);
        Assert.Equal(Keys * perRecord, arena.LiveBytes);
    }

    [Fact]
    public void Batches_alone_free_what_a_closed_snapshot_left()
    {
        const int Keys = 2000;
        var arena = new SlabArena();
        var load = new Load(arena, valueBytes: 100);
        load.PutAll(Keys);
        using (load.Table.Capture())
        {
            load.PutAll(Keys);
        }

        load.OverwriteRandomly(Keys, 400, batchSize: 1);
        Assert.Equal(0, arena.PinnedBytes);
    }

    [Fact]
    public void Sparse_chunks_are_emptied_in_bounded_steps_and_given_back()
    {
        const int Keys = 40_000;
        const int StepBytes = 8192;
        var arena = new SlabArena(1 << 16);
        var load = new Load(arena, valueBytes: 300);
        load.PutAll(Keys);
        using TableSnapshot snapshot = load.Table.Capture();
        load.DeleteAllBut(Keys, keepEvery: 7);
        int kept = (Keys + 6) / 7;
        long full = arena.ReservedBytes;

        // Everything is pinned: nothing can be moved, nothing is lost.
        Settle(arena, StepBytes);
        Assert.Equal(Keys, Load.CheckAll(snapshot, generation: 0));
        snapshot.Dispose();

        int steps = 0;
        for (int worked; (worked = arena.EvacuateStep(StepBytes)) > 0; steps++)
        {
            Assert.InRange(worked, 1, StepBytes + 2048);
        }

        Assert.True(steps > 10);
        Assert.InRange(arena.ReservedBytes, arena.LiveBytes, full / 3);
        using TableSnapshot after = load.Table.Capture();
        Assert.Equal(kept, Load.CheckAll(after, generation: 0));

        // What was given back is taken again, and references of the old chunks do not open in the new ones.
        load.PutAll(Keys);
        Assert.Equal(kept, Load.CheckAll(after, generation: 0));
        using TableSnapshot again = load.Table.Capture();
        Assert.Equal(Keys, Load.CheckAll(again, generation: 1));
    }

    [Fact]
    public void A_retired_table_gives_everything_back_when_its_last_snapshot_is_closed()
    {
        const int Keys = 3000;
        var arena = new SlabArena(1 << 16);
        var other = new Load(arena, valueBytes: 50);
        other.PutAll(10);
        long before = arena.LiveBytes;
        var load = new Load(arena, valueBytes: 300);
        load.PutAll(Keys);
        TableSnapshot snapshot = load.Table.Capture();
        load.PutAll(Keys);

        load.Table.Retire();
        Assert.Throws<ObjectDisposedException>(() => load.Table.Capture());
        Assert.Throws<ObjectDisposedException>(() => load.Table.Get(0, "k"u8, new ArrayBufferWriter<byte>(), out _, out _));
        Settle(arena);
        Assert.Equal(Keys, Load.CheckAll(snapshot, generation: 0));

        snapshot.Dispose();
        Settle(arena);
        Assert.Equal(before, arena.LiveBytes);
        Assert.Equal(0, arena.PinnedBytes);
        using TableSnapshot others = other.Table.Capture();
        Assert.Equal(10, Load.CheckAll(others, generation: 0));
    }

    [Fact]
    public void Values_of_every_size_do_not_take_a_chunk_each()
    {
        var arena = new SlabArena();
        var table = new GroupTable(arena, Nodes);
        table.BeginBatch(1);
        long stored = 0;
        for (int length = 0; length < 100_000; length += 500)
        {
            table.Put(0, BitConverter.GetBytes(length), new byte[length], (ulong)length + 1);
            stored += length;
        }

        table.PublishBatch(0);
        Assert.InRange(arena.ReservedBytes, stored, stored * 2);
    }

    /// <summary>Each of them took the number of a chunk, and 2^20 of them ended every replica: here there are numbers for seven chunks.</summary>
    [Fact]
    public void B6_large_records_take_no_number_of_a_chunk()
    {
        const int Records = 5000;
        var arena = new SlabArena(1 << 14, SlabReference.MinFreeSlots, maxChunks: 7);
        var table = new GroupTable(arena, Nodes);
        byte[] value = new byte[300];
        for (int round = 1; round <= 3; round++)
        {
            for (int i = 0; i < Records; i++)
            {
                table.BeginBatch((ulong)(round * Records + i));
                BinaryPrimitives.WriteInt64LittleEndian(value, round * Records + i);
                table.Put(0, BitConverter.GetBytes(i), value, (ulong)(round * Records + i));
                table.PublishBatch(0);
            }

            for (int i = 0; i < Records; i++)
            {
                Assert.True(table.TryPeek(0, BitConverter.GetBytes(i), out _, out ReadOnlySpan<byte> stored));
                Assert.Equal(round * Records + i, BinaryPrimitives.ReadInt64LittleEndian(stored));
            }
        }

        Assert.InRange(arena.ReservedBytes, arena.LiveBytes, arena.LiveBytes);
    }

    /// <summary>What a reference can name is more than any machine has, and the last of it is a place of its own.</summary>
    [Fact]
    public void B6_references_name_more_records_than_memory_holds()
    {
        const long TiB = 1L << 40;
        const int ChunkBytes = 1 << 20;
        Assert.True(OwnArrays.MaxCount * (long)(ChunkBytes / SlabReference.MinFreeSlots) >= 31 * TiB);
        Assert.True(Slabs.MaxChunks * (long)ChunkBytes >= 8 * TiB);
        foreach (int number in (int[])[0, 1, (1 << 20) - 1, 1 << 20, OwnArrays.MaxCount - 1])
        {
            foreach (uint generation in (uint[])[1, SlabReference.GenerationMask])
            {
                SlabReference own = SlabReference.ToOwnArray(generation, number);
                Assert.Equal((true, number, generation, 0, false), (own.IsOwnArray, own.Number, own.Generation, own.Offset, own.IsNone));
            }
        }

        foreach (int chunk in (int[])[0, 1 << 20, Slabs.MaxChunks - 1])
        {
            foreach (int offset in (int[])[0, 2, ChunkBytes / sizeof(ulong) - 2])
            {
                var slot = new SlabReference(SlabReference.GenerationMask, chunk, offset);
                Assert.Equal(
                    (false, chunk, offset, SlabReference.GenerationMask), (slot.IsOwnArray, slot.Chunk, slot.Offset, slot.Generation));
            }
        }
    }

    private static void Settle(SlabArena arena, int stepBytes = 1 << 16)
    {
        while (arena.EvacuateStep(stepBytes) > 0)
        {
        }
    }

    /// <summary>Keys 0…n, each with its number and a generation (how often all were put) in its value.</summary>
    private sealed class Load(SlabArena arena, int valueBytes)
    {
        private readonly byte[] _value = new byte[valueBytes];
        private readonly byte[] _key = new byte[8];
        private readonly HashSet<int> _touched = [];
        private ulong _random = 0x9E3779B97F4A7C15;
        private ulong _revision;
        private ulong _index;
        private int _generation = -1;

        public GroupTable Table { get; } = new(arena, Nodes);

        public void PutAll(int keys)
        {
            _generation++;
            for (int i = 0; i < keys; i++)
            {
                Table.BeginBatch(++_index);
                Put(i, _generation);
                Table.PublishBatch(0);
            }
        }

        public void DeleteAllBut(int keys, int keepEvery)
        {
            for (int i = 0; i < keys; i++)
            {
                if (i % keepEvery != 0)
                {
                    Table.BeginBatch(++_index);
                    Assert.True(Table.Delete(NodeOf(i), KeyOf(i), ++_revision));
                    Table.PublishBatch(0);
                }
            }
        }

        /// <summary>Answers how many different keys were overwritten since the first call.</summary>
        public int OverwriteRandomly(int keys, int count, int batchSize)
        {
            _touched.EnsureCapacity(keys);
            for (int done = 0; done < count; done += batchSize)
            {
                Table.BeginBatch(++_index);
                for (int i = 0; i < batchSize; i++)
                {
                    _random ^= _random << 13;
                    _random ^= _random >> 7;
                    _random ^= _random << 17;
                    int key = (int)(_random % (uint)keys);
                    _touched.Add(key);
                    Put(key, -1);
                }

                Table.PublishBatch(0);
            }

            return _touched.Count;
        }

        public static int CheckAll(TableSnapshot snapshot, int generation)
        {
            int count = 0;
            var page = new RowPage();
            foreach (int node in Nodes)
            {
                byte[] from = [];
                do
                {
                    snapshot.ReadPage(node, from, default, keysOnly: false, 500, 1 << 20, page);
                    for (int row = 0; row < page.Count; row++, count++)
                    {
                        int key = (int)BinaryPrimitives.ReadInt64BigEndian(page.Key(row));
                        Assert.Equal(node, NodeOf(key));
                        Assert.Equal(key, BinaryPrimitives.ReadInt32LittleEndian(page.Value(row)));
                        Assert.Equal(generation, BinaryPrimitives.ReadInt32LittleEndian(page.Value(row)[^4..]));
                    }

                    from = page.IsLast ? [] : page.ResumeFrom.ToArray();
                }
                while (!page.IsLast);
            }

            return count;
        }

        private static int NodeOf(int key) => Nodes[key % Nodes.Length];

        private ReadOnlySpan<byte> KeyOf(int key)
        {
            BinaryPrimitives.WriteInt64BigEndian(_key, key);
            return _key;
        }

        private void Put(int key, int generation)
        {
            BinaryPrimitives.WriteInt32LittleEndian(_value, key);
            BinaryPrimitives.WriteInt32LittleEndian(_value.AsSpan(_value.Length - 4), generation);

            // An overwrite carries the create revision, eight bytes more than an insert: the sizes here are such that both
            // round up to the same slot.
            Table.Put(NodeOf(key), KeyOf(key), _value, ++_revision);
        }
    }
}
