using System.Buffers;
using System.Text;
using KvStore.Raft;

namespace KvStore.Storage.Tests;

public sealed class GroupTableTests
{
    private readonly SlabArena _arena = new();
    private readonly GroupTable _table;
    private ulong _index;
    private ulong _revision;

    public GroupTableTests() => _table = new GroupTable(_arena, [4, 5, 9]);

    [Fact]
    public void A_batch_is_invisible_until_it_is_published_and_peeking_sees_it_before()
    {
        Batch(time: 7, () => Put("a", "old"));
        _table.BeginBatch(++_index);
        Put("a", "new");
        Put("b", "first");
        Assert.Equal("old", Get("a"));
        Assert.Null(Get("b"));
        Assert.Equal((1ul, 7ul, 1L), (_table.AppliedIndex, _table.GroupTime, _table.KeyCount));
        Assert.True(_table.TryPeek(4, "a"u8, out RecordMeta meta, out ReadOnlySpan<byte> peeked));
        Assert.Equal("new", Encoding.UTF8.GetString(peeked));
        Assert.Equal(new RecordMeta(2, 1, 0, 3), meta);
        _table.PublishBatch(8);
        Assert.Equal("new", Get("a"));
        Assert.Equal("first", Get("b"));
        Assert.Equal((2ul, 8ul, 2L), (_table.AppliedIndex, _table.GroupTime, _table.KeyCount));
    }

    [Fact]
    public void The_create_revision_lives_until_the_key_is_deleted()
    {
        Batch(() => Put("a", "1"));
        Batch(() => Put("a", "2"));
        Assert.Equal((2ul, 1ul), Revisions("a"));
        Batch(() =>
        {
            Assert.True(Delete("a"));
            Assert.False(Delete("a"));
            Put("a", "3");
        });
        Assert.Equal((5ul, 5ul), Revisions("a"));
        Batch(() => Assert.True(Delete("a")));
        Batch(() => Put("a", "4"));
        Assert.Equal((7ul, 7ul), Revisions("a"));
    }

    [Fact]
    public void The_same_key_many_times_in_one_batch_leaves_one_version()
    {
        Batch(() => Put("a", "0"));
        long one = _arena.LiveBytes;
        Batch(() =>
        {
            for (int i = 0; i < 5; i++)
            {
                Put("a", $"{i}");
                Delete("a");
                Put("a", $"{i}");
            }
        });
        Assert.Equal("4", Get("a"));
        Assert.Equal(one, _arena.LiveBytes);
        Batch(() =>
        {
            Put("a", "x");
            Delete("a");
        });
        Assert.Equal(0, _arena.LiveBytes);
    }

    [Fact]
    public void A_delete_of_nothing_writes_nothing()
    {
        Batch(() => Assert.False(Delete("a")));
        Assert.Equal(0, _arena.LiveBytes);
        Assert.Equal(0, _table.KeyCount);
    }

    [Fact]
    public void A_record_expires_with_the_group_time_that_reaches_its_deadline()
    {
        Batch(time: 99, () => Put("a", "1", expiresAt: 100));
        using TableSnapshot before = _table.Capture();
        Assert.Equal("1", Get("a"));
        Batch(time: 100, () => { });
        Assert.Null(Get("a"));
        Assert.Equal(ReadOutcome.Found, before.Get(4, "a"u8, new ArrayBufferWriter<byte>(), out RecordMeta meta));
        Assert.Equal(100ul, meta.ExpiresAt);

        // It is there to be deleted, and counted, until it is deleted.
        Assert.Equal(1, _table.KeyCount);
        Assert.True(_table.TryPeek(4, "a"u8, out _, out _));
        Batch(time: 100, () => Assert.True(Delete("a")));
        Assert.Equal(0, _table.KeyCount);
        before.Dispose();
        Batch(time: 100, () => { });
        Assert.Equal(0, _arena.LiveBytes);
    }

