using KvStore.Protocol;
using KvStore.Storage;

namespace KvStore.StateMachine;

/// <summary>
/// The hash of everything a state machine holds: rows, records and floors of one applied index. The moment is captured on the
/// loop that owns the state; the hash is computed in steps, by whoever has the time, while entries go on being applied.
/// Replicas at the same applied index have the same hash, in every process.
/// </summary>
public sealed class StateHasher
{
    private readonly IReadOnlyList<int> _virtualNodes;
    private readonly TableSnapshot _rows;
    private readonly IReadOnlyList<SnapshotSection> _sections;
    private readonly RowPage _page = new();
    private StableHash _hash;
    private int _virtualNode;
    private int _section;
    private byte[]? _from;

    /// <param name="applied">Index the rest belongs to.</param>
    /// <param name="lastRevision">Last revision used up by it.</param>
    /// <param name="groupTime">Milliseconds.</param>
    /// <param name="virtualNodes">Of the group, ascending.</param>
    /// <param name="rows">The table at that index; stays the caller's.</param>
    /// <param name="sections">Records and floors at that index.</param>
    public StateHasher(
        ulong applied, ulong lastRevision, ulong groupTime, IReadOnlyList<int> virtualNodes, TableSnapshot rows,
        IReadOnlyList<SnapshotSection> sections)
    {
        (Applied, _virtualNodes, _rows, _sections) = (applied, virtualNodes, rows, sections);
        _hash.Add(applied);
        _hash.Add(lastRevision);
        _hash.Add(groupTime);
    }

    public ulong Applied { get; }

    /// <summary>Of the state once the last step has been made.</summary>
    public ulong Value => _hash.Value;

    /// <summary>Hashes about maxBytes more. True: that was the last step.</summary>
    public bool Step(int maxBytes)
    {
        long left = maxBytes;
        while (left > 0 && _virtualNode < _virtualNodes.Count)
        {
            left -= HashPage(_virtualNodes[_virtualNode]);
        }

        while (left > 0 && _virtualNode == _virtualNodes.Count && _section < _sections.Count)
        {
            SnapshotSection section = _sections[_section++];
            _hash.Add((ulong)section.VirtualNode);
            _hash.Add(section.Data.Span);
            left -= section.Data.Length;
        }

        return _virtualNode == _virtualNodes.Count && _section == _sections.Count;
    }

    private long HashPage(int virtualNode)
    {
        bool isFirst = _from is null;
        _rows.ReadPage(virtualNode, _from ?? [], default, keysOnly: false, PageRows, PageBytes, _page);

        // A node of the ring counts although it is empty. The one outside the ring counts from its first row on: members that are
        // earlier builds have none, and must come to the same hash.
        if (isFirst && !(SystemVirtualNode.Is(virtualNode) && _page.Count == 0))
        {
            _hash.Add((ulong)virtualNode);
        }

        long bytes = PageCost;
        for (int row = 0; row < _page.Count; row++)
        {
            RecordMeta meta = _page.Meta(row);
            _hash.Add(_page.Key(row));
            _hash.Add(_page.Value(row));
            _hash.Add(meta.ModRevision);
            _hash.Add(meta.CreateRevision);
            _hash.Add(meta.ExpiresAt);
            bytes += _page.Key(row).Length + _page.Value(row).Length;
        }

        if (_page.IsLast)
        {
            _from = null;
            _virtualNode++;
        }
        else
        {
            _from = [.. _page.ResumeFrom];
        }

        return bytes;
    }

    private const int PageRows = 256;
    private const int PageBytes = 256 * 1024;

    /// <summary>Bytes a page counts for beside its rows: thousands of empty virtual nodes are work, too.</summary>
    private const int PageCost = 256;
}
