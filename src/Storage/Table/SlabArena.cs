using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// The tables of one worker and the memory of their records, with the housekeeping that needs both. The worker owns it; any thread reads
/// the figures.
/// </summary>
/// <remarks>
/// To empty a chunk, the walk goes over tables and not over the chunk, because a record does not know its table. It costs 16 bytes of a
/// leaf per key, read in order, and serves all chunks that are being emptied at once.
/// </remarks>
public sealed class SlabArena
{
    private readonly List<GroupTable> _tables = [];
    private readonly EvacuationPass _pass = new();

    /// <param name="chunkBytes">Of a chunk, 16 KiB to 1 MiB; a larger record than a 64th of it has an array of its own.</param>
    public SlabArena(int chunkBytes = 1 << 20)
        : this(chunkBytes, SlabReference.MinFreeSlots)
    {
    }

    /// <summary>
    /// A shorter free list makes slots come back at once: the tests want readers to meet that. Fewer chunks let them come to the last one.
    /// </summary>
    internal SlabArena(int chunkBytes, int minFreeSlots, int maxChunks = Slabs.MaxChunks) =>
        Slabs = new Slabs(chunkBytes, minFreeSlots, new SlabNumbers(maxChunks));

    /// <summary>Bytes of all chunks, and of the records that have arrays of their own.</summary>
    public long ReservedBytes => Slabs.ReservedBytes;

    /// <summary>Bytes of all slots that hold a record, pinned versions included.</summary>
    public long LiveBytes => Slabs.LiveBytes;

    /// <summary>Bytes of superseded versions that only snapshots keep.</summary>
    public long PinnedBytes => Slabs.PinnedBytes;

    internal Slabs Slabs { get; }

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

        if (!_pass.IsRunning && Slabs.IsSparse(tight) && Slabs.MarkDrainingChunks(tight))
        {
            _pass.Start();
        }

        while (_pass.IsRunning && budget > 0)
        {
            AdvancePass(ref budget);
        }

        return maxBytes - budget;
    }

    internal void Attach(GroupTable table) => _tables.Add(table);

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
