using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// Giving memory back. After a long snapshot or many deletes the chunks stay, half empty. Chunks at most half full are marked
/// as draining; then a pass walks the leaves of all tables, moves every record it finds in a draining chunk, and the chunk is
/// dropped when its last record has left. Versions that snapshots keep are not moved: their chunk goes when they go.
/// </summary>
/// <remarks>
/// The walk goes over tables and not over the chunk, because a record does not know its table. It costs 16 bytes of a leaf per
/// key, read in order, and serves up to <see cref="MaxDrainingPerPass"/> chunks at once.
/// </remarks>
public sealed partial class SlabArena
{
    private const int MaxDrainingPerPass = 64;
    private const int ChunksScannedPerStep = 256;

    private readonly EvacuationPass _pass = new();
    private int _scanned;

    /// <summary>
    /// One bounded step of housekeeping, between batches: frees what closed snapshots kept and what retired tables held, and
    /// moves records out of sparse chunks. Answers the bytes it worked on, at most about maxBytes and one record; 0 when there
    /// was nothing to do.
    /// </summary>
    /// <param name="maxBytes">Of leaves and records looked at.</param>
    /// <param name="tight">Memory is short: every chunk that is an eighth empty is worth emptying, and a sixteenth of the arena is enough.</param>
    public int EvacuateStep(int maxBytes, bool tight = false)
    {
        int budget = maxBytes;
        for (int i = _tables.Count - 1; i >= 0 && budget > 0; i--)
        {
            _tables[i].ReleaseStep(ref budget);
            if (_tables[i].IsDismantled)
            {
                _tables.RemoveAt(i);
                _pass.StartOver();
            }
        }

        if (!_pass.IsRunning && IsSparse(tight))
        {
            MarkDrainingChunks(tight);
        }

        while (_pass.IsRunning && budget > 0)
        {
            AdvancePass(ref budget);
        }

        return maxBytes - budget;
    }

    internal bool IsDraining(SlabReference reference) =>
        !reference.IsOwnArray && _states[reference.Chunk].State == ChunkState.Draining;

    /// <summary>Copies a record into another slot. The caller swings the leaf to the copy, then frees the original.</summary>
    internal SlabReference Relocate(SlabReference reference)
    {
        Record from = Open(reference, out RecordHeader fromHeader);
        RecordHeader header = fromHeader;
        SlabReference copy = Allocate(ref header, out Record to);
        to.CopyFrom(from, fromHeader, copy.Generation);
        return copy;
    }

    // Copying is worth its while when a quarter of the memory, and more than a few chunks, could come back.
    private bool IsSparse(bool tight) => _reservedBytes - _liveBytes > Math.Max(_reservedBytes / (tight ? 16 : 4), 4L * _chunkBytes);

    private void MarkDrainingChunks(bool tight)
    {
        int marked = 0;
        for (int i = 0; i < ChunksScannedPerStep && _scanned < _chunkCount && marked < MaxDrainingPerPass; i++, _scanned++)
        {
            ref Chunk state = ref _states[_scanned];
            bool isCandidate = state.State == ChunkState.InUse && state.Class.Open != _scanned;
            if (!isCandidate || state.Live * 8 > state.Slots * (tight ? 7 : 4))
            {
                continue;
            }

            state.State = ChunkState.Draining;
            state.Class.FreeCount -= state.Queued;
            if (state.Live == 0)
            {
                DropDrained(_scanned);
            }
            else
            {
                marked++;
            }
        }

        if (_scanned == _chunkCount)
        {
            _scanned = 0;
        }

        if (marked > 0)
        {
            _pass.Start();
        }
    }

    private void AdvancePass(ref int budget)
    {
        if (_pass.Table == _tables.Count)
        {
            _pass.Stop();
            return;
        }

        GroupTable table = _tables[_pass.Table];
        Invariant.Check(!table.IsBatchOpen, "records move between batches only");
        if (table.IsRetired || _pass.Tree == table.TreeCount)
        {
            _pass.NextTable();
            return;
        }

        byte[]? next = table.EvacuateLeaf(_pass.Tree, _pass.From, ref budget);
        if (next is null)
        {
            _pass.NextTree();
        }
        else
        {
            _pass.From = next;
        }
    }

    private void DropDrained(int number)
    {
        ref Chunk state = ref _states[number];
        ulong[] chunk = _chunks[number]!;
        uint highest = 0;
        for (int at = Record.HeaderWord; at < chunk.Length; at += state.Class.SlotWords)
        {
            highest = Math.Max(highest, new RecordHeader(chunk[at]).Generation);
        }

        state.FirstGeneration = SlabReference.Next(highest);
        Drop(number);
    }

    /// <summary>Where the walk over all tables is. The place in a tree is a key, because leaves split and vanish between steps.</summary>
    private sealed class EvacuationPass
    {
        public bool IsRunning { get; private set; }
        public int Table { get; private set; }
        public int Tree { get; private set; }
        public byte[] From { get; set; } = [];

        public void Start()
        {
            IsRunning = true;
            StartOver();
        }

        public void Stop() => IsRunning = false;

        /// <summary>What has been moved already is passed over quickly: it no longer lies in a draining chunk.</summary>
        public void StartOver()
        {
            Table = 0;
            Tree = 0;
            From = [];
        }

        public void NextTree()
        {
            Tree++;
            From = [];
        }

        public void NextTable()
        {
            Table++;
            Tree = 0;
            From = [];
        }
    }
}
