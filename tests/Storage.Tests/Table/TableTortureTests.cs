using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;

namespace KvStore.Storage.Tests;

/// <summary>
/// One writer at full speed, two readers, real threads: what only happens when they meet. Each batch writes both keys of a
/// pair, in two virtual nodes, with the batch's index as stamp all over the value, or deletes both; the keys are few and the
/// slots are used again at once. The only tests of this project with threads, so they are the only ones without a seed.
/// </summary>
public sealed class TableTortureTests
{
    private static readonly TimeSpan SoundRun = TimeSpan.FromSeconds(4);

    [Fact]
    public void Readers_beside_a_writer_see_whole_batches_only()
    {
        Play(new Torture(TreeShape.Default));
    }

    /// <summary>The same in trees whose leaves and directories are split and emptied in a large part of the batches.</summary>
    [Fact]
    public void B7_readers_beside_a_writer_see_whole_batches_over_three_levels()
    {
        var run = new Torture(new TreeShape(PairsPerLeaf: 3, LeavesPerDirectory: 2));
        Play(run);
        Assert.True(run.Directories > 10, $"{run.Directories} directories");
    }

    private static void Play(Torture run)
    {
        run.Run<SoundReads>(SoundRun);
        Assert.True(run.Violations.IsEmpty, string.Join("\n", run.Violations.Take(5)));
        string work = $"{run.Reads} reads, {run.Scans} scans, {run.Batches} batches";
        Assert.True(run.Reads > 10_000 && run.Scans > 10 && run.Batches > 10_000, work);
    }

    internal sealed class Torture
    {
        private const int HotPairs = 12;
        private const int AllPairs = 300;

        /// <summary>Written first and never deleted: a reader that finds it absent is wrong, however consistently.</summary>
        private const int LastingPair = 0;
        private static readonly int[] Nodes = [0, 1];

        private readonly SlabArena _arena = new(1 << 16, minFreeSlots: 1);
        private readonly GroupTable _table;
        private readonly byte[][] _keys = [.. Enumerable.Range(0, AllPairs).Select(i => Encoding.ASCII.GetBytes($"pair:{i:D6}"))];
        private volatile bool _stop;
        private long _reads;
        private long _scans;

        public Torture(TreeShape shape) => _table = new GroupTable(_arena, Nodes, shape);

        public int Directories => _table.TreeOf(0).Root.Count;

        public System.Collections.Concurrent.ConcurrentQueue<string> Violations { get; } = new();

        public long Reads => Volatile.Read(ref _reads);

        public long Scans => Volatile.Read(ref _scans);

        public ulong Batches => _table.AppliedIndex;

        public void Run<TRules>(TimeSpan limit)
            where TRules : struct, IReadRules
        {
            Thread[] readers = [new(() => Guard(() => Read<TRules>(1))), new(() => Guard(() => Read<TRules>(2)))];
            Array.ForEach(readers, reader => reader.Start());
            Guard(() => Write(limit));
            _stop = true;
            Array.ForEach(readers, reader => reader.Join());
        }

        private void Guard(Action action)
        {
            try
            {
                action();
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                Violations.Enqueue(e.ToString());
                _stop = true;
            }
        }

        private void Write(TimeSpan limit)
        {
            var random = new Random(1);
            var clock = Stopwatch.StartNew();
            byte[] value = new byte[5000];
            ulong revision = 0;
            for (ulong index = 1; !_stop && clock.Elapsed < limit; index++)
            {
                // Mostly the hot keys; the others come and go, so that leaves are split, emptied and copied.
                int pair = random.Next(4) > 0 ? random.Next(HotPairs) : random.Next(AllPairs);
                pair = index == 1 ? LastingPair : pair;
                bool isDelete = pair != LastingPair && (random.Next(8) == 0 || (pair >= HotPairs && random.Next(2) == 0));
                int length = random.Next(50) == 0 ? 4800 : 8 * random.Next(4, 40);
                Span<byte> stamped = value.AsSpan(0, length);
                MemoryMarshal.Cast<byte, ulong>(stamped).Fill(index);
                BinaryPrimitives.WriteInt64LittleEndian(stamped[8..], pair);
                _table.BeginBatch(index);
                foreach (int node in Nodes)
                {
                    if (isDelete)
                    {
                        _table.Delete(node, _keys[pair], ++revision);
                    }
                    else
                    {
                        _table.Put(node, _keys[pair], stamped, ++revision);
                    }
                }

                _table.PublishBatch(groupTime: 1);
                if (index % 64 == 0)
                {
                    _arena.EvacuateStep(4096);
                }
            }
        }

