namespace KvStore.Storage;

/// <summary>
/// Giving memory back. After a long snapshot or many deletes the chunks stay, half empty. Chunks at most half full are marked
/// as draining; then a pass of the arena over its tables moves every record it finds in a draining chunk, and the chunk is
/// dropped when its last record has left. Versions that snapshots keep are not moved: their chunk goes when they go.
/// </summary>
internal sealed partial class Slabs
{
    private const int MaxDrainingPerPass = 64;
    private const int ChunksScannedPerStep = 256;

    private int _scanned;

    public bool IsDraining(SlabReference reference) =>
        !reference.IsOwnArray && _states[reference.Chunk].State == ChunkState.Draining;

    /// <summary>Copies a record into another slot. The caller swings the leaf to the copy, then frees the original.</summary>
    public SlabReference Relocate(SlabReference reference)
    {
        Record from = Open(reference, out RecordHeader fromHeader);
        RecordHeader header = fromHeader;
        SlabReference copy = Allocate(ref header, out Record to);
        to.CopyFrom(from, fromHeader, copy.Generation);
        return copy;
    }

    // Copying is worth its while when a quarter of the memory, and more than a few chunks, could come back.
    public bool IsSparse(bool tight) => _reservedBytes - _liveBytes > Math.Max(_reservedBytes / (tight ? 16 : 4), 4L * _chunkBytes);

    /// <summary>False: in this step's share of the chunks there was none to empty.</summary>
    public bool MarkDrainingChunks(bool tight)
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

        return marked > 0;
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
}
