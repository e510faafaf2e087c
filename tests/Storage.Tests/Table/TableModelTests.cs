using System.Buffers;
using System.Text;

namespace KvStore.Storage.Tests;

/// <summary>The table against sorted dictionaries, one copy per snapshot: the same random steps on both, everything compared.</summary>
public sealed class TableModelTests
{
    private static readonly int[] Nodes = [3, 4, 9];

    [Theory]
    [InlineData(1, 40)]
    [InlineData(2, 40)]
    [InlineData(3, 600)]
    [InlineData(4, 600)]
    [InlineData(5, 3000)]
    [InlineData(6, 3000)]
    public void Random_steps_agree_with_a_sorted_dictionary(int seed, int keySpace) =>
        new Run(seed, keySpace, TreeShape.Default).Play(steps: 1500);

    /// <summary>Narrow trees: leaves and directories are split and emptied all the time, and a root has up to a hundred directories.</summary>
    [Theory]
    [InlineData(11, 40, 2, 2)]
    [InlineData(12, 600, 2, 2)]
    [InlineData(13, 600, 2, 3)]
    [InlineData(14, 600, 4, 3)]
    [InlineData(15, 3000, 3, 2)]
    [InlineData(16, 3000, 4, 4)]
    [InlineData(17, 3000, 8, 5)]
    public void B7_random_steps_over_three_levels_agree_with_a_sorted_dictionary(int seed, int keySpace, int pairsPerLeaf, int leavesPerDirectory)
    {
        var run = new Run(seed, keySpace, new TreeShape(pairsPerLeaf, leavesPerDirectory));
        run.Play(steps: 1500);
        Assert.True(run.MostDirectories >= 3, $"at most {run.MostDirectories} directories");
    }

    private sealed record ModelRow(byte[] Value, ulong Modified, ulong Created, ulong ExpiresAt);

    private sealed class Run(int seed, int keySpace, TreeShape shape)
    {
        private readonly Random _random = new(seed);
        private readonly SlabArena _arena = new(1 << 14, minFreeSlots: 4);
        private readonly List<(TableSnapshot Snapshot, SortedDictionary<(int, string), ModelRow> Rows)> _snapshots = [];
        private readonly ArrayBufferWriter<byte> _buffer = new();
        private readonly RowPage _page = new();
        private SortedDictionary<(int, string), ModelRow> _model = new(KeyOrder);
        private ulong _revision = 100;
        private ulong _index = 5;
        private ulong _time = 1000;

        private static readonly Comparer<(int Node, string Key)> KeyOrder = Comparer<(int Node, string Key)>.Create((a, b) =>
            a.Node != b.Node ? a.Node.CompareTo(b.Node) : string.CompareOrdinal(a.Key, b.Key));

        public int MostDirectories { get; private set; }

        public void Play(int steps)
        {
            var table = new GroupTable(_arena, Nodes, shape);
            try
            {
                for (int step = 0; step < steps; step++)
                {
                    Step(table);
                }

                while (_snapshots.Count > 0)
                {
                    CloseSnapshot();
                }

                while (_arena.EvacuateStep(1 << 20) > 0)
                {
                }

                Assert.Equal(0, _arena.PinnedBytes);
                Compare(table);
                DeleteEverything(table);
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"seed {seed}, {keySpace} keys", e);
            }
        }

        private void Step(GroupTable table)
        {
            switch (_random.Next(20))
            {
                case < 13:
                    Batch(table, deleteShare: _random.Next(4) == 0 ? 0.9 : 0.2);
                    break;
                case < 15 when _snapshots.Count < 6:
                    TableSnapshot snapshot = table.Capture();
                    Assert.Equal(table.AppliedIndex, snapshot.Index);
                    Assert.Equal(_time, snapshot.GroupTime);
                    _snapshots.Add((snapshot, new SortedDictionary<(int, string), ModelRow>(_model, KeyOrder)));
                    break;
                case < 17 when _snapshots.Count > 0:
                    CloseSnapshot();
                    break;
                case 17 when _snapshots.Count > 0:
                    (TableSnapshot held, SortedDictionary<(int, string), ModelRow> rows) = _snapshots[_random.Next(_snapshots.Count)];
                    CompareSnapshot(held, rows);
                    break;
                case 18:
                    _arena.EvacuateStep(_random.Next(1, 20_000));
                    break;
                case 19:
                    Compare(table);
                    break;
            }
        }

        private void Batch(GroupTable table, double deleteShare)
        {
            table.BeginBatch(++_index);
            for (int i = _random.Next(40); i > 0; i--)
            {
                int node = Nodes[_random.Next(Nodes.Length)];
                string key = RandomKey();
                byte[] bytes = Bytes(key);
                _revision += (ulong)_random.Next(1, 3);
                bool exists = _model.TryGetValue((node, key), out ModelRow? before);
                if (_random.NextDouble() < deleteShare)
                {
                    Assert.Equal(exists, table.Delete(node, bytes, _revision));
                    _model.Remove((node, key));
                }
                else
                {
                    byte[] value = new byte[_random.Next(10) == 0 ? _random.Next(5000) : _random.Next(80)];
                    _random.NextBytes(value);
                    ulong expiresAt = _random.Next(4) == 0 ? _time + (ulong)_random.Next(0, 60) : 0;
                    table.Put(node, bytes, value, _revision, expiresAt);
                    _model[(node, key)] = new ModelRow(value, _revision, before?.Created ?? _revision, expiresAt);
                }

                ModelRow? expected = _model.GetValueOrDefault((node, key));
                Assert.Equal(expected is not null, table.TryPeek(node, bytes, out RecordMeta meta, out ReadOnlySpan<byte> peeked));
                if (expected is not null)
                {
                    AssertRow(expected, meta, peeked);
                }
            }

            _time += (ulong)_random.Next(3);
            table.PublishBatch(_time);
            MostDirectories = Math.Max(MostDirectories, Nodes.Max(node => table.TreeOf(node).Root.Count));
        }

