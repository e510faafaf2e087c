using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>What this node has room for. Any thread asks, the loops look at it once a tick.</summary>
public sealed partial class StoreNode
{
    private readonly PeerRooms _peerRooms;

    /// <summary>What it holds in memory now; leaves and records as at most a tick ago.</summary>
    private MemoryUse MemoryUse
    {
        get
        {
            long tables = 0;
            long records = 0;
            long queued = _admission.Bytes + Log.QueuedBytes;
            foreach (ShardLoop loop in _loops)
            {
                tables += loop.Arena.ReservedBytes + loop.Counters.IndexBytes;
                records += loop.Counters.RecordBytes;
                queued += loop.PeerInboxBytes;
            }

            return new MemoryUse(tables, records, Log.CachedBytes, queued);
        }
    }

    /// <summary>What this node has room for now.</summary>
    public RoomStatus Room => new(MemoryUse, Memory.LimitBytes, Memory.IsShort)
    {
        DiskFreeBytes = RoomOnDisk.FreeBytes,
        IsDiskShort = RoomOnDisk.IsShort,
        TakesNoEntries = RoomOnDisk.TakesNoEntries,
    };

    internal MemoryRoom Memory { get; }

    internal DiskRoom RoomOnDisk { get; }

    /// <summary>What the other nodes are told.</summary>
    internal RoomReport RoomReport => new(
        (RoomOnDisk.IsShort ? Shortage.Disk : Shortage.None) | (RoomOnDisk.TakesNoEntries ? Shortage.DiskFull : Shortage.None)
        | (Memory.IsShort ? Shortage.Memory : Shortage.None));

    /// <summary>What another node has said in the last two election timeouts; null: nothing.</summary>
    internal RoomReport? RoomOf(NodeId peer, long nowMs) => _peerRooms.Of(peer, nowMs);

    /// <summary>On the snapshot thread.</summary>
    internal void MeasureRoomOnDisk()
    {
        long free = _files.SpaceOf(Options.Directory).FreeBytes;
        long largest = Replicas.Values.Select(replica => replica.Table.DataBytes).DefaultIfEmpty().Max();
        RoomOnDisk.Observe(new DiskUse(free, Log.SpareBytes, Log.RoomBytes, largest));
        if (Log.WantsRoom && free >= Options.Wal.SegmentBytes)
        {
            Log.ProvideRoom();
        }
    }

    /// <summary>Once a tick of the first loop.</summary>
    internal void WatchRoomOnDisk(long tick)
    {
        if (tick % Math.Max(1, DiskCheckMs / Options.TickMs) == 0)
        {
            Snapshots.Add(new DiskCheck());
        }
    }

    private void OnGrowthChanged(DiskUse use)
    {
        string now = $"{use.Free:N0} bytes are free, the largest group's snapshot takes about {use.LargestSnapshot:N0}";
        Report(RoomOnDisk.IsShort
            ? new NodeEvent(NodeEventKind.DiskShort, default, 0, 0, $"the disk is short, {now}: writes that grow are refused, deletes and reads go on")
            : new NodeEvent(NodeEventKind.DiskEnough, default, 0, 0, $"the disk has room again, {now}"));
    }

    private void OnEntriesChanged(DiskUse use) => Report(RoomOnDisk.TakesNoEntries
        ? new NodeEvent(NodeEventKind.DiskShort, default, 0, 0, $"the disk is full, {use.Free:N0} bytes are free and {use.LogRoom:N0} left in the log: no entries are taken, votes and reads go on")
        : new NodeEvent(NodeEventKind.DiskEnough, default, 0, 0, $"the disk is full no more, {use.Free:N0} bytes are free: entries are taken again"));

    private const int DiskCheckMs = 500;

    private void OnMemoryChanged(bool isShort, MemoryUse use)
    {
        string now = $"{use.Lasting:N0} of {Options.MemoryBytes:N0} bytes are taken (tables {use.Tables:N0}, records {use.Records:N0}, log {use.Log:N0})";
        Report(isShort
            ? new NodeEvent(NodeEventKind.MemoryShort, default, 0, 0, $"memory is short, {now}: writes that grow are refused, deletes and reads go on")
            : new NodeEvent(NodeEventKind.MemoryEnough, default, 0, 0, $"memory is enough again, {now}"));
    }
}