        private void Read<TRules>(int seed)
            where TRules : struct, IReadRules
        {
            var random = new Random(seed);
            var buffer = new ArrayBufferWriter<byte>(8192);
            var page = new RowPage();
            while (!_stop)
            {
                for (int i = 0; i < 200; i++)
                {
                    ComparePair<TRules>(random.Next(5) > 0 ? random.Next(HotPairs) : random.Next(AllPairs), buffer);
                }

                for (int i = 0; i < 20; i++)
                {
                    CompareInSnapshot(buffer);
                }

                CompareScans<TRules>(page);
            }
        }

        /// <summary>Short snapshots, and many: what can go wrong is that one is taken while a batch is published.</summary>
        private void CompareInSnapshot(ArrayBufferWriter<byte> buffer)
        {
            using TableSnapshot snapshot = _table.Capture();
            Span<ulong> stamps = stackalloc ulong[2];
            foreach (int node in Nodes)
            {
                buffer.ResetWrittenCount();
                if (snapshot.Get(node, _keys[LastingPair], buffer, out _) == ReadOutcome.Found)
                {
                    stamps[node] = StampOf(LastingPair, buffer.WrittenSpan, snapshot.Index);
                }
            }

            bool isThere = stamps[0] > 0 || snapshot.Index == 0;
            Expect(isThere && stamps[0] == stamps[1], $"a snapshot at {snapshot.Index} sees {stamps[0]} and {stamps[1]}");
        }

        private void ComparePair<TRules>(int pair, ArrayBufferWriter<byte> buffer)
            where TRules : struct, IReadRules
        {
            ulong? first = ReadStamp<TRules>(0, pair, buffer, out ulong firstIndex);
            ulong? second = ReadStamp<TRules>(1, pair, buffer, out ulong secondIndex);
            Interlocked.Add(ref _reads, 2);
            Expect(secondIndex >= firstIndex, $"the index went from {firstIndex} back to {secondIndex}");
            if (firstIndex == secondIndex)
            {
                Expect(first == second, $"pair {pair} at {firstIndex}: {first} and {second}");
            }
            else if (second is { } stamp && first != second)
            {
                Expect(stamp > firstIndex, $"pair {pair}: {first} at {firstIndex}, but {second} at {secondIndex}");
            }
        }

        private ulong? ReadStamp<TRules>(int node, int pair, ArrayBufferWriter<byte> buffer, out ulong atIndex)
            where TRules : struct, IReadRules
        {
            buffer.ResetWrittenCount();
            ReadOutcome outcome = _table.Get<TRules>(node, _keys[pair], buffer, out RecordMeta meta, out atIndex);
            if (outcome == ReadOutcome.Absent)
            {
                Expect(buffer.WrittenCount == 0, "an absent key has no bytes");
                return null;
            }

            Expect(meta.ValueLength == buffer.WrittenCount, "the length is that of the value");
            return StampOf(pair, buffer.WrittenSpan, atIndex);
        }

        private ulong StampOf(int pair, ReadOnlySpan<byte> value, ulong atIndex)
        {
            ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(value);
            ulong stamp = words[0];
            Expect(words[1] == (ulong)pair, $"pair {pair} has the value of {words[1]}");
            Expect(words[2..].IndexOfAnyExcept(stamp) < 0, $"pair {pair}: value {stamp} mixed with another");
            Expect(stamp <= atIndex, $"pair {pair}: {stamp} seen at {atIndex}");
            return stamp;
        }

        private void CompareScans<TRules>(RowPage page)
            where TRules : struct, IReadRules
        {
            using TableSnapshot snapshot = _table.Capture();
            List<(int, ulong)> first = Scan<TRules>(snapshot, 0, page);
            Expect(first.SequenceEqual(Scan<TRules>(snapshot, 1, page)), $"the scans of two nodes at {snapshot.Index} differ");
            Expect(first.SequenceEqual(Scan<TRules>(snapshot, 0, page)), $"two scans at {snapshot.Index} differ");
            Interlocked.Increment(ref _scans);
        }

        private List<(int Pair, ulong Stamp)> Scan<TRules>(TableSnapshot snapshot, int node, RowPage page)
            where TRules : struct, IReadRules
        {
            var rows = new List<(int, ulong)>();
            byte[] from = [];
            do
            {
                snapshot.ReadPage<TRules>(node, from, default, keysOnly: false, maxRows: 37, maxBytes: 1 << 20, page);
                for (int row = 0; row < page.Count; row++)
                {
                    int pair = int.Parse(page.Key(row)[5..]);
                    rows.Add((pair, StampOf(pair, page.Value(row), snapshot.Index)));
                }

                from = page.IsLast ? [] : page.ResumeFrom.ToArray();
            }
            while (!page.IsLast);
            return rows;
        }

        private void Expect(bool holds, string violation)
        {
            if (!holds)
            {
                Violations.Enqueue(violation);
                _stop = true;
            }
        }
    }
}
