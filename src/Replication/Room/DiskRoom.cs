using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>What a node has on its disk, in bytes. Spare: files set aside for the log. LogRoom: what the log can write whatever becomes of the disk.</summary>
internal readonly record struct DiskUse(long Free, long Spare, long LogRoom, long LargestSnapshot);

/// <summary>
/// Whether this node's disk has room for what grows. Two marks.
/// <para>
/// Growth ends while there is still room for what makes room: deletes give nothing back until the group writes a snapshot without
/// what they took away, that one stands beside the one it replaces, and until then they fill the log. So the first mark is: the largest
/// group's snapshot, a segment for deletes until the next one, and two segments for everybody else. It is left when there is a segment more.
/// </para>
/// <para>
/// The second is passed when the log could not go on in another segment and has little left of the newest one: no entries are
/// taken then, of nobody, so that the rest is there for votes, marks and cuts. A disk may be filled by others, so the first mark does not
/// keep a node from the second.
/// </para>
/// </summary>
internal sealed class DiskRoom(long segmentBytes, Action<DiskUse> growthChanged, Action<DiskUse> entriesChanged)
{
    private readonly WaterMark _growth = new(1, -segmentBytes);
    private readonly WaterMark _entries = new(1, 0);
    private long _freeBytes = long.MaxValue;

    /// <summary>As last looked at; <see cref="long.MaxValue"/> before the first time, and where nothing limits it.</summary>
    public long FreeBytes => Volatile.Read(ref _freeBytes);

    /// <summary>What grows is refused.</summary>
    public bool IsShort => _growth.IsPassed;

    /// <summary>Entries are neither proposed nor taken from a leader.</summary>
    public bool TakesNoEntries => _entries.IsPassed;

    public void Observe(DiskUse use)
    {
        Volatile.Write(ref _freeBytes, use.Free);
        long needed = use.LargestSnapshot + (SegmentsKeptFree * segmentBytes) - use.Spare;
        if (_growth.Observe(needed - Math.Min(use.Free, long.MaxValue / 2)))
        {
            growthChanged(use);
        }

        long left = use.Free >= segmentBytes ? segmentBytes : use.LogRoom;
        if (_entries.Observe((segmentBytes / ShareForVotes) - left))
        {
            entriesChanged(use);
        }
    }

    /// <summary>One for deletes, two for everything else.</summary>
    private const int SegmentsKeptFree = 3;

    /// <summary>Part of a segment kept for what is no entry.</summary>
    private const int ShareForVotes = 8;
}

/// <summary>It is time to look how much room the disk has; on the snapshot thread, which may wait for a disk.</summary>
internal sealed class DiskCheck : SnapshotItem;

/// <summary>A snapshot of this group could not be written for want of room.</summary>
internal sealed class SnapshotAbandoned(GroupId group) : LoopItem
{
    public GroupId Group => group;
}