    [Fact]
    public void Keys_and_values_up_to_the_limits_are_stored_and_beyond_them_refused()
    {
        byte[] longest = Enumerable.Repeat((byte)0xFF, GroupTable.MaxKeyBytes).ToArray();
        int[] lengths = [0, 1, 7, 8, 1000, 1024, 16_000, 16_384, 16_385, 300_000, GroupTable.MaxValueBytes];
        foreach (int length in lengths)
        {
            byte[] value = new byte[length];
            new Random(length).NextBytes(value);
            Batch(() => _table.Put(4, longest, value, ++_revision));
            var buffer = new ArrayBufferWriter<byte>();
            Assert.Equal(ReadOutcome.Found, _table.Get(4, longest, buffer, out RecordMeta meta, out _));
            Assert.Equal(length, meta.ValueLength);
            Assert.True(buffer.WrittenSpan.SequenceEqual(value));
        }

        Batch(() => _table.Put(4, [], "empty key"u8, ++_revision));
        Assert.Equal("empty key", Get(""));
        Batch(() =>
        {
            Assert.Throws<ArgumentOutOfRangeException>(() => _table.Put(4, new byte[GroupTable.MaxKeyBytes + 1], [], ++_revision));
            Assert.Throws<ArgumentOutOfRangeException>(() => _table.Put(4, "k"u8, new byte[GroupTable.MaxValueBytes + 1], ++_revision));
            Assert.Throws<ArgumentOutOfRangeException>(() => _table.Put(6, "k"u8, [], ++_revision));
        });
        Assert.Equal([true, true, false, false, true], new[] { 4, 5, 6, 3, 9 }.Select(_table.Owns));
    }

    [Fact]
    public void A_large_value_that_is_overwritten_gives_its_array_back()
    {
        Batch(() => _table.Put(4, "big"u8, new byte[1 << 20], ++_revision));
        long reserved = _arena.ReservedBytes;
        for (int i = 0; i < 200; i++)
        {
            Batch(() => _table.Put(4, "big"u8, new byte[(1 << 20) - i], ++_revision));
        }

        Assert.InRange(_arena.ReservedBytes, 1, reserved + 64);
        Batch(() => Assert.True(_table.Delete(4, "big"u8, ++_revision)));
        Assert.Equal(0, _arena.LiveBytes);
    }

    [Theory]
    [InlineData(Leaf.MaxPairs, LeafDirectory.MaxLeaves)]
    [InlineData(2, 2)]
    [InlineData(8, 3)]
    public void A_table_built_from_sorted_rows_is_the_table_that_was_put_together(int pairsPerLeaf, int leavesPerDirectory)
    {
        var shape = new TreeShape(pairsPerLeaf, leavesPerDirectory);
        foreach (int keys in (int[])[0, 1, 55, 56, 57, 1000])
        {
            var put = new GroupTable(_arena, [4, 5, 9], shape);
            var rows = new List<Row>();
            put.BeginBatch(20);
            for (int i = 0; i < keys; i++)
            {
                // 5 stays empty.
                int node = i % 3 == 0 ? 9 : 4;
                byte[] key = Encoding.ASCII.GetBytes($"prefix/{i * 7919 % 1009:D5}/{i}");
                byte[] value = Encoding.ASCII.GetBytes($"value {i}");
                ulong revision = (ulong)i + 1;
                put.Put(node, key, value, revision, expiresAt: (ulong)(i % 2) * 1000);
                rows.Add(new Row(node, key, value, new RecordMeta(revision, revision, (ulong)(i % 2) * 1000, value.Length)));
            }

            put.PublishBatch(50);
            rows.Sort((a, b) => a.Node != b.Node ? a.Node.CompareTo(b.Node) : a.Key.AsSpan().SequenceCompareTo(b.Key));
            GroupTable built = TableBuild.Now(_arena, [4, 5, 9], 20, 50, new Rows(rows), shape);
            Assert.Equal((put.AppliedIndex, put.GroupTime, put.KeyCount), (built.AppliedIndex, built.GroupTime, built.KeyCount));
            Assert.Equal(Scan(put), Scan(built));

            // And it can be written on: every leaf takes keys at both ends and in the middle.
            foreach (GroupTable table in (GroupTable[])[put, built])
            {
                table.BeginBatch(21);
                for (int i = 0; i < 500; i++)
                {
                    string front = i % 3 == 0 ? "a" : i % 3 == 1 ? "prefix/" : "z";
                    table.Put(4, Encoding.ASCII.GetBytes($"{front}{i * 31 % 500:D4}"), "x"u8, 10_000 + (ulong)i);
                }

                table.PublishBatch(50);
            }

            Assert.Equal(Scan(put), Scan(built));
        }
    }

