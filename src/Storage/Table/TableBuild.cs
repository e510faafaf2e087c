using KvStore.Raft;

namespace KvStore.Storage;

/// <summary>
/// A table on its way from sorted rows, in steps: its leaves are built once and full, no row goes through <see cref="GroupTable.Put"/>. The
/// arena's owner makes the build and goes on; any one thread begins and steps it, beside the arena; the owner then takes the table in
/// (<see cref="Join"/>), which costs next to nothing, or not (<see cref="Discard"/>).
/// </summary>
public sealed class TableBuild
{
    private readonly SlabArena _arena;
    private readonly Slabs _filled;
    private readonly TreeShape _shape;
    private readonly TreeBuilder _builder;
    private ISortedRowSource? _rows;
    private GroupTable? _table;
    private ulong _index;
    private ulong _groupTime;
    private ulong _revision;
    private long _count;
    private int _current = -1;

    /// <summary>The arena's owner. Nothing in the arena changes before <see cref="Join"/>.</summary>
    public TableBuild(SlabArena arena)
        : this(arena, Beside(arena), TreeShape.Default)
    {
    }

    // Filled is an annex, or the arena's own memory when its owner builds.
    private TableBuild(SlabArena arena, Slabs filled, TreeShape shape)
    {
        (_arena, _filled, _shape) = (arena, filled, shape);
        _builder = new TreeBuilder(filled, shape);
    }

    /// <summary>
    /// All at once, by the arena's owner and in the arena's own memory: a group starts. When the source fails, nothing stays behind.
    /// </summary>
    public static GroupTable Now(SlabArena arena, ReadOnlySpan<int> virtualNodes, ulong index, ulong groupTime, ISortedRowSource rows) =>
        Now(arena, virtualNodes, index, groupTime, rows, TreeShape.Default);

    internal static GroupTable Now(
        SlabArena arena, ReadOnlySpan<int> virtualNodes, ulong index, ulong groupTime, ISortedRowSource rows, TreeShape shape)
    {
        ArgumentNullException.ThrowIfNull(arena);
        var build = new TableBuild(arena, arena.Slabs, shape);
        build.Begin(virtualNodes, index, groupTime, rows);
        bool isComplete = false;
        try
        {
            while (!build.Step(int.MaxValue))
            {
                // More than two gigabytes: another step.
            }

            isComplete = true;
        }
        finally
        {
            if (!isComplete)
            {
                // The arena's next steps of housekeeping free what came before the failure.
                build.FinishTree();
                build.Table.Retire();
            }
        }

        return build.Table;
    }

    /// <summary>There once it has begun; nobody reads it before it has joined.</summary>
    public GroupTable Table => _table ?? throw new InvalidOperationException("The build has not begun.");

    /// <summary>What the records take so far; any thread.</summary>
    public long ReservedBytes => _filled.ReservedBytes;

    /// <param name="virtualNodes">Of the group.</param>
    /// <param name="index">Applied index of the rows.</param>
    /// <param name="groupTime">Milliseconds.</param>
    /// <param name="rows">By virtual node and key.</param>
    public void Begin(ReadOnlySpan<int> virtualNodes, ulong index, ulong groupTime, ISortedRowSource rows)
    {
        ArgumentNullException.ThrowIfNull(rows);
        (_index, _groupTime, _rows) = (index, groupTime, rows);
        _table = new GroupTable(_arena, virtualNodes, _shape, isAttached: _filled == _arena.Slabs);
    }

    /// <summary>Rows of about so many bytes, one at least. True: that was the last, and the table is complete.</summary>
    public bool Step(int maxBytes)
    {
        ISortedRowSource rows = _rows ?? throw new InvalidOperationException("The build has not begun.");
        for (int bytes = 0; bytes < maxBytes; bytes += RowCostBytes + rows.Key.Length + rows.Value.Length)
        {
            if (!rows.MoveNext())
            {
                FinishTree();
                Table.Complete(_index, _revision, _groupTime, _count);
                if (_filled != _arena.Slabs)
                {
                    _filled.Seal();
                }

                return true;
            }

            Add(rows);
        }

        return false;
    }

    /// <summary>The arena's owner: the table is one of the arena's from here on, and may be read.</summary>
    public void Join()
    {
        _arena.Slabs.Join(_filled);
        _arena.Attach(Table);
    }

    /// <summary>The arena's owner: the table is not wanted, complete or not.</summary>
    public void Discard() => _arena.Slabs.Reuse(_filled);

    private void Add(ISortedRowSource rows)
    {
        int ordinal = Table.OrdinalOf(rows.VirtualNode);
        Invariant.Check(ordinal >= _current, "rows are sorted by virtual node");
        if (ordinal != _current)
        {
            FinishTree();
        }

        _current = ordinal;
        GroupTable.CheckSizes(rows.Key, rows.Value);
        RecordMeta meta = rows.Meta;
        _builder.Add(rows.Key, rows.Value, meta);
        _revision = Math.Max(_revision, meta.ModRevision);
        Table.AddRow(rows.Key.Length + rows.Value.Length);
        _count++;
    }

    private void FinishTree()
    {
        if (_current >= 0)
        {
            Table.SetTree(_current, _builder.Finish());
        }
    }

    private static Slabs Beside(SlabArena arena)
    {
        ArgumentNullException.ThrowIfNull(arena);
        return arena.Slabs.CreateAnnex();
    }

    /// <summary>Of a step, for each row beside its key and value.</summary>
    private const int RowCostBytes = 64;
}