        private void DeleteEverything(GroupTable table)
        {
            table.BeginBatch(++_index);
            foreach ((int node, string key) in _model.Keys)
            {
                Assert.True(table.Delete(node, Bytes(key), ++_revision));
            }

            table.PublishBatch(_time);
            Assert.Equal(0, table.KeyCount);
            Assert.Equal(0, _arena.LiveBytes);
        }

        private void CloseSnapshot()
        {
            int at = _random.Next(_snapshots.Count);
            CompareSnapshot(_snapshots[at].Snapshot, _snapshots[at].Rows);
            _snapshots[at].Snapshot.Dispose();
            _snapshots.RemoveAt(at);
        }

        private void Compare(GroupTable table)
        {
            Assert.Equal(_model.Count, table.KeyCount);
            for (int i = 0; i < 50; i++)
            {
                int node = Nodes[_random.Next(Nodes.Length)];
                string key = RandomKey();
                ModelRow? expected = Visible(_model.GetValueOrDefault((node, key)), _time);
                _buffer.ResetWrittenCount();
                ReadOutcome outcome = table.Get(node, Bytes(key), _buffer, out RecordMeta meta, out ulong atIndex);
                Assert.Equal(_index == 5 ? 0 : _index, atIndex);
                Assert.Equal(expected is null ? ReadOutcome.Absent : ReadOutcome.Found, outcome);
                if (expected is not null)
                {
                    AssertRow(expected, meta, _buffer.WrittenSpan);
                }
            }

            using TableSnapshot now = table.Capture();
            CompareSnapshot(now, _model);
        }

        private void CompareSnapshot(TableSnapshot snapshot, SortedDictionary<(int Node, string Key), ModelRow> rows)
        {
            foreach (int node in Nodes)
            {
                string from = _random.Next(2) == 0 ? "" : RandomKey();
                string to = _random.Next(2) == 0 ? "" : RandomKey();
                bool keysOnly = _random.Next(4) == 0;
                byte[] cursor = Bytes(from);
                using IEnumerator<KeyValuePair<(int Node, string Key), ModelRow>> expected = rows
                    .Where(row => row.Key.Node == node && Visible(row.Value, snapshot.GroupTime) is not null)
                    .Where(row => string.CompareOrdinal(row.Key.Key, from) >= 0)
                    .Where(row => to.Length == 0 || string.CompareOrdinal(row.Key.Key, to) < 0)
                    .GetEnumerator();
                do
                {
                    snapshot.ReadPage(node, cursor, Bytes(to), keysOnly, _random.Next(1, 200), _random.Next(1, 20_000), _page);
                    for (int row = 0; row < _page.Count; row++)
                    {
                        Assert.True(expected.MoveNext(), "a row too many");
                        Assert.Equal(expected.Current.Key.Key, Encoding.Latin1.GetString(_page.Key(row)));
                        AssertRow(expected.Current.Value, _page.Meta(row), keysOnly ? expected.Current.Value.Value : _page.Value(row));
                    }

                    cursor = _page.IsLast ? [] : _page.ResumeFrom.ToArray();
                }
                while (!_page.IsLast);
                Assert.False(expected.MoveNext(), "a row too few");

                string key = RandomKey();
                ModelRow? single = Visible(rows.GetValueOrDefault((node, key)), snapshot.GroupTime);
                _buffer.ResetWrittenCount();
                ReadOutcome outcome = snapshot.Get(node, Bytes(key), _buffer, out RecordMeta meta);
                Assert.Equal(single is null ? ReadOutcome.Absent : ReadOutcome.Found, outcome);
                if (single is not null)
                {
                    AssertRow(single, meta, _buffer.WrittenSpan);
                }
            }
        }

        private static ModelRow? Visible(ModelRow? row, ulong time) =>
            row is null || (row.ExpiresAt != 0 && row.ExpiresAt <= time) ? null : row;

        private static void AssertRow(ModelRow expected, RecordMeta meta, ReadOnlySpan<byte> value)
        {
            Assert.Equal(new RecordMeta(expected.Modified, expected.Created, expected.ExpiresAt, expected.Value.Length), meta);
            Assert.True(value.SequenceEqual(expected.Value), "the value differs");
        }

        /// <summary>Long common prefixes, keys that are prefixes of others, zero bytes: what the key words must tell apart.</summary>
        private string RandomKey()
        {
            int n = _random.Next(keySpace);
            return (n % 5) switch
            {
                0 => $"user:{n:D12}",
                1 => new string('\0', n % 19),
                2 => $"user:{new string('a', n % 40)}",
                3 => $"{(char)(n % 256)}{(char)(n / 256)}",
                _ => $"tenant/{n % 7}/object/{n:X}\0",
            };
        }

        private static byte[] Bytes(string key) => Encoding.Latin1.GetBytes(key);
    }
}