    [Fact]
    public void A_source_that_fails_leaves_nothing_in_the_arena()
    {
        var meta = new RecordMeta(1, 1, 0, 1);
        List<Row> rows = [.. Enumerable.Range(0, 200).Select(i => new Row(4, [(byte)Math.Min(i, 150)], [1], meta))];
        Assert.Throws<InvariantViolationException>(() => TableBuild.Now(_arena, [4], 1, 0, new Rows(rows)));
        Rows foreign = new([rows[0], rows[0] with { Node = 5 }]);
        Assert.Throws<ArgumentOutOfRangeException>(() => TableBuild.Now(_arena, [4], 1, 0, foreign));
        while (_arena.EvacuateStep(1000) > 0)
        {
        }

        Assert.Equal(0, _arena.LiveBytes);
    }

    [Fact]
    public void A_page_ends_at_its_limits_and_goes_on_from_there()
    {
        Batch(() =>
        {
            for (int i = 0; i < 300; i++)
            {
                Put($"key{i:D3}", new string('x', i == 150 ? 5000 : 94));
            }
        });
        using TableSnapshot snapshot = _table.Capture();
        var page = new RowPage();
        snapshot.ReadPage(4, "key010"u8, "key020"u8, keysOnly: false, 1000, 1 << 20, page);
        Assert.Equal((10, true), (page.Count, page.IsLast));
        snapshot.ReadPage(4, "key010"u8, default, keysOnly: false, 7, 1 << 20, page);
        Assert.Equal((7, false, "key016\0"), (page.Count, page.IsLast, Encoding.ASCII.GetString(page.ResumeFrom)));
        snapshot.ReadPage(4, default, default, keysOnly: false, 1000, 1000, page);
        Assert.Equal((10, false), (page.Count, page.IsLast));
        snapshot.ReadPage(4, "key150"u8, default, keysOnly: false, 1000, 100, page);
        Assert.Equal((1, false), (page.Count, page.IsLast));
        snapshot.ReadPage(4, default, default, keysOnly: true, 1000, 1 << 20, page);
        Assert.Equal((300, true, 94), (page.Count, page.IsLast, page.Meta(0).ValueLength));
        Assert.True(page.Value(0).IsEmpty);
        snapshot.ReadPage(4, "key400"u8, default, keysOnly: false, 10, 100, page);
        Assert.Equal((0, true), (page.Count, page.IsLast));
        snapshot.ReadPage(5, default, default, keysOnly: false, 10, 100, page);
        Assert.Equal((0, true), (page.Count, page.IsLast));
    }

    [Fact]
    public void What_must_grow_is_checked()
    {
        Batch(time: 10, () => Put("a", "1"));
        Assert.Throws<InvariantViolationException>(() => _table.BeginBatch(_index));
        Assert.Throws<InvariantViolationException>(() => _table.Put(4, "a"u8, [], 99));
        Assert.Throws<InvariantViolationException>(() => _table.PublishBatch(10));
        _table.BeginBatch(++_index);
        Assert.Throws<InvariantViolationException>(() => _table.Put(4, "a"u8, [], _revision));
        Assert.Throws<InvariantViolationException>(() => _table.PublishBatch(9));
        Assert.Throws<InvariantViolationException>(() => _table.BeginBatch(_index + 1));
        Assert.Throws<InvariantViolationException>(_table.Retire);
        Assert.Throws<ArgumentException>(() => new GroupTable(_arena, [1, 2, 1]));
    }

