using System.Buffers.Binary;

namespace KvStore.Storage.Tests;

/// <summary>Tables that are built beside their arena while its owner goes on.</summary>
public sealed class TableBuildTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(5_000)]
    public void B10_a_table_built_beside_its_arena_is_the_one_built_in_it(int rows)
    {
        var arena = new SlabArena(1 << 16);
        var busy = new Busy(arena);
        var build = Begun(new TableBuild(arena), new NumberedRows(rows));
        long before = arena.ReservedBytes;
        int steps = 0;
        while (!build.Step(10_000))
        {
            steps++;
            busy.Write(50);
        }

        Assert.Equal(rows > 1, steps > 10);
        long own = arena.ReservedBytes;
        long live = arena.LiveBytes;
        Assert.True(rows < 2 || own > before);
        build.Join();
        Assert.Equal(own + build.ReservedBytes, arena.ReservedBytes);
        GroupTable expected = TableBuild.Now(new SlabArena(1 << 16), [1, 2], 9, 50, new NumberedRows(rows));
        Assert.Equal(Scan(expected), Scan(build.Table));
        Assert.Equal((9UL, 50UL, (long)rows), (build.Table.AppliedIndex, build.Table.GroupTime, build.Table.KeyCount));

        // It is one of the arena's: written on, moved by its housekeeping, freed by it.
        for (ulong index = 10; index < 14; index++)
        {
            foreach (GroupTable table in (GroupTable[])[expected, build.Table])
            {
                table.BeginBatch(index);
                for (int i = 0; i < rows; i += 3)
                {
                    table.Put(1 + i % 2, NumberedRows.KeyOf(i), new byte[i % 70], 100_000 * index + (ulong)i);
                    table.Delete(1 + (i + 1) % 2, NumberedRows.KeyOf(i + 1), 100_000 * index + (ulong)i + 1);
                }

                table.PublishBatch(50);
            }

            busy.Write(500);
            Settle(arena);
            Assert.Equal(Scan(expected), Scan(build.Table));
        }

        build.Table.Retire();
        busy.Clear();
        Settle(arena);
        Assert.Equal(0, arena.LiveBytes);
        Assert.True(live >= 0 && busy.IsRight);
    }

    [Fact]
    public void B10_what_was_built_for_nothing_gives_its_numbers_back()
    {
        // Room for the busy table and one build.
        var arena = new SlabArena(1 << 14, SlabReference.MinFreeSlots, maxChunks: 300);
        var busy = new Busy(arena);
        for (int round = 0; round < 40; round++)
        {
            var build = Begun(new TableBuild(arena), new NumberedRows(2_000));
            for (int step = 0; step < 5 + round; step++)
            {
                build.Step(10_000);
                busy.Write(20);
            }

            build.Discard();
        }

        var last = Begun(new TableBuild(arena), new NumberedRows(2_000));
        while (!last.Step(10_000))
        {
        }

        last.Join();
        Assert.Equal(2_000, Scan(last.Table).Count);
        Assert.True(busy.IsRight);
    }

    /// <summary>Real threads: one builds, the owner writes and joins, a reader reads what has joined.</summary>
    [Fact]
    public void B10_builds_of_another_thread_join_while_the_owner_writes_and_others_read()
    {
        var arena = new SlabArena(1 << 16, minFreeSlots: 1);
        var busy = new Busy(arena);
        List<string> expected = Scan(TableBuild.Now(new SlabArena(), [1, 2], 9, 50, new NumberedRows(3_000)));
        GroupTable? current = null;
        TableBuild? done = null;
        bool stop = false;
        int scans = 0;
        string? wrong = null;
        TableBuild? wanted = new(arena);
        var builder = new Thread(() =>
        {
            while (!Volatile.Read(ref stop))
            {
                if (Volatile.Read(ref wanted) is { } build)
                {
                    Volatile.Write(ref wanted, null);
                    build.Begin([1, 2], 9, 50, new NumberedRows(3_000));
                    while (!build.Step(10_000))
                    {
                    }

                    Volatile.Write(ref done, build);
                }
            }
        });
        var reader = new Thread(() =>
        {
            while (!Volatile.Read(ref stop))
            {
                try
                {
                    if (Volatile.Read(ref current) is { } table)
                    {
                        wrong ??= Scan(table).SequenceEqual(expected) ? null : "another table than was built";
                        scans++;
                    }
                }
                catch (ObjectDisposedException)
                {
                    // The next one has taken its place.
                }
            }
        });
        builder.Start();
        reader.Start();
        int joined = 0;
        for (int spins = 0; joined < 40 && spins < 1_000_000 && wrong is null; spins++)
        {
            busy.Write(20);
            arena.EvacuateStep(1 << 16);
            if (Volatile.Read(ref done) is { } build)
            {
                GroupTable? old = current;
                build.Join();
                Volatile.Write(ref current, build.Table);
                old?.Retire();
                joined++;
                Volatile.Write(ref done, null);

                // One in three is not wanted after all.
                if (joined % 3 == 0)
                {
                    new TableBuild(arena).Discard();
                }

                Volatile.Write(ref wanted, new TableBuild(arena));
            }
        }

        Volatile.Write(ref stop, true);
        builder.Join();
        reader.Join();
        Assert.Null(wrong);
        Assert.True(joined == 40 && scans > 0 && busy.IsRight, $"{joined} joined, {scans} scans");
    }

    private static TableBuild Begun(TableBuild build, NumberedRows rows)
    {
        build.Begin([1, 2], 9, 50, rows);
        return build;
    }

    private static void Settle(SlabArena arena)
    {
        while (arena.EvacuateStep(1 << 20) > 0)
        {
        }
    }

    private static List<string> Scan(GroupTable table)
    {
        var rows = new List<string>();
        var page = new RowPage();
        using TableSnapshot snapshot = table.Capture();
        foreach (int node in (int[])[1, 2])
        {
            snapshot.ReadPage(node, default, default, keysOnly: false, int.MaxValue, int.MaxValue, page);
            for (int row = 0; row < page.Count; row++)
            {
                rows.Add($"{node} {Convert.ToHexString(page.Key(row))} {Convert.ToHexString(page.Value(row))} {page.Meta(row)}");
            }
        }

        return rows;
    }

    /// <summary>Another table of the arena, whose owner writes all the time: values of many sizes, some too large for a slot.</summary>
    private sealed class Busy(SlabArena arena)
    {
        private readonly GroupTable _table = new(arena, [1]);
        private readonly Dictionary<int, byte[]> _model = [];
        private readonly Random _random = new(3);
        private ulong _index;

        public bool IsRight => _table.KeyCount == _model.Count && _model.All(row =>
            _table.TryPeek(1, BitConverter.GetBytes(row.Key), out _, out ReadOnlySpan<byte> value) && value.SequenceEqual(row.Value));

        public void Write(int count)
        {
            for (; count > 0; count--)
            {
                byte[] value = new byte[_random.Next(20) == 0 ? _random.Next(3_000) : _random.Next(60)];
                _random.NextBytes(value);
                int key = _random.Next(300);
                _table.BeginBatch(++_index);
                _table.Put(1, BitConverter.GetBytes(key), value, _index);
                _table.PublishBatch(0);
                _model[key] = value;
            }
        }

        public void Clear()
        {
            foreach (int key in _model.Keys)
            {
                _table.BeginBatch(++_index);
                _table.Delete(1, BitConverter.GetBytes(key), _index);
                _table.PublishBatch(0);
            }

            _model.Clear();
        }
    }

    /// <summary>Half of them in each of two virtual nodes; every twentieth value is too large for a slot.</summary>
    private sealed class NumberedRows(int count) : ISortedRowSource
    {
        private readonly int _firstNode = (count + 1) / 2;
        private int _at = -1;
        private byte[] _key = [];
        private byte[] _value = [];

        public int VirtualNode => _at < _firstNode ? 1 : 2;

        public ReadOnlySpan<byte> Key => _key;

        public ReadOnlySpan<byte> Value => _value;

        public RecordMeta Meta => new((ulong)_at + 1, (ulong)_at + 1, 0, _value.Length);

        public static byte[] KeyOf(int number)
        {
            byte[] key = new byte[8];
            BinaryPrimitives.WriteInt64BigEndian(key, number);
            return key;
        }

        public bool MoveNext()
        {
            if (++_at >= count)
            {
                return false;
            }

            int number = _at < _firstNode ? 2 * _at : 2 * (_at - _firstNode) + 1;
            _key = KeyOf(number);
            _value = new byte[_at % 20 == 7 ? 1_500 + _at % 1_000 : _at % 90];
            new Random(_at).NextBytes(_value);
            return true;
        }
    }
}
