using System.Buffers.Binary;

namespace KvStore.Storage.Tests;

/// <summary>
/// What an insert costs while one virtual node grows, as all keys under one hash tag make it. Counted in bytes allocated, those of the
/// records' own chunks left out, and not in time.
/// </summary>
public sealed class TableGrowthTests
{
    private const int Few = 200_000;
    private const int Many = 1_600_000;
    private const int Measured = 48_000;
    private const int BatchSize = 16;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void B7_an_insert_costs_the_same_among_many_keys_as_among_few(bool ascending)
    {
        var growth = new Growth(ascending);
        growth.To(Few - Measured);
        (double few, long fewAtOnce) = growth.To(Few);
        growth.To(Many - Measured);
        (double many, long manyAtOnce) = growth.To(Many);
        string costs = $"{few:F0} bytes an insert at {Few}, {many:F0} at {Many}; a batch at most {fewAtOnce} and {manyAtOnce}";
        Assert.True(many <= few * 1.25, costs);
        Assert.True(many <= 2048, costs);

        // No batch of sixteen is a stall: sixteen leaves, a few directories, the root.
        Assert.True(manyAtOnce <= 64 * 1024, costs);
        growth.Check();
    }

    private sealed class Growth(bool ascending)
    {
        private readonly SlabArena _arena = new();
        private readonly byte[] _key = new byte[16];
        private GroupTable? _table;
        private uint _count;
        private ulong _index;

        private GroupTable Table => _table ??= new GroupTable(_arena, [7]);

        /// <summary>Inserts up to so many keys. Answers what an insert and what the most expensive batch allocated.</summary>
        public (double PerInsert, long LargestBatch) To(int count)
        {
            uint from = _count;
            long total = 0;
            long largest = 0;
            while (_count < count)
            {
                long reserved = _arena.ReservedBytes;
                long before = GC.GetAllocatedBytesForCurrentThread();
                Table.BeginBatch(++_index);
                for (int i = 0; i < BatchSize; i++)
                {
                    ReadOnlySpan<byte> key = KeyOf(_count++);
                    Table.Put(7, key, "value"u8, _count);
                }

                Table.PublishBatch(0);
                long allocated = GC.GetAllocatedBytesForCurrentThread() - before - (_arena.ReservedBytes - reserved);
                total += allocated;
                largest = Math.Max(largest, allocated);
            }

            return ((double)total / Math.Max(1, _count - from), largest);
        }

        /// <summary>All there, in order.</summary>
        public void Check()
        {
            using TableSnapshot snapshot = Table.Capture();
            var page = new RowPage();
            byte[] from = [];
            byte[] last = [];
            uint found = 0;
            do
            {
                snapshot.ReadPage(7, from, default, keysOnly: true, 10_000, 1 << 22, page);
                for (int row = 0; row < page.Count; row++)
                {
                    Assert.True(last.AsSpan().SequenceCompareTo(page.Key(row)) < 0, "keys in order");
                    last = page.Key(row).ToArray();
                    found++;
                }

                from = page.IsLast ? [] : page.ResumeFrom.ToArray();
            }
            while (!page.IsLast);
            Assert.Equal(_count, found);
            for (uint i = 0; i < _count; i += 1009)
            {
                Assert.True(Table.TryPeek(7, KeyOf(i), out _, out _));
            }
        }

        /// <summary>A tag, then a number; odd factors permute the numbers, so no two keys are equal.</summary>
        private ReadOnlySpan<byte> KeyOf(uint number)
        {
            "{user42}"u8.CopyTo(_key);
            BinaryPrimitives.WriteUInt64BigEndian(_key.AsSpan(8), ascending ? number : number * 2_654_435_761);
            return _key;
        }
    }
}