    [Theory]
    [InlineData(new[] { 16_391 })]
    [InlineData(new[] { 3, 16_391 })]
    [InlineData(new[] { 16_391, 0, 5, 2 })]
    [InlineData(new[] { 7, 8 })]
    public void A_virtual_node_far_from_the_others_costs_no_room_and_is_found(int[] nodes)
    {
        var arena = new SlabArena();
        long before = GC.GetAllocatedBytesForCurrentThread();
        var table = new GroupTable(arena, nodes);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 20_000);
        for (int node = -2; node < 16_400; node++)
        {
            Assert.Equal(nodes.Contains(node), table.Owns(node));
        }

        table.BeginBatch(1);
        ulong revision = 0;
        foreach (int node in nodes)
        {
            table.Put(node, "key"u8, BitConverter.GetBytes(node), ++revision);
        }

        table.PublishBatch(0);
        foreach (int node in nodes)
        {
            var value = new ArrayBufferWriter<byte>();
            Assert.Equal(ReadOutcome.Found, table.Get(node, "key"u8, value, out _, out _));
            Assert.Equal(node, BitConverter.ToInt32(value.WrittenSpan));
        }
    }

    [Fact]
    public void A_closed_snapshot_is_not_read()
    {
        TableSnapshot snapshot = _table.Capture();
        snapshot.Dispose();
        snapshot.Dispose();
        Assert.Throws<ObjectDisposedException>(() => snapshot.Get(4, "a"u8, new ArrayBufferWriter<byte>(), out _));
        Assert.Throws<ObjectDisposedException>(() => snapshot.ReadPage(4, default, default, false, 1, 1, new RowPage()));
    }

    private void Batch(Action write) => Batch(_table.GroupTime, write);

    private void Batch(ulong time, Action write)
    {
        _table.BeginBatch(++_index);
        write();
        _table.PublishBatch(time);
    }

    private void Put(string key, string value, ulong expiresAt = 0) =>
        _table.Put(4, Encoding.UTF8.GetBytes(key), Encoding.UTF8.GetBytes(value), ++_revision, expiresAt);

    private bool Delete(string key) => _table.Delete(4, Encoding.UTF8.GetBytes(key), ++_revision);

    private string? Get(string key)
    {
        var buffer = new ArrayBufferWriter<byte>();
        ReadOutcome outcome = _table.Get(4, Encoding.UTF8.GetBytes(key), buffer, out _, out _);
        return outcome == ReadOutcome.Found ? Encoding.UTF8.GetString(buffer.WrittenSpan) : null;
    }

    private (ulong Modified, ulong Created) Revisions(string key)
    {
        _table.Get(4, Encoding.UTF8.GetBytes(key), new ArrayBufferWriter<byte>(), out RecordMeta meta, out _);
        return (meta.ModRevision, meta.CreateRevision);
    }

    private static List<string> Scan(GroupTable table)
    {
        var rows = new List<string>();
        var page = new RowPage();
        using TableSnapshot snapshot = table.Capture();
        foreach (int node in (int[])[4, 5, 9])
        {
            snapshot.ReadPage(node, default, default, keysOnly: false, int.MaxValue, int.MaxValue, page);
            for (int row = 0; row < page.Count; row++)
            {
                rows.Add($"{node} {Encoding.ASCII.GetString(page.Key(row))} {Encoding.ASCII.GetString(page.Value(row))} {page.Meta(row)}");
            }
        }

        return rows;
    }

    private sealed record Row(int Node, byte[] Key, byte[] Value, RecordMeta Meta);

    private sealed class Rows(List<Row> rows) : ISortedRowSource
    {
        private int _at = -1;

        public int VirtualNode => rows[_at].Node;

        public ReadOnlySpan<byte> Key => rows[_at].Key;

        public ReadOnlySpan<byte> Value => rows[_at].Value;

        public RecordMeta Meta => rows[_at].Meta;

        public bool MoveNext() => ++_at < rows.Count;
    }
}
